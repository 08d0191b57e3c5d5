// 6.2.7: undefined symbols and functions, wrong numbers of arguments, duplicates, circles, what nobody uses.
param location string
param location string // fault: the name `location` is declared twice; first on line 2.
param unused string // fault: `unused` is declared, but nothing uses it.
param stamp string = utcNow()
param wanted missing // fault: there is no type `missing`.

@describe('x') // fault: there is no decorator `@describe()`.
var first = second // fault: a circle: `first` needs `second` needs `first`.
var second = first
var undefined = locaton // fault: `locaton` is not declared; did you mean `location`?
var uncalled = uniqueStrng('x') // fault: there is no function `uniqueStrng`; did you mean `uniqueString`?
var counted = toLower('a', 'b') // fault: `toLower` takes 1 arguments, here it gets 2.
var now = utcNow() // fault: `utcNow` may only stand in the default of a parameter.
var twice = {
  a: 1
  a: 2 // fault: the property `a` is set twice.
}
var inside = map([1, 2], x => y) // fault: `y` is not declared
var outside = [for item in [1]: item]
var escaped = item // fault: `item` is not declared

func double(text string) string => '${text}${location}' // fault: `location` is not declared

resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = { // fault: the existing resource `bus` is looked up, but nothing uses it.
  name: 'bus'
}

output a string = '${undefined}${uncalled}${counted}${now}${double('x', 'y')}${stamp}' // fault: `double` takes 1 arguments, here it gets 2.
output a string = 'again' // fault: the output `a` is declared twice
output b array = [twice, inside, outside, escaped, wanted]
output c string = nowhere.outputs.id // fault: `nowhere` is not declared
