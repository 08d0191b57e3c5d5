metadata description = 'The Cosmos DB account, the database and the containers of topology.json, and the role that can only add to the audit log.'

@description('Name of the account.')
param accountName string

@description('Name of the database, for COSMOS_DATABASE.')
param databaseName string

@description('Azure region.')
param location string

@description('Tags for the resource.')
param tags object

@description('serverless: pay per request. autoscale: the containers share a throughput that follows the load.')
@allowed(['serverless', 'autoscale'])
param capacityMode string

@description('autoscale: most request units per second that all containers share. A tenth of it is always paid.')
param sharedMaxThroughput int

@description('autoscale: containers with a throughput of their own, e.g. { readings: 20000 }. Only when they are created.')
param dedicatedMaxThroughput object

@description('Copies in several zones of the region.')
param zoneRedundant bool

@description('Reached by private endpoints alone.')
param privateOnly bool

@description('Also log every read and write of data, for auditors. About 1 KB per request: mind the price of logs.')
param logDataPlane bool

@description('Log Analytics workspace for the logs of the account.')
param workspaceId string

var topology = loadJsonContent('../topology.json')
var serverless = capacityMode == 'serverless'

// What queries may filter or order by; everything else stays out of the index, because every indexed property costs
// request units at every write. `id` is always indexed.
var indexed = [for container in topology.containers: map(filter(union(container.partitionKey, container.indexed), path => path != '/id'), path => { path: '${path}/?' })]

// Equalities first, then what is ordered or ranged, as topology.json lists them.
var combinations = [for container in topology.containers: filter(union(container.?within ?? [], container.?across ?? []), paths => length(paths) > 1)]

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' = {
  name: accountName
  location: location
  tags: tags
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    capabilities: serverless ? [{ name: 'EnableServerless' }] : []
    locations: [
      {
        locationName: location
        failoverPriority: 0
        isZoneRedundant: zoneRedundant
      }
    ]
    // A message may be handled by another instance than the one that wrote the document it tells of: that one must be
    // seen. Session consistency promises this only within one client.
    consistencyPolicy: {
      defaultConsistencyLevel: 'Strong'
    }
    backupPolicy: {
      type: 'Continuous'
      continuousModeProperties: {
        tier: 'Continuous7Days'
      }
    }
    disableLocalAuth: true
    disableKeyBasedMetadataWriteAccess: true
    minimalTlsVersion: 'Tls12'
    publicNetworkAccess: privateOnly ? 'Disabled' : 'Enabled'
    networkAclBypass: 'None'
  }
}

resource database 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2025-04-15' = {
  parent: account
  name: databaseName
  properties: {
    resource: {
      id: databaseName
    }
    options: serverless ? {} : { autoscaleSettings: { maxThroughput: sharedMaxThroughput } }
  }
}

@batchSize(4)
resource containers 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-04-15' = [for (container, i) in topology.containers: {
  parent: database
  name: container.name
  properties: {
    resource: {
      id: container.name
      partitionKey: {
        paths: container.partitionKey
        kind: length(container.partitionKey) > 1 ? 'MultiHash' : 'Hash'
        version: 2
      }
      // null: documents live for ever, and their own `ttl` is ignored. That is how it must be for the audit log.
      defaultTtl: container.ttlSeconds
      indexingPolicy: {
        automatic: true
        indexingMode: 'consistent'
        includedPaths: indexed[i]
        excludedPaths: [
          {
            path: '/*'
          }
        ]
        compositeIndexes: map(combinations[i], paths => map(paths, path => { path: path, order: 'ascending' }))
      }
    }
    options: !serverless && contains(dedicatedMaxThroughput, container.name) ? { autoscaleSettings: { maxThroughput: dedicatedMaxThroughput[container.name] } } : {}
  }
}]

// Without it the SDK cannot ask where the account is: per-container roles do not reach that far.
resource metadataReader 'Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions@2024-11-15' = {
  parent: account
  name: guid(account.id, 'metadata-reader')
  properties: {
    roleName: 'Ovenbridge metadata reader'
    type: 'CustomRole'
    assignableScopes: [
      account.id
    ]
    permissions: [
      {
        dataActions: [
          'Microsoft.DocumentDB/databaseAccounts/readMetadata'
        ]
      }
    ]
  }
}

// Create and read; no replace, upsert, patch or delete. Whoever holds it can add to the log and change nothing in it.
resource auditWriter 'Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions@2024-11-15' = {
  parent: account
  name: guid(account.id, 'audit-writer')
  properties: {
    roleName: 'Ovenbridge audit writer'
    type: 'CustomRole'
    assignableScopes: [
      '${account.id}/dbs/${databaseName}/colls/audit'
    ]
    permissions: [
      {
        dataActions: [
          'Microsoft.DocumentDB/databaseAccounts/readMetadata'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/create'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/read'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/executeQuery'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/readChangeFeed'
        ]
      }
    ]
  }
  dependsOn: [
    containers
  ]
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: account
  name: 'to-log-analytics'
  properties: {
    workspaceId: workspaceId
    logAnalyticsDestinationType: 'Dedicated'
    logs: [
      {
        category: 'ControlPlaneRequests'
        enabled: true
      }
      {
        category: 'DataPlaneRequests'
        enabled: logDataPlane
      }
    ]
  }
}

@description('Resource id of the account.')
output id string = account.id

@description('Name of the account.')
output accountName string = account.name

@description('Name of the database.')
output databaseName string = database.name

@description('Address of the account, for CosmosConnection__accountEndpoint.')
output endpoint string = account.properties.documentEndpoint

@description('Names of the containers.')
output containerNames array = [for (container, i) in topology.containers: containers[i].name]

@description('Id of the role that reads account metadata.')
output metadataReaderRoleId string = metadataReader.id

@description('Id of the role that can only add to the audit log.')
output auditWriterRoleId string = auditWriter.id
