metadata description = 'The namespace and the queues of topology.json. Entra tokens only.'

@description('Name of the namespace.')
param name string

@description('Azure region.')
param location string

@description('Tags for the resource.')
param tags object

@description('Standard up to some 400 messages per second; Premium for more, or for private endpoints.')
@allowed(['Standard', 'Premium'])
param skuName string

@description('Log Analytics workspace for what operators do to the namespace.')
param workspaceId string

var topology = loadJsonContent('../topology.json')

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: name
  location: location
  tags: tags
  sku: {
    name: skuName
    tier: skuName
  }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    // Public also in a private network: relays come in from their plants. Without an Entra token nobody gets further.
    publicNetworkAccess: 'Enabled'
  }
}

resource queues 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = [for queue in topology.queues: {
  parent: namespace
  name: queue.name
  properties: {
    lockDuration: 'PT${queue.lockSeconds}S'
    maxDeliveryCount: queue.maxDeliveryCount
    requiresDuplicateDetection: true
    duplicateDetectionHistoryTimeWindow: 'PT${queue.duplicateWindowSeconds}S'
    defaultMessageTimeToLive: 'PT${queue.ttlSeconds}S'
    deadLetteringOnMessageExpiration: queue.deadLetterOnExpiry
    requiresSession: false
    maxSizeInMegabytes: 5120
  }
}]

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: namespace
  name: 'to-log-analytics'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'OperationalLogs'
        enabled: true
      }
    ]
  }
}

@description('Resource id of the namespace.')
output id string = namespace.id

@description('Name of the namespace.')
output name string = namespace.name

@description('Host name of the namespace, for ServiceBusConnection__fullyQualifiedNamespace.')
output hostName string = replace(replace(namespace.properties.serviceBusEndpoint, 'https://', ''), ':443/', '')

@description('Names of the queues.')
output queueNames array = [for (queue, i) in topology.queues: queues[i].name]
