module again 'round.bicep' = {
  name: 'again'
}
