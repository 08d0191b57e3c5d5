// Loops where Bicep takes none; names, conditions and loops that are not known at the start.
param items array
param listed array = [for item in [1]: item] // fault: a loop must be a whole value

var whole = [for item in items: { name: item }]
var inside = { a: [for item in items: item] } // fault: a loop must be a whole value
var deep = [for item in items: [for other in items: other]] // fault: a loop must be a whole value
var call = length([for item in items: item]) // fault: a loop must be a whole value
var late = bus.properties.serviceBusEndpoint

resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: 'bus'
}

resource named 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: bus
  name: replace(late, '/', '') // fault: the name of `named` must be known at the start, but `bus.properties` is not.
}

resource conditional 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = if (empty(one.outputs.location)) { // fault: the condition of `conditional` must be known at the start, but `one.outputs` is not.
  parent: bus
  name: guid(bus.id)
}

module one 'modules/queue.bicep' = {
  name: 'one'
  params: {
    busName: bus.properties.serviceBusEndpoint
    size: 1
    rules: [for item in items: { port: item.port, protocol: item.protocol }]
  }
}

module several 'modules/queue.bicep' = [for item in split(one.outputs.location, ','): { // fault: the loop of `several` must be known at the start
  name: 'several-${item}'
  params: {
    busName: item
    size: 1
    rules: concat([], [for other in items: other]) // fault: a loop must be a whole value
  }
}]

output all array = [whole, inside, deep, call, listed]
output direct array = [for item in items: item]
