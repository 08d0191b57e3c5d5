// Role ids: the allow-list, names beside them, data roles in their place, the audit log append-only.
param principalId string
param principalType string

var roleIds = {
  'Azure Service Bus Data Sender': '090c5cfd-751d-490a-894a-3ce6f1109419' // fault: is the role 'Azure Service Bus Data Owner', not 'Azure Service Bus Data Sender'.
  Contributor: 'b24988ac-6180-42a0-ab88-20f7382dd24c' // fault: b24988ac-6180-42a0-ab88-20f7382dd24c is not on the list of roles
}
var contributor = '00000000-0000-0000-0000-000000000002'

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' existing = {
  name: 'account'
}

resource wrongPlane 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, principalId)
  scope: account
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: '${account.id}/sqlRoleDefinitions/${contributor}' // fault: is a data role of Cosmos DB
  }
}

resource alsoWrong 'Microsoft.Authorization/roleAssignments@2022-04-01' = { // fault: a role assignment needs `principalType`
  name: guid(account.id, principalId, 'x')
  scope: account
  properties: {
    principalId: principalId
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds['Azure Service Bus Data Sender'])
  }
}

resource everything 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-11-15' = {
  parent: account
  name: guid(account.id, principalId, 'y')
  properties: {
    principalId: principalId
    roleDefinitionId: '${account.id}/sqlRoleDefinitions/${contributor}'
    scope: account.id // fault: the data contributor is for one container at a time
  }
}

resource audit 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-11-15' = [for name in ['alerts', 'audit']: {
  parent: account
  name: guid(account.id, principalId, name)
  properties: {
    principalId: principalId
    roleDefinitionId: '${account.id}/sqlRoleDefinitions/${contributor}'
    scope: '${account.id}/dbs/ovenbridge/colls/${name}' // fault: here the data contributor could rewrite the audit log.
  }
}]

resource builtIn 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-11-15' = {
  parent: account
  name: guid(account.id, principalId, 'z')
  properties: {
    principalId: principalId
    roleDefinitionId: '${account.id}/sqlRoleDefinitions/21090545-7ca7-4776-b22c-e363652d74d2' // fault: 'Key Vault Reader' is no data role of Cosmos DB.
    scope: account.id
  }
}

resource own 'Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions@2024-11-15' = {
  parent: account
  name: guid(account.id, 'own')
  properties: {
    roleName: 'own'
    type: 'CustomRole'
    assignableScopes: ['${account.id}/dbs/ovenbridge/colls/audit']
    permissions: [
      {
        dataActions: [
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/create'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/replace' // fault: could rewrite the audit log
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/*' // fault: could rewrite the audit log
        ]
      }
    ]
  }
}
