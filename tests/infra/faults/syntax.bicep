// What the parser refuses.
param a string = ''
param b string = "double" // fault: two declarations | cannot be read as Bicep: `"`.
var c = '${a' // fault: here a `}` is missing.
output d string = c
