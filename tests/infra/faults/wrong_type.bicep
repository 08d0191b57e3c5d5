// 6.2.4: a wrong primitive type; an object for a string, a string for an array; no ISO 8601 duration.
param count string = '5'
var tags = ['bakery'] // fault: `tags` wants an object and gets an array

resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: 'bus'
  location: 'westeurope'
  tags: tags
  properties: {
    disableLocalAuth: 'yes' // fault: wants true or false and gets the string 'yes' | must be true, here it is the string 'yes'
    minimumTlsVersion: '1.2'
  }
}

resource queue 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: bus
  name: 'queue'
  properties: {
    maxDeliveryCount: '10' // fault: `properties.maxDeliveryCount` wants a whole number and gets the string '10'
    lockDuration: '60s' // fault: `properties.lockDuration` wants an ISO 8601 duration such as 'PT5M' and gets the string '60s'
    requiresSession: 1 == 1 ? 'no' : false // fault: wants true or false and gets the string 'no'
  }
}

resource another 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: bus
  name: 'another'
  properties: {
    maxDeliveryCount: count // fault: `properties.maxDeliveryCount` wants a whole number and gets a string
    forwardTo: queue.properties.maxDeliveryCount
    autoDeleteOnIdle: {} // fault: `properties.autoDeleteOnIdle` wants
  }
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: 'vault'
  location: 'westeurope'
  properties: {
    tenantId: tenant().tenantId
    sku: 'standard' // fault: `properties.sku` wants an object (Sku) and gets the string 'standard'
    networkAcls: { ipRules: '10.0.0.1' } // fault: `properties.networkAcls.ipRules` wants an array and gets the string '10.0.0.1'
    enableRbacAuthorization: true
    enablePurgeProtection: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
  }
}
