// 6.2.2: a misspelt property at the first level of `properties`, and on a child resource.
resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: 'bus'
  location: 'westeurope'
  Tags: {} // fault: `Tags` does not exist in SBNamespace; did you mean `tags`?
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    zoneRedundent: true // fault: `properties.zoneRedundent` does not exist in SBNamespaceProperties; did you mean `zoneRedundant`?
  }

  resource queue 'queues' = {
    name: 'queue'
    properties: {
      deadLetteringOnMessageExpired: true // fault: did you mean `deadLetteringOnMessageExpiration`?
    }
  }
}

resource other 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: bus
  name: 'other'
  properties: {
    lockduration: 'PT1M' // fault: did you mean `lockDuration`?
  }
}
