// Loops, conditions, nested resources, lambdas, JSON and functions that join are reached.
// fault data.json:4: `properties.maxDeliveryCount` wants a whole number and gets the string '2'
// fault data.json:4: `properties.status` is the string 'Actve', but must be one of
param wanted bool
param extra object
var data = loadJsonContent('data.json')

resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: 'bus'
}

resource looped 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = [for queue in data.queues: {
  parent: bus
  name: queue.name
  properties: {
    maxDeliveryCount: queue.count
    lockDuration: queue.lock // fault: there is no `lock` in this object; there are: count, name, status.
    status: queue.status
  }
}]

resource conditional 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = if (wanted) {
  parent: bus
  name: 'conditional'
  properties: union(extra, { maxDeliveryCounts: 1 }) // fault: did you mean `maxDeliveryCount`?
}

resource filtered 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = [for (name, i) in filter(['a', 'b'], n => n != 'a'): if (wanted) {
  parent: bus
  name: 'queue-${name}'
  properties: wanted ? { forwardTo: name } : { forwardFrom: i } // fault: `properties.forwardFrom` does not exist
}]

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' = {
  name: 'account'
  location: 'westeurope'
  properties: {
    databaseAccountOfferType: 'Standard'
    locations: map(['westeurope'], name => { locationname: name, failoverPriority: 0 }) // fault: did you mean `locationName`?
    capabilities: union(wanted ? [{ name: 'EnableServerless' }] : [], [{ named: 'x' }]) // fault: `properties.capabilities[].named` does not exist
    backupPolicy: { type: 'Continuous', periodicModeProperties: {} } // fault: `properties.backupPolicy.periodicModeProperties` does not exist in ContinuousModeBackupPolicy
    disableLocalAuth: true
    disableKeyBasedMetadataWriteAccess: true
    minimalTlsVersion: 'Tls12'
  }

  resource database 'sqlDatabases@2025-04-15' = {
    name: 'database'
    properties: { resource: { id: 'database' } }

    resource container 'containers@2025-04-15' = [for name in ['a']: {
      name: name
      properties: {
        resource: {
          id: name
          partitionKey: { path: '/id' } // fault: did you mean `paths`?
        }
      }
    }]
  }
}
