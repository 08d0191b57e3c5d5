metadata description = 'Who the app is: one identity for the function app, with no secret that anybody could lose.'

@description('Name of the user-assigned identity.')
param name string

@description('Azure region.')
param location string

@description('Tags for the resource.')
param tags object

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

@description('Resource id, for the function app.')
output id string = identity.id

@description('Name, for modules that look it up.')
output name string = identity.name

@description('Client id, for the app settings.')
output clientId string = identity.properties.clientId

@description('Object id, for role assignments.')
output principalId string = identity.properties.principalId
