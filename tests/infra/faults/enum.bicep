// 6.2.1: a value outside an enum, in `sku` and deep inside `properties`, straight, by a variable, a parameter, a choice.
@allowed(['Standard', 'Premum']) // fault: `sku.tier` is the string 'Premum', but must be one of
param tier string = 'Standard'
param private bool = true
var consistency = 'Sessoin' // fault: `properties.consistencyPolicy.defaultConsistencyLevel` is the string 'Sessoin'

resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: 'bus'
  location: 'westeurope'
  sku: {
    name: 'Standrad' // fault: `sku.name` is the string 'Standrad', but must be one of 'Basic', 'Standard', 'Premium'
    tier: tier
  }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: private ? 'Disabled' : 'Enabeld' // fault: `properties.publicNetworkAccess` is the string 'Enabeld'
  }
}

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' = {
  name: 'account'
  location: 'westeurope'
  properties: {
    databaseAccountOfferType: 'Standard'
    locations: [{ locationName: 'westeurope', failoverPriority: 0 }]
    consistencyPolicy: { defaultConsistencyLevel: consistency }
    backupPolicy: { type: 'Continuous', continuousModeProperties: { tier: 'Continuous8Days' } } // fault: 'Continuous8Days'
    disableLocalAuth: true
    disableKeyBasedMetadataWriteAccess: true
    minimalTlsVersion: 'Tls12'
  }
}
