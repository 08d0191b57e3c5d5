metadata description = 'The function app on a Flex Consumption plan, its settings, and sign-in with Entra where an app registration is given.'

@description('Name of the plan.')
param planName string

@description('Name of the function app; its address is https://<name>.azurewebsites.net.')
param name string

@description('Azure region.')
param location string

@description('Tags for the resources; azd finds the app by azd-service-name.')
param tags object

@description('Python of the app.')
@allowed(['3.11', '3.12', '3.13'])
param pythonVersion string

@description('Memory of an instance in MB: a quarter of a core, one or two.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int

@description('Most instances at once.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int

@description('Instances that always run, by group: [{ name: \'http\', instanceCount: 1 }, { name: \'function:deliver_notification\', instanceCount: 1 }].')
param alwaysReady array

@description('Copies in several zones. Always-ready groups then need at least two instances.')
param zoneRedundant bool

@description('Subnet that the app goes out through; empty: none.')
param subnetId string

@description('Resource id of the identity.')
param identityId string

@description('Client id of the identity.')
param identityClientId string

@description('Name of the storage account of the Functions host.')
param hostAccountName string

@description('Address of the container for the code package.')
param packageContainerUri string

@description('Blob endpoint of the account for audit anchors.')
param anchorsBlobUri string

@description('Address of the Cosmos DB account.')
param cosmosEndpoint string

@description('Name of the database.')
param cosmosDatabase string

@description('Host name of the Service Bus namespace.')
param serviceBusHostName string

@description('Address of the vault.')
param vaultUri string

@description('Where telemetry is sent.')
param insightsConnectionString string

@description('Client id of the Entra app registration; empty: nobody signs in with Entra.')
param entraClientId string

@description('Tenant of the people who sign in.')
param entraTenantId string

@description('How callers reach the app when not by its own name, e.g. https://ovenbridge.example.com.')
param publicUrl string

@description('Origins of web pages that may call the app, e.g. https://tablets.example.com. Never a star.')
param corsOrigins array

@description('May ovens and callbacks have private addresses? Only with a virtual network of its own.')
param allowPrivateTargets bool

@description('How long single readings are kept, in days.')
param readingsRetentionDays int

@description('How long batch records are kept after their last change, in days.')
param batchesRetentionDays int

@description('Least level that is logged.')
@allowed(['DEBUG', 'INFO', 'WARNING', 'ERROR'])
param logLevel string

// What shared/settings.py and shared/azure_connections.py read, and what the Functions host reads. The runtime and its
// version stand in functionAppConfig: Flex Consumption refuses them here.
var settings = {
  AzureWebJobsStorage__accountName: hostAccountName
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  AzureWebJobsDisableHomepage: 'true'
  APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY: 'true'
  // Spans are ours, and those of the Azure SDKs. The others would tell full addresses, and cost a span per poll.
  OTEL_PYTHON_DISABLED_INSTRUMENTATIONS: 'django,fastapi,flask,httpx,psycopg2,requests,urllib,urllib3'
  AZURE_CLIENT_ID: identityClientId
  CosmosConnection__accountEndpoint: cosmosEndpoint
  CosmosConnection__credential: 'managedidentity'
  CosmosConnection__clientId: identityClientId
  COSMOS_DATABASE: cosmosDatabase
  ServiceBusConnection__fullyQualifiedNamespace: serviceBusHostName
  ServiceBusConnection__credential: 'managedidentity'
  ServiceBusConnection__clientId: identityClientId
  SERVICE_BUS_TRANSPORT: 'amqp'
  KEY_VAULT_URI: vaultUri
  AuditAnchorsConnection__blobServiceUri: anchorsBlobUri
  AuditAnchorsConnection__credential: 'managedidentity'
  AuditAnchorsConnection__clientId: identityClientId
  PUBLIC_URL: publicUrl
  ACCESS_MODE: 'tokens'
  ACCESS_TOKEN_SECONDS: '3600'
  ALLOW_SECRET_IN_URL: 'false'
  ENTRA_TENANT_ID: empty(entraClientId) ? '' : toLower(entraTenantId)
  ALLOW_PRIVATE_TARGETS: allowPrivateTargets ? 'true' : 'false'
  ALLOW_HTTP_TARGETS: 'false'
  MAX_BODY_BYTES: '1048576'
  DELIVERY_TIMEOUT_SECONDS: '10'
  DELIVERY_RETRY_SECONDS: '10'
  POLL_DEADLINE_SECONDS: '20'
  READINGS_RETENTION_DAYS: string(readingsRetentionDays)
  BATCHES_RETENTION_DAYS: string(batchesRetentionDays)
  LOG_LEVEL: logLevel
}

// In place of a client secret: the platform proves the registration's identity by the app's own (federated credential).
var signInSettings = {
  OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID: identityClientId
  WEBSITE_AUTH_AAD_ALLOWED_TENANTS: entraTenantId
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
    zoneRedundant: zoneRedundant
  }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'api' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: 'Enabled'
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    keyVaultReferenceIdentity: identityId
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
      remoteDebuggingEnabled: false
      cors: {
        allowedOrigins: corsOrigins
        supportCredentials: false
      }
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageContainerUri
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: alwaysReady
        triggers: {
          http: {
            // Python apps are given one request per instance unless this says otherwise; all our handlers are async.
            perInstanceConcurrency: 32
          }
        }
      }
      runtime: {
        name: 'python'
        version: pythonVersion
      }
    }
  }
}

resource appSettings 'Microsoft.Web/sites/config@2025-03-01' = {
  parent: app
  name: 'appsettings'
  properties: empty(entraClientId) ? settings : union(settings, signInSettings)
}

resource ftp 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource scm 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

// Anonymous calls reach the app, because webhooks and API tokens come that way; the app itself asks for roles. What Easy
// Auth adds: it strips X-MS-CLIENT-PRINCIPAL headers that others send, and puts in its own for whoever has signed in.
resource signIn 'Microsoft.Web/sites/config@2025-03-01' = if (!empty(entraClientId)) {
  parent: app
  name: 'authsettingsV2'
  properties: {
    platform: {
      enabled: true
      runtimeVersion: '~1'
    }
    globalValidation: {
      requireAuthentication: false
      unauthenticatedClientAction: 'AllowAnonymous'
    }
    httpSettings: {
      requireHttps: true
    }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: {
          clientId: entraClientId
          clientSecretSettingName: 'OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID'
          openIdIssuer: '${environment().authentication.loginEndpoint}${entraTenantId}/v2.0'
        }
        validation: {
          allowedAudiences: [
            entraClientId
            'api://${entraClientId}'
          ]
        }
      }
    }
    login: {
      tokenStore: {
        enabled: false
      }
    }
  }
  dependsOn: [
    appSettings
  ]
}

@description('Resource id of the function app.')
output id string = app.id

@description('Name of the function app.')
output name string = app.name

@description('Address of the function app.')
output url string = 'https://${app.properties.defaultHostName}'
