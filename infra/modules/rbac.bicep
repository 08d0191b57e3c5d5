metadata description = 'Every right of one principal outside Cosmos DB: the app, or a developer who runs it at home.'

@description('Object id of the principal.')
param principalId string

@description('What the principal is.')
@allowed(['ServicePrincipal', 'User', 'Group'])
param principalType string

@description('Name of the Functions host account.')
param hostAccountName string

@description('Name of the audit anchors account.')
param anchorsAccountName string

@description('Name of the container of audit anchors.')
param anchorsContainerName string

@description('Name of the container of photos and films of work sessions, in the same account.')
param capturesContainerName string

@description('Name of the container of daily exports for BI tools, in the same account.')
param exportsContainerName string

@description('Name of the Service Bus namespace.')
param serviceBusName string

@description('Name of the vault.')
param vaultName string

@description('Name of Application Insights.')
param insightsName string

@description('Id of the role for secrets; empty: the built-in Key Vault Secrets Officer.')
param vaultRoleId string

@description('Id of the role for audit anchors; empty: the built-in Storage Blob Data Contributor.')
param anchorsRoleId string

var topology = loadJsonContent('../topology.json')

var roleIds = {
  'Azure Service Bus Data Owner': '090c5cfd-751d-490a-894a-3ce6f1109419'
  'Key Vault Secrets Officer': 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'
  'Monitoring Metrics Publisher': '3913510d-42f4-4e42-8a64-420c390055eb'
  'Storage Blob Data Contributor': 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  'Storage Blob Data Owner': 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  'Storage Table Data Contributor': '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
}

var builtInSecretsRoleId = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds['Key Vault Secrets Officer'])
var builtInAnchorsRoleId = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds['Storage Blob Data Contributor'])

// Timer leases, function keys and the code package; diagnostic events of the host go to a table.
var hostRoles = ['Storage Blob Data Owner', 'Storage Table Data Contributor']

resource host 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: hostAccountName
}

resource anchorsAccount 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: anchorsAccountName
}

resource anchorsBlobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' existing = {
  parent: anchorsAccount
  name: 'default'
}

resource anchors 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = {
  parent: anchorsBlobs
  name: anchorsContainerName
}

resource captures 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = {
  parent: anchorsBlobs
  name: capturesContainerName
}

resource exports 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = {
  parent: anchorsBlobs
  name: exportsContainerName
}

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: serviceBusName
}

resource queues 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = [for queue in topology.queues: {
  parent: namespace
  name: queue.name
}]

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource useHostStorage 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for role in hostRoles: {
  name: guid(host.id, principalId, roleIds[role])
  scope: host
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds[role])
  }
}]

resource writeAnchors 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(anchors.id, principalId, 'anchors', anchorsRoleId)
  scope: anchors
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: empty(anchorsRoleId) ? builtInAnchorsRoleId : anchorsRoleId
  }
}

resource writeCaptures 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(captures.id, principalId, 'captures', anchorsRoleId)
  scope: captures
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: empty(anchorsRoleId) ? builtInAnchorsRoleId : anchorsRoleId
  }
}

resource writeExports 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(exports.id, principalId, 'exports', anchorsRoleId)
  scope: exports
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: empty(anchorsRoleId) ? builtInAnchorsRoleId : anchorsRoleId
  }
}

// Owner of each queue, not of the namespace: the host must see how long a queue is to scale its readers.
resource ownQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (queue, i) in topology.queues: {
  name: guid(queues[i].id, principalId, roleIds['Azure Service Bus Data Owner'])
  scope: queues[i]
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds['Azure Service Bus Data Owner'])
  }
}]

resource useSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, principalId, 'secrets', vaultRoleId)
  scope: vault
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: empty(vaultRoleId) ? builtInSecretsRoleId : vaultRoleId
  }
}

resource publishTelemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, principalId, roleIds['Monitoring Metrics Publisher'])
  scope: insights
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds['Monitoring Metrics Publisher'])
  }
}
