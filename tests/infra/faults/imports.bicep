// Imports of what is not there.
import { rule, missing } from 'modules/shared.bicep' // fault: modules/shared.bicep does not export `missing`.
import * as nothing from 'modules/nothing.bicep' // fault: the file modules/nothing.bicep is not there

param one rule
param two missing
param three nothing.thing

output all array = [one, two, three]
