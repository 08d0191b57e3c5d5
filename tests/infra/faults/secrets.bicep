// Keys and connection strings.
@secure()
param password string = 'hunter2' // fault: `password` is secret; its default would stand here for all to read.

resource host 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: 'host'
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: 'insights'
}

var keys = listKeys(host.id, '2025-06-01') // fault: `listKeys` hands out keys
var methods = host.listKeys().keys[0].value // fault: `listKeys` hands out keys | `.listKeys()` is no function that may be used here.
var text = 'DefaultEndpointsProtocol=https;AccountName=${host.name};AccountKey=${keys}' // fault: `DefaultEndpointsProtocol=` belongs to a connection string | `AccountKey=` belongs
var instrumentation = insights.properties.InstrumentationKey // fault: `.InstrumentationKey` is a key

output given string = password // fault: the output `given` gives a secret away.
output others array = [methods, text, instrumentation]
