metadata description = 'The alerts of alerts.json, and the people they go to.'

@description('Name of the action group.')
param actionGroupName string

@description('Start of the names of alerts on platform metrics.')
param metricAlertPrefix string

@description('Start of the names of alerts on logs.')
param queryAlertPrefix string

@description('Azure region.')
param location string

@description('Tags for the resources.')
param tags object

@description('Who is told, by mail.')
param emails array

@description('Resource ids by the names that alerts.json uses: serviceBus, cosmos, keyVault, functionApp, storage.')
param resourceIds object

@description('Resource id of the Log Analytics workspace that the queries run on.')
param workspaceId string

var alerts = loadJsonContent('../alerts.json')

resource people 'Microsoft.Insights/actionGroups@2024-10-01-preview' = {
  name: actionGroupName
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'ovenbridge'
    emailReceivers: [for (email, i) in emails: {
      name: 'operator-${i}'
      emailAddress: email
      useCommonAlertSchema: true
    }]
  }
}

resource metricAlerts 'Microsoft.Insights/metricAlerts@2018-03-01' = [for alert in alerts.metricAlerts: {
  name: '${metricAlertPrefix}${alert.name}'
  location: 'global'
  tags: tags
  properties: {
    description: alert.description
    severity: alert.severity
    enabled: true
    autoMitigate: true
    scopes: [
      resourceIds[alert.resource]
    ]
    evaluationFrequency: alert.frequency
    windowSize: alert.window
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: alert.name
          metricNamespace: alert.namespace
          metricName: alert.metric
          timeAggregation: alert.aggregation
          operator: alert.operator
          threshold: alert.threshold
          dimensions: alert.?dimensions ?? []
          skipMetricValidation: true
        }
      ]
    }
    actions: [
      {
        actionGroupId: people.id
      }
    ]
  }
}]

resource queryAlerts 'Microsoft.Insights/scheduledQueryRules@2025-01-01-preview' = [for alert in alerts.queryAlerts: {
  name: '${queryAlertPrefix}${alert.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: alert.name
    description: alert.description
    severity: alert.severity
    enabled: true
    autoMitigate: true
    // On the first deployment the tables are not there yet.
    skipQueryValidation: true
    scopes: [
      workspaceId
    ]
    evaluationFrequency: alert.frequency
    windowSize: alert.window
    criteria: {
      allOf: [
        {
          query: alert.query
          timeAggregation: 'Count'
          operator: alert.operator
          threshold: alert.threshold
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [
        people.id
      ]
    }
  }
}]

@description('Resource id of the action group.')
output actionGroupId string = people.id
