metadata description = 'Data rights of one principal: everything in every container, except in the audit log, where it can only add.'

@description('Name of the Cosmos DB account.')
param accountName string

@description('Name of the database.')
param databaseName string

@description('Id of the role that reads account metadata.')
param metadataReaderRoleId string

@description('Id of the role that can only add to the audit log.')
param auditWriterRoleId string

@description('Object id of the principal.')
param principalId string

// Cosmos DB Built-in Data Contributor. Never at the account or the database: that would open the audit log.
var dataContributor = '00000000-0000-0000-0000-000000000002'
var auditContainer = 'audit'
var topology = loadJsonContent('../topology.json')
var otherContainers = filter(topology.containers, container => container.name != auditContainer)

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' existing = {
  name: accountName
}

resource readMetadata 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-11-15' = {
  parent: account
  name: guid(account.id, principalId, 'metadata-reader')
  properties: {
    principalId: principalId
    roleDefinitionId: metadataReaderRoleId
    scope: account.id
  }
}

resource addToAudit 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-11-15' = {
  parent: account
  name: guid(account.id, principalId, 'audit-writer')
  properties: {
    principalId: principalId
    roleDefinitionId: auditWriterRoleId
    scope: '${account.id}/dbs/${databaseName}/colls/${auditContainer}'
  }
  dependsOn: [
    readMetadata
  ]
}

// One after the other: the account refuses assignments that are written at the same time.
@batchSize(1)
resource writeOthers 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-11-15' = [for container in otherContainers: {
  parent: account
  name: guid(account.id, principalId, dataContributor, container.name)
  properties: {
    principalId: principalId
    roleDefinitionId: '${account.id}/sqlRoleDefinitions/${dataContributor}'
    scope: '${account.id}/dbs/${databaseName}/colls/${container.name}'
  }
  dependsOn: [
    addToAudit
  ]
}]
