// 6.2.7: module interfaces and outputs.
param wanted bool

module queue 'modules/queue.bicep' = {
  name: 'queue'
  params: { // fault: the parameter `busName` of modules/queue.bicep is missing.
    size: '10' // fault: the parameter `size` of modules/queue.bicep wants a whole number and gets the string '10'.
    lockDuraton: 'PT1M' // fault: modules/queue.bicep has no parameter `lockDuraton`; it has:
    sku: 'Basic' // fault: the parameter `sku` of modules/queue.bicep is the string 'Basic', but must be one of 'Standard', 'Premium'.
    days: 400 // fault: the parameter `days` of modules/queue.bicep is the number 400: above @maxValue(365).
    rules: [{ port: 443, prototol: 'Tcp' }] // fault: has no property `prototol` | lacks the property `protocol`
  }
}

module bare 'modules/queue.bicep' = { // fault: the parameter `busName` of modules/queue.bicep is missing. | the parameter `size` of
  name: 'bare'
  parms: {} // fault: a module has no `parms`
}

module maybe 'modules/queue.bicep' = if (wanted) {
  name: 'maybe'
  params: {
    busName: queue.outputs.location
    size: queue.outputs.size
    sku: 'Standard'
    rules: queue.outputs.location // fault: the parameter `rules` of modules/queue.bicep wants an array and gets a string.
  }
}

module several 'modules/queue.bicep' = [for (name, i) in ['a', 'b']: {
  name: name
  params: {
    busName: name
    size: i
    busname: name // fault: modules/queue.bicep has no parameter `busname`
  }
}]

module nowhere 'modules/topic.bicep' = { // fault: the module modules/topic.bicep is not there
  name: 'nowhere'
}

output id string = queue.outputs.Id // fault: modules/queue.bicep has no output `Id`; it has: location, size.
output location string = maybe.outputs.location // fault: `maybe` may not be there
output sure string = maybe!.outputs.location
output one string = several[0].outputs.name // fault: modules/queue.bicep has no output `name`
output short string = queue.location // fault: a module has no `.location`; use `.outputs.location`.
output number string = queue.outputs.size // fault: the output `number` wants a string and gets a whole number.
