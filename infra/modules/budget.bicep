metadata description = 'A monthly budget for the resource group: mails at 50, 80 and 100 percent, and when 100 percent are foreseen.'

@description('Name of the budget.')
param name string

@description('Amount per month, in the currency of the subscription.')
param amount int

@description('First day of the month in which it was first deployed, e.g. 2026-11-01. It cannot be changed afterwards.')
param startDate string

@description('Who is told, beside the owners of the subscription.')
param emails array

var owners = ['Owner']

resource budget 'Microsoft.Consumption/budgets@2023-11-01' = {
  name: name
  properties: {
    category: 'Cost'
    amount: amount
    timeGrain: 'Monthly'
    timePeriod: {
      startDate: startDate
    }
    notifications: {
      actual50: {
        enabled: true
        operator: 'GreaterThanOrEqualTo'
        threshold: 50
        thresholdType: 'Actual'
        contactEmails: emails
        contactRoles: owners
      }
      actual80: {
        enabled: true
        operator: 'GreaterThanOrEqualTo'
        threshold: 80
        thresholdType: 'Actual'
        contactEmails: emails
        contactRoles: owners
      }
      actual100: {
        enabled: true
        operator: 'GreaterThanOrEqualTo'
        threshold: 100
        thresholdType: 'Actual'
        contactEmails: emails
        contactRoles: owners
      }
      forecast100: {
        enabled: true
        operator: 'GreaterThanOrEqualTo'
        threshold: 100
        thresholdType: 'Forecasted'
        contactEmails: emails
        contactRoles: owners
      }
    }
  }
}
