// Parents and names that do not fit the type; what is read from a resource and does not exist.
resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: 'bus'
  location: 'westeurope' // fault: an existing resource is only looked up; it takes no `location`.
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: 'vault'
}

resource misplaced 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: vault // fault: the parent of Microsoft.ServiceBus/namespaces/queues must be Microsoft.ServiceBus/namespaces, here it is Microsoft.KeyVault/vaults.
  name: 'queue'
}

resource orphan 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  name: 'queue' // fault: the name of Microsoft.ServiceBus/namespaces/queues must have 1 `/`, or a `parent` and none
}

resource both 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: bus
  name: 'bus/queue' // fault: must have no `/`
}

resource nameless 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = { // fault: `nameless` has no name.
  parent: bus
}

resource bodiless 'Microsoft.ServiceBus/namespaces@2024-01-01' = [for item in ['a']: item] // fault: `bodiless` needs a body in braces.

output endpoint string = bus.properties.serviceBusEndpont // fault: Microsoft.ServiceBus/namespaces has no `properties.serviceBusEndpont`
output uri string = vault.properties.vaultUri
output sku string = vault.sku.name // fault: Microsoft.KeyVault/vaults has no `sku`: `sku` does not exist. | has no `sku.name`
output nested string = bus::queue.name // fault: `bus` has no nested resource `queue`.
output later array = map([1], x => '${x}${vault.properties.vaultUrl}') // fault: `vaultUrl` does not exist
