// What a model needs is missing; null where something must be.
resource budget 'Microsoft.Consumption/budgets@2023-11-01' = {
  name: 'budget'
  properties: { // fault: `properties.timePeriod` is missing (BudgetProperties needs it). | `properties.timeGrain` is missing
    category: 'Cost'
    amount: null // fault: `properties.amount` must not be null.
  }
}

resource alert 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'alert'
  location: 'global'
  properties: { // fault: `properties.severity` is missing | `properties.windowSize` is missing
    enabled: true
    scopes: [resourceGroup().id]
    evaluationFrequency: 'PT5M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'x'
          metricName: 'y'
          timeAggregation: 'Average'
          operator: 'MoreThan' // fault: 'MoreThan'
          threshold: 1
        }
      ]
    }
  }
}
