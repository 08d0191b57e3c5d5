metadata description = 'Two roles narrower than any built-in one. Writing role definitions needs Owner or User Access Administrator.'

@description('Makes the names of the roles unique in the tenant.')
param nameToken string

resource secrets 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, 'ovenbridge-secrets')
  properties: {
    roleName: 'Ovenbridge secrets ${nameToken}'
    description: 'Read, write, list, delete and bring back secrets of the vault. No purge, no backup, no keys, no certificates.'
    type: 'CustomRole'
    assignableScopes: [
      resourceGroup().id
    ]
    permissions: [
      {
        actions: []
        notActions: []
        dataActions: [
          'Microsoft.KeyVault/vaults/secrets/getSecret/action'
          'Microsoft.KeyVault/vaults/secrets/setSecret/action'
          'Microsoft.KeyVault/vaults/secrets/readMetadata/action'
          'Microsoft.KeyVault/vaults/secrets/delete'
          'Microsoft.KeyVault/vaults/secrets/recover/action'
        ]
        notDataActions: []
      }
    ]
  }
}

resource anchors 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, 'ovenbridge-anchors')
  properties: {
    roleName: 'Ovenbridge audit anchors ${nameToken}'
    description: 'Read blobs and create new ones. No overwriting, no deleting.'
    type: 'CustomRole'
    assignableScopes: [
      resourceGroup().id
    ]
    permissions: [
      {
        actions: [
          'Microsoft.Storage/storageAccounts/blobServices/containers/read'
        ]
        notActions: []
        dataActions: [
          'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read'
          'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action'
        ]
        notDataActions: []
      }
    ]
  }
}

@description('Id of the role for secrets.')
output vaultRoleId string = secrets.id

@description('Id of the role for audit anchors.')
output anchorsRoleId string = anchors.id
