// A decorator without its parentheses.
@secure // fault: a decorator is a call: `@name()`.
param secret string

output given string = secret
