metadata description = 'The workbook of workbook.json, found in the portal under the Log Analytics workspace.'

@description('Title of the workbook.')
param displayName string

@description('Azure region.')
param location string

@description('Tags for the resource.')
param tags object

@description('Resource id of the Log Analytics workspace that it reads.')
param workspaceId string

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, 'ovenbridge-workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: displayName
    category: 'workbook'
    version: '1.0'
    sourceId: workspaceId
    serializedData: string(loadJsonContent('../workbook.json'))
  }
}

@description('Resource id of the workbook.')
output id string = workbook.id
