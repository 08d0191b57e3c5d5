// Statements that the gate does not judge, and a module path that is computed.
import 'kubernetes@1.0.0' with { namespace: 'x' } as k8s // fault: the gate does not know what to make of this
var name = 'queue'

module computed 'modules/${name}.bicep' = { // fault: here the text must be plain, without ${}.
  name: 'computed'
}
