metadata description = 'What one relay in a plant needs in the cloud: a queue for its commands, and the rights of its own principal.'

@description('Id of the relay: small letters, digits and hyphens.')
@minLength(1)
@maxLength(40)
param relayId string

@description('Object id of the relay\'s service principal (Entra app with a certificate, or Arc-enabled server).')
param relayPrincipalId string

@description('Object id of the app\'s identity, which sends the commands.')
param appPrincipalId string

@description('Name of the Service Bus namespace.')
param serviceBusName string

@description('Name of Application Insights.')
param insightsName string

var topology = loadJsonContent('../topology.json')
var commands = topology.relay.commandQueue

var roleIds = {
  'Azure Service Bus Data Receiver': '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0'
  'Azure Service Bus Data Sender': '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39'
  'Monitoring Metrics Publisher': '3913510d-42f4-4e42-8a64-420c390055eb'
}

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: serviceBusName
}

resource ingest 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = {
  parent: namespace
  name: topology.relay.ingestQueue
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource queue 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: namespace
  name: replace(commands.name, '{id}', relayId)
  properties: {
    lockDuration: 'PT${commands.lockSeconds}S'
    maxDeliveryCount: commands.maxDeliveryCount
    requiresDuplicateDetection: false
    defaultMessageTimeToLive: 'PT${commands.ttlSeconds}S'
    deadLetteringOnMessageExpiration: commands.deadLetterOnExpiry
    requiresSession: false
    maxSizeInMegabytes: 1024
  }
}

resource receiveCommands 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(queue.id, relayPrincipalId, roleIds['Azure Service Bus Data Receiver'])
  scope: queue
  properties: {
    principalId: relayPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds['Azure Service Bus Data Receiver'])
  }
}

resource sendReadings 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(ingest.id, relayPrincipalId, roleIds['Azure Service Bus Data Sender'])
  scope: ingest
  properties: {
    principalId: relayPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds['Azure Service Bus Data Sender'])
  }
}

resource sendCommands 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(queue.id, appPrincipalId, roleIds['Azure Service Bus Data Sender'])
  scope: queue
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds['Azure Service Bus Data Sender'])
  }
}

resource publishTelemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, relayPrincipalId, roleIds['Monitoring Metrics Publisher'])
  scope: insights
  properties: {
    principalId: relayPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds['Monitoring Metrics Publisher'])
  }
}

@description('Name of the relay\'s command queue.')
output queueName string = queue.name
