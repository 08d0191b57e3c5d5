metadata description = 'Two storage accounts: one for the Functions host, one for audit anchors that the app can add to and nobody can rewrite.'

@description('Name of the account for the Functions host (timer leases, function keys) and the code package.')
param hostAccountName string

@description('Name of the account for audit anchors. An account of its own, because the host needs owner rights on its account.')
param anchorsAccountName string

@description('Azure region.')
param location string

@description('Tags for the resources.')
param tags object

@description('Redundancy. ZRS survives the loss of a zone; use LRS where the region has no zones.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS'])
param skuName string

@description('Name of the container that holds the code package.')
param packageContainerName string

@description('Name of the container that holds the audit anchors.')
param anchorsContainerName string

@description('Name of the container that holds photos and films of work sessions.')
param capturesContainerName string

@description('Name of the container that holds the daily exports of work records for BI tools.')
param exportsContainerName string

@description('How many days photos and films of work sessions are kept; as long as the records of the sessions.')
param capturesDays int

@description('How many days after its creation an anchor cannot be changed or deleted.')
param anchorsImmutableDays int

@description('The policy has been locked: leave it alone, Azure refuses every change.')
param anchorsLocked bool

@description('Reached by private endpoints alone.')
param privateOnly bool

@description('Log Analytics workspace for the logs of the anchors account.')
param workspaceId string

resource host 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: hostAccountName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: skuName
  }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    isLocalUserEnabled: false
    minimumTlsVersion: 'TLS1_2'
    publicNetworkAccess: privateOnly ? 'Disabled' : 'Enabled'
    supportsHttpsTrafficOnly: true
    networkAcls: {
      bypass: 'None'
      defaultAction: privateOnly ? 'Deny' : 'Allow'
    }
  }
}

resource hostBlobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: host
  name: 'default'
  properties: {
    deleteRetentionPolicy: {
      enabled: true
      days: 14
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      days: 14
    }
  }
}

resource packages 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: hostBlobs
  name: packageContainerName
  properties: {
    publicAccess: 'None'
  }
}

resource anchors 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: anchorsAccountName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: skuName
  }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    isLocalUserEnabled: false
    minimumTlsVersion: 'TLS1_2'
    publicNetworkAccess: privateOnly ? 'Disabled' : 'Enabled'
    supportsHttpsTrafficOnly: true
    networkAcls: {
      bypass: 'None'
      defaultAction: privateOnly ? 'Deny' : 'Allow'
    }
  }
}

resource anchorsBlobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: anchors
  name: 'default'
  properties: {
    containerDeleteRetentionPolicy: {
      enabled: true
      days: 90
    }
  }
}

resource anchorsContainer 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: anchorsBlobs
  name: anchorsContainerName
  properties: {
    publicAccess: 'None'
  }
}

// Unlocked: an owner of the subscription could still shorten it. Locking is for ever and therefore a decision of people:
// docs/deploy.md has the command.
resource immutable 'Microsoft.Storage/storageAccounts/blobServices/containers/immutabilityPolicies@2025-06-01' = if (!anchorsLocked) {
  parent: anchorsContainer
  name: 'default'
  properties: {
    immutabilityPeriodSinceCreationInDays: anchorsImmutableDays
    allowProtectedAppendWrites: false
  }
}

// No immutability: people are in these photos, and an owner of the account must be able to delete one.
resource capturesContainer 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: anchorsBlobs
  name: capturesContainerName
  properties: {
    publicAccess: 'None'
  }
}

// Kept until somebody deletes them: they are the history that BI tools read, beyond the life of the records.
resource exportsContainer 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: anchorsBlobs
  name: exportsContainerName
  properties: {
    publicAccess: 'None'
  }
}

resource capturesEnd 'Microsoft.Storage/storageAccounts/managementPolicies@2025-06-01' = {
  parent: anchors
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'captures-end'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: [
                'blockBlob'
              ]
              prefixMatch: [
                '${capturesContainerName}/'
              ]
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterCreationGreaterThan: capturesDays
                }
              }
            }
          }
        }
      ]
    }
  }
}

resource anchorsLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: anchorsBlobs
  name: 'to-log-analytics'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'StorageWrite'
        enabled: true
      }
      {
        category: 'StorageDelete'
        enabled: true
      }
    ]
  }
}

@description('Resource id of the host account.')
output hostAccountId string = host.id

@description('Name of the host account.')
output hostAccountName string = host.name

@description('Where the code package is put.')
output packageContainerUri string = '${host.properties.primaryEndpoints.blob}${packages.name}'

@description('Resource id of the anchors account.')
output anchorsAccountId string = anchors.id

@description('Name of the anchors account.')
output anchorsAccountName string = anchors.name

@description('Name of the anchors container.')
output anchorsContainerName string = anchorsContainer.name

@description('Name of the container for photos and films of work sessions.')
output capturesContainerName string = capturesContainer.name

@description('Name of the container for daily exports.')
output exportsContainerName string = exportsContainer.name

@description('Blob endpoint of the anchors account.')
output anchorsBlobUri string = anchors.properties.primaryEndpoints.blob
