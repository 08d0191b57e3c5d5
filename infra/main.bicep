metadata description = 'Ovenbridge in one resource group. See docs/deploy.md.'

targetScope = 'resourceGroup'

// Who and where -------------------------------------------------------------------------------------------------------

@description('Name of the environment, e.g. prod. Goes into tags and, with the resource group, into the names.')
@minLength(1)
@maxLength(32)
param environmentName string

@description('Azure region.')
param location string = resourceGroup().location

@description('Change it to get new names, e.g. while the vault of a deleted environment still holds its name (90 days).')
param nameSeed string = ''

@description('Object id of a developer who may use the same services from home; empty: nobody. Not for production.')
param principalId string = ''

@description('What principalId is.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param principalType string = 'User'

// The app -------------------------------------------------------------------------------------------------------------

@description('Python of the app.')
@allowed(['3.11', '3.12', '3.13'])
param pythonVersion string = '3.13'

@description('Memory of an instance in MB. 512 is enough for some hundred devices and costs a quarter of 2048.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 512

@description('Most instances at once, 40 to 1000: the cap on what a storm of calls can cost.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Instances that always run, by group: [{ name: \'http\', instanceCount: 1 }]. Empty: the first call after a pause waits a few seconds.')
param alwaysReady array = []

@description('Copies in several zones of the region, for plan and database. Costs more.')
param zoneRedundant bool = false

@description('How callers reach the app when not by its own name, e.g. https://ovenbridge.example.com.')
param publicUrl string = ''

@description('Origins of web pages that may call the app, e.g. [\'https://tablets.example.com\']. Never a star.')
param corsOrigins array = []

@description('How long single readings are kept, in days.')
@minValue(1)
@maxValue(3650)
param readingsRetentionDays int = 90

@description('How long batch records are kept after their last change, in days.')
@minValue(1)
@maxValue(36500)
param batchesRetentionDays int = 730

@description('Least level that is logged.')
@allowed(['DEBUG', 'INFO', 'WARNING', 'ERROR'])
param logLevel string = 'INFO'

// Sign-in -------------------------------------------------------------------------------------------------------------

@description('Client id of the Entra app registration; empty: nobody signs in with Entra.')
param entraClientId string = ''

@description('Tenant of the people who sign in.')
param entraTenantId string = tenant().tenantId

@description('Object ids of auditors, best one group: they read everything and change nothing.')
param auditorPrincipalIds array = []

@description('What the auditors are.')
@allowed(['Group', 'User', 'ServicePrincipal'])
param auditorPrincipalType string = 'Group'

@description('false: built-in roles in place of two narrower ones, where you may not write role definitions.')
param customRoles bool = true

// Data ----------------------------------------------------------------------------------------------------------------

@description('serverless: pay per request, right up to some 15 devices at 30 s. autoscale: above that. See docs/deploy.md.')
@allowed(['serverless', 'autoscale'])
param cosmosCapacityMode string = 'serverless'

@description('Use this Cosmos DB account of the resource group, e.g. one restored from backup; empty: the usual name.')
param cosmosAccountName string = ''

@description('autoscale: most request units per second that all containers share, in steps of 1000.')
@minValue(1000)
param cosmosMaxThroughput int = 1000

@description('autoscale: containers with a throughput of their own, e.g. { readings: 20000 }. Only when they are created.')
param cosmosDedicatedMaxThroughput object = {}

@description('Log every read and write of data, for auditors. About 1 KB per request: mind the price of logs.')
param cosmosLogDataPlane bool = false

@description('Standard, or Premium for more than some 400 messages per second or for private endpoints.')
@allowed(['Standard', 'Premium'])
param serviceBusSku string = 'Standard'

@description('Redundancy of storage. LRS where the region has no zones.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS'])
param storageSku string = 'Standard_ZRS'

@description('How many days after its creation an audit anchor cannot be changed or deleted.')
@minValue(1)
@maxValue(146000)
param anchorsImmutableDays int = 365

@description('true once the immutability policy of the audit anchors has been locked: Azure then refuses every change of it.')
param anchorsLocked bool = false

// Plants --------------------------------------------------------------------------------------------------------------

@description('Relays in plants: [{ id: \'plant-1\', principalId: \'<object id of its service principal>\' }].')
param relays array = []

// Network -------------------------------------------------------------------------------------------------------------

@description('A virtual network, private endpoints and one fixed outgoing address. Service Bus stays public for relays.')
param vnetEnabled bool = false

@description('Address range of the virtual network, at least a /23.')
param vnetAddressPrefix string = '10.90.0.0/22'

@description('May ovens and callbacks have private addresses? Only together with vnetEnabled.')
param allowPrivateTargets bool = false

// Watching over it ----------------------------------------------------------------------------------------------------

@description('Mail addresses of the people who are told of alerts and of the budget.')
param operatorEmails array = []

@description('How long logs are kept, in days.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 90

@description('Most logs per day, in GB; -1 for no limit. Above it alerts on logs are blind until midnight UTC.')
param logDailyCapGb int = 5

@description('Budget per month in the currency of the subscription; 0 for none.')
@minValue(0)
param budgetAmount int = 100

@description('First day of the month of the first deployment, e.g. 2026-11-01; empty: this month. It cannot be changed later.')
param budgetStartDate string = ''

@description('This month. Leave it alone.')
param thisMonth string = utcNow('yyyy-MM')

var names = loadJsonContent('abbreviations.json')
var token = toLower(uniqueString(subscription().id, resourceGroup().id, environmentName, nameSeed))
var tags = {
  'azd-env-name': environmentName
  application: 'ovenbridge'
}
var cosmosDatabase = 'ovenbridge'
var packageContainer = 'app-package'
var anchorsContainer = 'audit-anchors'
var capturesContainer = 'session-captures'
var exportsContainer = 'work-exports'
var premium = serviceBusSku == 'Premium'
var budgetStart = empty(budgetStartDate) ? '${thisMonth}-01' : budgetStartDate

module identity 'modules/identity.bicep' = {
  name: 'identity'
  params: {
    name: '${names.managedIdentity}${token}'
    location: location
    tags: tags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: {
    workspaceName: '${names.logAnalytics}${token}'
    insightsName: '${names.applicationInsights}${token}'
    location: location
    tags: tags
    retentionDays: logRetentionDays
    dailyCapGb: logDailyCapGb
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  params: {
    hostAccountName: '${names.storage}${token}'
    anchorsAccountName: '${names.anchorsStorage}${token}'
    location: location
    tags: tags
    skuName: storageSku
    packageContainerName: packageContainer
    anchorsContainerName: anchorsContainer
    anchorsImmutableDays: anchorsImmutableDays
    capturesContainerName: capturesContainer
    exportsContainerName: exportsContainer
    capturesDays: 730
    anchorsLocked: anchorsLocked
    privateOnly: vnetEnabled
    workspaceId: monitoring.outputs.workspaceId
  }
}

module cosmos 'modules/cosmos.bicep' = {
  name: 'cosmos'
  params: {
    accountName: empty(cosmosAccountName) ? '${names.cosmosAccount}${token}' : cosmosAccountName
    databaseName: cosmosDatabase
    location: location
    tags: tags
    capacityMode: cosmosCapacityMode
    sharedMaxThroughput: cosmosMaxThroughput
    dedicatedMaxThroughput: cosmosDedicatedMaxThroughput
    zoneRedundant: zoneRedundant
    privateOnly: vnetEnabled
    logDataPlane: cosmosLogDataPlane
    workspaceId: monitoring.outputs.workspaceId
  }
}

module serviceBus 'modules/servicebus.bicep' = {
  name: 'service-bus'
  params: {
    name: '${names.serviceBus}${token}'
    location: location
    tags: tags
    skuName: serviceBusSku
    workspaceId: monitoring.outputs.workspaceId
  }
}

module vault 'modules/keyvault.bicep' = {
  name: 'key-vault'
  params: {
    name: '${names.keyVault}${token}'
    location: location
    tags: tags
    privateOnly: vnetEnabled
    workspaceId: monitoring.outputs.workspaceId
  }
}

module roles 'modules/roles.bicep' = if (customRoles) {
  name: 'roles'
  params: {
    nameToken: token
  }
}

module appRights 'modules/rbac.bicep' = {
  name: 'app-rights'
  params: {
    principalId: identity.outputs.principalId
    principalType: 'ServicePrincipal'
    hostAccountName: storage.outputs.hostAccountName
    anchorsAccountName: storage.outputs.anchorsAccountName
    anchorsContainerName: storage.outputs.anchorsContainerName
    capturesContainerName: storage.outputs.capturesContainerName
    exportsContainerName: storage.outputs.exportsContainerName
    serviceBusName: serviceBus.outputs.name
    vaultName: vault.outputs.name
    insightsName: monitoring.outputs.insightsName
    vaultRoleId: customRoles ? roles!.outputs.vaultRoleId : ''
    anchorsRoleId: customRoles ? roles!.outputs.anchorsRoleId : ''
  }
}

module appData 'modules/cosmos-access.bicep' = {
  name: 'app-data'
  params: {
    accountName: cosmos.outputs.accountName
    databaseName: cosmos.outputs.databaseName
    metadataReaderRoleId: cosmos.outputs.metadataReaderRoleId
    auditWriterRoleId: cosmos.outputs.auditWriterRoleId
    principalId: identity.outputs.principalId
  }
}

module developerRights 'modules/rbac.bicep' = if (!empty(principalId)) {
  name: 'developer-rights'
  params: {
    principalId: principalId
    principalType: principalType
    hostAccountName: storage.outputs.hostAccountName
    anchorsAccountName: storage.outputs.anchorsAccountName
    anchorsContainerName: storage.outputs.anchorsContainerName
    capturesContainerName: storage.outputs.capturesContainerName
    exportsContainerName: storage.outputs.exportsContainerName
    serviceBusName: serviceBus.outputs.name
    vaultName: vault.outputs.name
    insightsName: monitoring.outputs.insightsName
    vaultRoleId: customRoles ? roles!.outputs.vaultRoleId : ''
    anchorsRoleId: customRoles ? roles!.outputs.anchorsRoleId : ''
  }
}

module developerData 'modules/cosmos-access.bicep' = if (!empty(principalId)) {
  name: 'developer-data'
  params: {
    accountName: cosmos.outputs.accountName
    databaseName: cosmos.outputs.databaseName
    metadataReaderRoleId: cosmos.outputs.metadataReaderRoleId
    auditWriterRoleId: cosmos.outputs.auditWriterRoleId
    principalId: principalId
  }
  dependsOn: [
    appData
  ]
}

module auditors 'modules/auditors.bicep' = if (!empty(auditorPrincipalIds)) {
  name: 'auditors'
  params: {
    principalIds: auditorPrincipalIds
    principalType: auditorPrincipalType
    accountName: cosmos.outputs.accountName
    databaseName: cosmos.outputs.databaseName
    metadataReaderRoleId: cosmos.outputs.metadataReaderRoleId
    vaultName: vault.outputs.name
    anchorsAccountName: storage.outputs.anchorsAccountName
    anchorsContainerName: storage.outputs.anchorsContainerName
  }
  dependsOn: [
    appData
    developerData
  ]
}

module relayAccess 'modules/relay.bicep' = [for relay in relays: {
  name: 'relay-${relay.id}'
  params: {
    relayId: relay.id
    relayPrincipalId: relay.principalId
    appPrincipalId: identity.outputs.principalId
    serviceBusName: serviceBus.outputs.name
    insightsName: monitoring.outputs.insightsName
  }
}]

module network 'modules/network.bicep' = if (vnetEnabled) {
  name: 'network'
  params: {
    name: '${names.virtualNetwork}${token}'
    natGatewayName: '${names.natGateway}${token}'
    publicIpName: '${names.publicIp}${token}'
    securityGroupName: '${names.networkSecurityGroup}${token}'
    location: location
    tags: tags
    addressPrefix: vnetAddressPrefix
  }
}

module privateEndpoints 'modules/private-endpoints.bicep' = if (vnetEnabled) {
  name: 'private-endpoints'
  params: {
    location: location
    tags: tags
    namePrefix: '${names.privateEndpoint}${token}-'
    networkId: network!.outputs.id
    subnetId: network!.outputs.endpointsSubnetId
    hostAccountId: storage.outputs.hostAccountId
    anchorsAccountId: storage.outputs.anchorsAccountId
    cosmosId: cosmos.outputs.id
    vaultId: vault.outputs.id
    serviceBusId: premium ? serviceBus.outputs.id : ''
  }
}

module api 'modules/functionapp.bicep' = {
  name: 'function-app'
  params: {
    planName: '${names.plan}${token}'
    name: '${names.functionApp}${token}'
    location: location
    tags: tags
    pythonVersion: pythonVersion
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    alwaysReady: alwaysReady
    zoneRedundant: zoneRedundant
    subnetId: vnetEnabled ? network!.outputs.appSubnetId : ''
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    hostAccountName: storage.outputs.hostAccountName
    packageContainerUri: storage.outputs.packageContainerUri
    anchorsBlobUri: storage.outputs.anchorsBlobUri
    cosmosEndpoint: cosmos.outputs.endpoint
    cosmosDatabase: cosmos.outputs.databaseName
    serviceBusHostName: serviceBus.outputs.hostName
    vaultUri: vault.outputs.uri
    insightsConnectionString: monitoring.outputs.connectionString
    entraClientId: entraClientId
    entraTenantId: entraTenantId
    publicUrl: publicUrl
    corsOrigins: corsOrigins
    allowPrivateTargets: allowPrivateTargets && vnetEnabled
    readingsRetentionDays: readingsRetentionDays
    batchesRetentionDays: batchesRetentionDays
    logLevel: logLevel
  }
  // Before its rights and its way to the services it would only collect errors.
  dependsOn: [
    appRights
    appData
    privateEndpoints
  ]
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  params: {
    actionGroupName: '${names.actionGroup}${token}'
    metricAlertPrefix: '${names.metricAlert}${token}-'
    queryAlertPrefix: '${names.queryAlert}${token}-'
    location: location
    tags: tags
    emails: operatorEmails
    resourceIds: {
      cosmos: cosmos.outputs.id
      functionApp: api.outputs.id
      keyVault: vault.outputs.id
      serviceBus: serviceBus.outputs.id
      storage: storage.outputs.hostAccountId
    }
    workspaceId: monitoring.outputs.workspaceId
  }
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  params: {
    displayName: 'Ovenbridge ${environmentName}'
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
  }
}

module budget 'modules/budget.bicep' = if (budgetAmount > 0) {
  name: 'budget'
  params: {
    name: '${names.budget}${token}'
    amount: budgetAmount
    startDate: budgetStart
    emails: operatorEmails
  }
}

// azd keeps these as environment values; `az deployment group show --query properties.outputs` shows them, too.

@description('Region.')
output AZURE_LOCATION string = location

@description('Tenant.')
output AZURE_TENANT_ID string = tenant().tenantId

@description('Resource group.')
output AZURE_RESOURCE_GROUP string = resourceGroup().name

@description('Name of the function app.')
output SERVICE_API_NAME string = api.outputs.name

@description('Address of the function app.')
output SERVICE_API_URL string = api.outputs.url

@description('Client id of the identity of the app.')
output APP_IDENTITY_CLIENT_ID string = identity.outputs.clientId

@description('Object id of the identity of the app, for the federated credential of the app registration.')
output APP_IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId

@description('CosmosConnection__accountEndpoint.')
output COSMOS_ENDPOINT string = cosmos.outputs.endpoint

@description('COSMOS_DATABASE.')
output COSMOS_DATABASE string = cosmos.outputs.databaseName

@description('ServiceBusConnection__fullyQualifiedNamespace.')
output SERVICE_BUS_HOST string = serviceBus.outputs.hostName

@description('KEY_VAULT_URI.')
output KEY_VAULT_URI string = vault.outputs.uri

@description('AuditAnchorsConnection__blobServiceUri.')
output AUDIT_ANCHORS_URI string = storage.outputs.anchorsBlobUri

@description('Address that calls go out from; empty without a virtual network.')
output OUTBOUND_ADDRESS string = vnetEnabled ? network!.outputs.outboundAddress : ''

@description('First month of the budget; azd hands it to the next deployment.')
output BUDGET_START_DATE string = budgetStart
