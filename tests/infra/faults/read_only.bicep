// 6.2.5: a read-only property that is set, in a newer and in an older package.
resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: 'bus'
}

resource queue 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: bus
  name: 'queue'
  properties: {
    messageCount: 0 // fault: `properties.messageCount` can only be read, Azure sets it.
  }
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'identity'
  location: 'westeurope'
  properties: {
    clientId: '' // fault: `properties.clientId` can only be read, Azure sets it.
  }
}

output id string = identity.id
