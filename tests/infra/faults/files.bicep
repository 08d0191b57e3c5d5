// Files that are loaded and not there, or no JSON; modules in a circle.
// fault modules/round.bicep:1: a circle of files: tests/infra/faults/modules/round.bicep uses tests/infra/faults/modules/round.bicep.
var absent = loadJsonContent('absent.json') // fault: the file tests/infra/faults/absent.json is not there.

module again 'modules/round.bicep' = {
  name: 'again'
}

output all array = [absent]
