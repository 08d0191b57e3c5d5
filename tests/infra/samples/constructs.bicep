// Every construct of Bicep that the gate reads. Nothing here may be reported.
metadata description = 'Constructs.'

targetScope = 'resourceGroup'

import { size, Rule as rule } from 'modules/shared.bicep'
import * as shared from 'modules/shared.bicep'

type color = 'red' | 'green'
type pair = {
  @description('A decorator inside a type.')
  @minLength(1)
  name: string
  color: color?
  *: int
}
type pairs = pair[]

@description('One of three.')
@allowed(['a', 'b', 'c'])
@metadata({ note: 'x' })
param choice string = 'a'
@secure()
param secret string = newGuid()
param optional string?
param counts int[] = []
param many pairs = [{ name: 'x', color: 'red', depth: 3 }]
param inline { a: string, b: int? }[] = [{ a: 'x' }]
param either 'x' | 'y' = 'x'
param imported rule = { port: 443 }
param distant shared.Rule = { port: 80 }
param stamp string = utcNow('yyyy')
@sealed()
param closed { only: bool } = { only: true }
param anything object = {
  'quoted-key': 1
  nested: { deep: [1, 2] }
}

@export()
func greet(name string, times int) string => '${name}-${times}'

var text = 'it\'s \${not} a \u{2764} line\n'
var long = '''
several lines with ${no} interpolation
'''
var interpolated = '${choice}-${counts[0]}-${greet('x', 2)}'
var oneLine = { a: 1, b: [1, 2], c: { d: null } }
var trailing = [
  'x', 'y'
  toLower('Z')
  oneLine.b[0]
  anything['quoted-key']
  resourceGroup().tags.x
  !empty(optional) ? 'given' : 'not given'
  -1
]
var safe = anything.?missing.?deeper ?? 'nothing'
var safeIndex = anything[?'missing'] ?? 0
var sure = optional!
var numbers = [for i in range(0, 3): i * 2]
var indexed = [for (item, i) in trailing: { item: item, i: i }]
var chosen = [for item in indexed: item.i]
var lambdas = reduce(map(filter(numbers, n => n > 0 && n != 2), (n, i) => n + i), 0, (sum, n) => sum + n)
var sorted = sort(numbers, (a, b) => a < b)
var object = toObject(['a', 'b'], key => key, key => length(key))
var joined = union(oneLine, { e: 1 }, anything)
var namespaced = az.resourceGroup().name == sys.toLower('x')
var computed = { '${choice}-key': 1 }
var data = loadJsonContent('data.json')
var nested = choice == 'a' ? (1 == 1 ? 'x' : 'y') : 'z'

resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: 'bus'
  scope: resourceGroup('elsewhere')
}

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' existing = {
  name: 'account'

  resource database 'sqlDatabases' existing = {
    name: 'database'

    resource container 'containers' existing = {
      name: 'container'
    }
  }
}

@batchSize(1)
@description('In a loop, with a condition.')
resource queues 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = [for (queue, i) in data.queues: if (i > 0 && queue.name != 'x') {
  parent: local
  name: queue.name
  properties: {
    maxDeliveryCount: queue.count
    lockDuration: 'PT${queue.count}M'
    status: queue.?status
  }
}]

resource local 'Microsoft.ServiceBus/namespaces@2024-01-01' = if (choice == 'a') {
  name: '${choice}bus'
  location: 'westeurope'
  tags: { made: stamp }
  sku: { name: 'Standard', tier: 'Standard' }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
  }

  resource inner 'queues' = {
    name: 'inner'
    dependsOn: [bus]
  }

  resource repeated 'queues' = [for name in ['a', 'b']: {
    name: name
    properties: { forwardTo: inner.name }
  }]
}

module one 'modules/one.bicep' = {
  name: 'one'
  params: {
    location: resourceGroup().name
    size: size
    secret: secret
    flags: [true, false]
  }
}

module several 'modules/one.bicep' = [for (item, i) in ['a', 'b']: {
  name: 'several-${item}'
  params: { location: item, size: i, flags: [] }
}]

module maybe 'modules/one.bicep' = if (choice == 'b') {
  name: 'maybe'
  scope: resourceGroup('elsewhere')
  params: { location: one.outputs.location, size: one.outputs.size, flags: [] }
  dependsOn: [several]
}

assert right = length(choice) == 1

@description('All of it, so that nothing is unused.')
output all array = [
  text, long, interpolated, trailing, safe, safeIndex, sure, chosen, lambdas, sorted, object, joined, namespaced
  computed, nested, many, inline, either, imported, distant, closed
]
output container string = account::database::container.id
output inner string = local::inner.name
output repeated string = local::repeated[0].id
output queue string = queues[0].properties.lockDuration
output maybeLocation string = maybe!.outputs.location
output maybeSafe string? = maybe.?outputs.location
output each array = [for i in range(0, 2): several[i].outputs.location]
output endpoint string = local!.properties.serviceBusEndpoint
output typed { a: string } = { a: 'x' }
output busId string = bus.id
