type rule = {
  port: int
  protocol: string
}

param busName string
param size int
@allowed(['Standard', 'Premium'])
param sku string = 'Standard'
@maxValue(365)
param days int = 7
param rules rule[] = []

output location string = '${busName}${sku}${days}${length(rules)}'
output size int = size
