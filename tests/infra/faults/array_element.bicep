// 6.2.3: a misspelt property inside an array element.
param more array = []

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' = {
  name: 'account'
  location: 'westeurope'
  properties: {
    databaseAccountOfferType: 'Standard'
    backupPolicy: { type: 'Continuous' }
    locations: concat(more, [
      {
        locationName: 'westeurope'
        failoverPriorty: 0 // fault: `properties.locations[].failoverPriorty` does not exist in Location; did you mean `failoverPriority`?
      }
    ])
    ipRules: [for address in ['10.0.0.1', '10.0.0.2']: {
      ipAddress: address // fault: `properties.ipRules[].ipAddress` does not exist
    }]
    disableLocalAuth: true
    disableKeyBasedMetadataWriteAccess: true
    minimalTlsVersion: 'Tls12'
  }
}
