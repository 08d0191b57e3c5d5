// Values that do not fit the type they are declared with; members that a type does not have.
type color = 'red' | 'green'

type box = {
  width: int
  color: color?
}

@minLength(3)
param short string = 'ab' // fault: the default of `short` is the string 'ab': below @minLength(3).
@allowed(['a', 'b'])
param choice string = 'c' // fault: the default of `choice` is the string 'c', but must be one of 'a', 'b'.
@minValue(1)
@maxValue(10)
param number int = 11 // fault: above @maxValue(10)
param flag bool = 'true' // fault: the default of `flag` wants true or false and gets the string 'true'.
param crate box = { width: '1', colour: 'red' } // fault: `width` of the default of `crate` wants a whole number | has no property `colour`
param notABox box = 'wide' // fault: the default of `notABox` wants an object and gets the string 'wide'.
param boxes box[] = [{ width: 1, color: 'blue' }] // fault: 'blue', but must be one of 'red', 'green'.
param paint color = 'yellow' // fault: the default of `paint` is the string 'yellow'

var list = [1, 2]
var known = { a: { b: 1 } }

output height int = crate.height // fault: the type has no `height`; it has: color, width.
output item int = list.first // fault: `.first` on an array
output deep int = known.a.c // fault: there is no `c` in this object; there are: b.
output letters string = number // fault: the output `letters` wants a string and gets a whole number.
output sum int = short.size // fault: `.size` on a value of type string.
output safe int? = known.a.?c
output rest array = [flag, boxes, notABox, paint, choice]
