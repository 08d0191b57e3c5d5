metadata description = 'What auditors may see: all data, the anchors, who touched the vault, and the logs. Nothing they could change.'

@description('Object ids of the auditors.')
param principalIds array

@description('What they are. A group is best: people come and go.')
@allowed(['Group', 'User', 'ServicePrincipal'])
param principalType string

@description('Name of the Cosmos DB account.')
param accountName string

@description('Name of the database.')
param databaseName string

@description('Id of the role that reads account metadata.')
param metadataReaderRoleId string

@description('Name of the vault.')
param vaultName string

@description('Name of the audit anchors account.')
param anchorsAccountName string

@description('Name of the container of audit anchors.')
param anchorsContainerName string

// Cosmos DB Built-in Data Reader.
var dataReader = '00000000-0000-0000-0000-000000000001'

var roleIds = {
  'Cosmos DB Account Reader Role': 'fbdf93bf-df7d-467e-a4d2-9458aa1360c8'
  'Key Vault Reader': '21090545-7ca7-4776-b22c-e363652d74d2'
  'Log Analytics Reader': '73c42c96-874c-492b-b04d-ab87d138a893'
  'Monitoring Reader': '43d0d8ad-25c7-4714-9337-8ba259a9fe05'
  'Storage Blob Data Reader': '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'
}

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' existing = {
  name: accountName
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
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

@batchSize(1)
resource readData 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-11-15' = [for principalId in principalIds: {
  parent: account
  name: guid(account.id, principalId, dataReader)
  properties: {
    principalId: principalId
    roleDefinitionId: '${account.id}/sqlRoleDefinitions/${dataReader}'
    scope: '${account.id}/dbs/${databaseName}'
  }
}]

@batchSize(1)
resource readMetadata 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-11-15' = [for principalId in principalIds: {
  parent: account
  name: guid(account.id, principalId, 'metadata-reader')
  properties: {
    principalId: principalId
    roleDefinitionId: metadataReaderRoleId
    scope: account.id
  }
  dependsOn: [
    readData
  ]
}]

// For Data Explorer in the portal; shows no keys.
resource seeAccount 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for principalId in principalIds: {
  name: guid(account.id, principalId, roleIds['Cosmos DB Account Reader Role'])
  scope: account
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds['Cosmos DB Account Reader Role'])
  }
}]

// Names and dates of secrets, never their values.
resource seeVault 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for principalId in principalIds: {
  name: guid(vault.id, principalId, roleIds['Key Vault Reader'])
  scope: vault
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds['Key Vault Reader'])
  }
}]

resource readAnchors 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for principalId in principalIds: {
  name: guid(anchors.id, principalId, roleIds['Storage Blob Data Reader'])
  scope: anchors
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds['Storage Blob Data Reader'])
  }
}]

resource readMonitoring 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for principalId in principalIds: {
  name: guid(resourceGroup().id, principalId, roleIds['Monitoring Reader'])
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds['Monitoring Reader'])
  }
}]

resource readLogs 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for principalId in principalIds: {
  name: guid(resourceGroup().id, principalId, roleIds['Log Analytics Reader'])
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds['Log Analytics Reader'])
  }
}]
