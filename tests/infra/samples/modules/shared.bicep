@export()
type Rule = {
  port: int
}

@export()
var size = 3
