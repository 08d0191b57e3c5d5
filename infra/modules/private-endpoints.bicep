metadata description = 'One private endpoint per service, with its private DNS zone.'

@description('Azure region.')
param location string

@description('Tags for the resources.')
param tags object

@description('Start of the names of the endpoints.')
param namePrefix string

@description('Resource id of the virtual network.')
param networkId string

@description('Resource id of the subnet of the endpoints.')
param subnetId string

@description('Resource id of the Functions host account.')
param hostAccountId string

@description('Resource id of the audit anchors account.')
param anchorsAccountId string

@description('Resource id of the Cosmos DB account.')
param cosmosId string

@description('Resource id of the vault.')
param vaultId string

@description('Resource id of the Service Bus namespace; empty: none, because only Premium has private endpoints.')
param serviceBusId string

var blobZone = 'privatelink.blob.${environment().suffixes.storage}'
var tableZone = 'privatelink.table.${environment().suffixes.storage}'
var cosmosZone = 'privatelink.documents.azure.com'
var vaultZone = 'privatelink.vaultcore.azure.net'
var serviceBusZone = 'privatelink.servicebus.windows.net'

var always = [
  { name: 'host-blob', service: hostAccountId, group: 'blob', zone: blobZone }
  { name: 'host-table', service: hostAccountId, group: 'table', zone: tableZone }
  { name: 'anchors-blob', service: anchorsAccountId, group: 'blob', zone: blobZone }
  { name: 'cosmos', service: cosmosId, group: 'Sql', zone: cosmosZone }
  { name: 'vault', service: vaultId, group: 'vault', zone: vaultZone }
]
var premiumOnly = [
  { name: 'service-bus', service: serviceBusId, group: 'namespace', zone: serviceBusZone }
]
var wanted = empty(serviceBusId) ? always : concat(always, premiumOnly)
var zoneNames = empty(serviceBusId) ? [blobZone, tableZone, cosmosZone, vaultZone] : [blobZone, tableZone, cosmosZone, vaultZone, serviceBusZone]

resource zones 'Microsoft.Network/privateDnsZones@2020-06-01' = [for zone in zoneNames: {
  name: zone
  location: 'global'
  tags: tags
}]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [for (zone, i) in zoneNames: {
  parent: zones[i]
  name: 'to-${uniqueString(networkId)}'
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: networkId
    }
  }
}]

resource endpoints 'Microsoft.Network/privateEndpoints@2025-05-01' = [for item in wanted: {
  name: '${namePrefix}${item.name}'
  location: location
  tags: tags
  properties: {
    subnet: {
      id: subnetId
    }
    privateLinkServiceConnections: [
      {
        name: item.name
        properties: {
          privateLinkServiceId: item.service
          groupIds: [
            item.group
          ]
        }
      }
    ]
  }
}]

resource names 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = [for (item, i) in wanted: {
  parent: endpoints[i]
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: item.name
        properties: {
          privateDnsZoneId: resourceId('Microsoft.Network/privateDnsZones', item.zone)
        }
      }
    ]
  }
  dependsOn: [
    zones
  ]
}]
