@export()
type rule = {
  port: int
}
