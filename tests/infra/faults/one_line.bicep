// 6.2.7: two things on one line without a comma.
param a string param b string // fault: two declarations stand on one line
var c = { d: 1 e: 2 } // fault: two properties stand on one line
var f = [
  1 2 // fault: two elements stand on one line
  toLower(a) // a call, not two elements
  c[b]
]
output g array = f
