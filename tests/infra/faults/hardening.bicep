// Ways in without an Entra token and TLS.
param open bool = false

resource host 'Microsoft.Storage/storageAccounts@2025-06-01' = { // fault: must set `properties.supportsHttpsTrafficOnly` to true
  name: 'host'
  location: 'westeurope'
  kind: 'StorageV2'
  sku: { name: 'Standard_ZRS' }
  properties: {
    allowSharedKeyAccess: open // fault: `properties.allowSharedKeyAccess` must be false, here it is true or false
    allowBlobPublicAccess: true // fault: `properties.allowBlobPublicAccess` must be false, here it is true
    minimumTlsVersion: 'TLS1_0' // fault: `properties.minimumTlsVersion` must be 'TLS1_2' or 'TLS1_3'
  }
}

resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' = { // fault: must set `properties.disableLocalAuth` to true: only Entra tokens open it.
  name: 'bus'
  location: 'westeurope'
  properties: { minimumTlsVersion: '1.2' }
}

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' = {
  name: 'account'
  location: 'westeurope'
  properties: {
    databaseAccountOfferType: 'Standard'
    locations: [{ locationName: 'westeurope', failoverPriority: 0 }]
    backupPolicy: { type: 'Periodic' } // fault: `properties.backupPolicy.type` must be 'Continuous'
    disableLocalAuth: false // fault: `properties.disableLocalAuth` must be true, here it is false
    disableKeyBasedMetadataWriteAccess: true
    minimalTlsVersion: 'Tls11' // fault: `properties.minimalTlsVersion` must be 'Tls12' or 'Tls13'
  }
}

resource app 'Microsoft.Web/sites@2025-03-01' = { // fault: must set `identity.type` | needs a basicPublishingCredentialsPolicies 'scm' with allow: false.
  name: 'app'
  location: 'westeurope'
  properties: {
    httpsOnly: false // fault: `properties.httpsOnly` must be true, here it is false
    siteConfig: {
      minTlsVersion: '1.0' // fault: `properties.siteConfig.minTlsVersion` must be '1.2' or '1.3'
      scmMinTlsVersion: '1.2'
    }
  }
}

resource ftp 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'ftp'
  properties: { allow: true } // fault: `properties.allow` must be false, here it is true
}

resource insights 'Microsoft.Insights/components@2020-02-02' = { // fault: must set `properties.DisableLocalAuth` to true
  name: 'insights'
  location: 'westeurope'
  kind: 'web'
  properties: { Application_Type: 'web' }
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: 'vault'
  location: 'westeurope'
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enablePurgeProtection: null // fault: `properties.enablePurgeProtection` must be true, here it is null
    enableSoftDelete: true
    softDeleteRetentionInDays: 7 // fault: `properties.softDeleteRetentionInDays` must be 90
  }
}
