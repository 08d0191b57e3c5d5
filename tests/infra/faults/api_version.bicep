// 6.2.6: a resource type without an API version, in another than the pinned one, and one that nobody knows.
resource bus 'Microsoft.ServiceBus/namespaces@2024-01-02' = { // fault: Microsoft.ServiceBus/namespaces is pinned to 2024-01-01, here it is 2024-01-02.
  name: 'bus'
  location: 'westeurope'
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
  }
}

resource queue 'Microsoft.ServiceBus/namespaces/queues' = { // fault: is written without an API version
  parent: bus
  name: 'queue'
}

resource topic 'Microsoft.ServiceBus/namespaces/topic@2024-01-01' = { // fault: Microsoft.ServiceBus/namespaces/topic is not in tests/infra/resource_types.py
  parent: bus
  name: 'topic'
}
