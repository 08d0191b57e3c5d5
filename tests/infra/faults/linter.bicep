// Rules of Bicep's linter that bicepconfig.json makes errors.
param vaultSecretName string // fault: `vaultSecretName` sounds like a secret
param location string = resourceGroup().location

var host = 'https://x.vault.azure.net' // fault: `vault.azure.net` is another one in other clouds
var zone = 'privatelink.vaultcore.azure.net'
var joined = concat(host, '-', zone) // fault: write '${a}${b}' instead of concat(a, b)
var there = resourceGroup().location // fault: take the location from a parameter, not from resourceGroup().location.

resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: 'bus'
}

resource queue 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: bus
  name: 'queue'
  dependsOn: [
    bus // fault: `bus` is used in the body already: take it out of dependsOn.
  ]
}

output all array = [vaultSecretName, location, joined, there, queue.id]
