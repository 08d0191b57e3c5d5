param location string
param size int
param flags bool[]
@secure()
param secret string = ''

resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: 'bus${size}'
  location: location
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: contains(flags, true) && !empty(secret) ? 'Disabled' : 'Enabled'
  }
}

output location string = bus.location
output size int = size
