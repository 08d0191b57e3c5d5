"""The functions of Bicep: how many arguments they take and what they give.

From the function reference of Azure Resource Manager templates and Bicep; ``list*`` functions and old aliases are left
out on purpose: what is not here cannot be used.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FUNCTIONS", "NAMESPACES", "Signature"]

MANY = 1000


@dataclass(frozen=True, slots=True)
class Signature:
    """``least`` to ``most`` arguments; ``returns`` is a kind as in :func:`tests.infra.values.kind_of`."""

    least: int
    most: int
    returns: str


NAMESPACES = ("sys", "az")

_TABLE = """
any 1 1 any            array 1 1 array        base64 1 1 string        base64ToJson 1 1 any
base64ToString 1 1 string   bool 1 1 bool     buildUri 1 1 string      cidrHost 2 2 string    cidrSubnet 3 3 string
coalesce 1 * any       concat 1 * any         contains 2 2 bool        createArray 0 * array
dataUri 1 1 string     dataUriToString 1 1 string    dateTimeAdd 2 3 string    dateTimeFromEpoch 1 1 string
dateTimeToEpoch 1 1 int    deployer 0 0 object    deployment 0 0 object    empty 1 1 bool
endsWith 2 2 bool      environment 0 0 object    extensionResourceId 3 * string    fail 1 1 any
filter 2 2 array       first 1 1 any          flatten 1 1 array        format 1 * string      groupBy 2 2 object
guid 1 * string        indexOf 2 2 int        int 1 1 int              intersection 2 * any   items 1 1 array
join 2 2 string        json 1 1 any           last 1 1 any             lastIndexOf 2 2 int    length 1 1 int
loadDirectoryFileInfo 1 2 array    loadFileAsBase64 1 1 string    loadJsonContent 1 3 any    loadTextContent 1 2 string
loadYamlContent 1 3 any    managementGroup 0 1 object    managementGroupResourceId 2 * string    map 2 2 array
mapValues 2 2 object   max 1 * int            min 1 * int              newGuid 0 0 string     objectKeys 1 1 array
padLeft 2 3 string     parseCidr 1 1 object   parseUri 1 1 object      pickZones 3 5 array    range 2 2 array
readEnvironmentVariable 1 2 string    reduce 3 3 any    reference 1 3 object    replace 3 3 string
resourceGroup 0 2 object    resourceId 2 * string    shallowMerge 1 1 object    skip 2 2 any    sort 2 2 array
split 2 2 array        startsWith 2 2 bool    string 1 1 string        subscription 0 1 object
subscriptionResourceId 2 * string    substring 2 3 string    take 2 2 any    tenant 0 0 object
tenantResourceId 2 * string    toLogicalZone 3 3 string    toLower 1 1 string    toObject 2 3 object
toPhysicalZone 3 3 string    toUpper 1 1 string    trim 1 1 string    tryGet 2 * any    tryIndexOf 2 2 int
union 2 * any          uniqueString 1 * string    uri 2 2 string    uriComponent 1 1 string
uriComponentToString 1 1 string    utcNow 0 1 string
"""


def _read() -> dict[str, Signature]:
    words = _TABLE.split()
    rows = [words[start : start + 4] for start in range(0, len(words), 4)]
    return {
        name: Signature(int(least), MANY if most == "*" else int(most), returns) for name, least, most, returns in rows
    }


FUNCTIONS = _read()
