"""Faults planted in the templates themselves, the topology and the parameter file: what holds them to the code."""

from __future__ import annotations

import re

import pytest

from tests.infra.gate import ROOT, judged

TOPOLOGY = "infra/topology.json"
APP = "infra/modules/functionapp.bicep"
MAIN = "infra/main.bicep"

FAULTS = [
    # App settings.
    (
        APP,
        r"\n  COSMOS_DATABASE: .*",
        "",
        APP,
        "the app setting COSMOS_DATABASE is missing; shared/settings.py reads it.",
    ),
    (APP, r"(CosmosConnection)__accountEndpoint", r"\1__endpoint", APP, "CosmosConnection__accountEndpoint is missing"),
    (APP, r"(CosmosConnection)__accountEndpoint", r"\1__endpoint", APP, "reads the app setting CosmosConnection__endp"),
    (APP, r"\n  ServiceBusConnection__clientId: .*", "", APP, "ServiceBusConnection__clientId is missing"),
    (APP, r"\n  AzureWebJobsStorage__credential: .*", "", APP, "the Functions host reads it."),
    (
        APP,
        r"(\n  LOG_LEVEL: )",
        r"\n  FUNCTIONS_WORKER_RUNTIME: 'python'\1",
        APP,
        "FUNCTIONS_WORKER_RUNTIME; leave it out",
    ),
    (
        APP,
        r"(\n  LOG_LEVEL: )",
        r"\n  WEBSITE_TIME_ZONE: 'CET'\1",
        APP,
        "does not take the app setting WEBSITE_TIME_ZONE",
    ),
    (
        APP,
        r"(\n  LOG_LEVEL: )",
        r"\n  DATA_DIR: '/tmp'\1",
        APP,
        "leave the app setting DATA_DIR out: nothing is kept on",
    ),
    (
        APP,
        r"(\n  LOG_LEVEL: )",
        r"\n  LOG_LEVL: 'INFO'\1",
        APP,
        "nobody reads the app setting LOG_LEVL; did you mean `LOG_",
    ),
    (APP, r"(ACCESS_MODE: )'tokens'", r"\1'developer'", APP, "the app would not start: ACCESS_MODE=developer"),
    (APP, r"(DELIVERY_TIMEOUT_SECONDS: )'10'", r"\1'99'", APP, "the app would not start: DELIVERY_TIMEOUT_SECONDS"),
    (
        APP,
        r"(__credential: )'managedidentity'",
        r"\1'ManagedIdentity'",
        APP,
        "must be 'managedidentity', here it is 'Man",
    ),
    (
        APP,
        r"(\n    siteConfig: \{)",
        r"\1\n      linuxFxVersion: 'Python|3.13'",
        APP,
        "siteConfig.linuxFxVersion; leave it out",
    ),
    (APP, r"(\n    functionAppConfig: \{)", r"\1\n      x: {}", APP, "`properties.functionAppConfig.x` does not exist"),
    (APP, r"(\n      )runtime: \{", r"\1x: {", APP, "Flex Consumption needs functionAppConfig.runtime."),
    (APP, r"'appsettings'", "'web'", APP, "`app` has no app settings."),
    # The way in.
    (APP, r"httpsOnly: true", "httpsOnly: false", APP, "`properties.httpsOnly` must be true"),
    (
        "infra/modules/servicebus.bicep",
        r"\n    disableLocalAuth: true",
        "",
        "infra/modules/servicebus.bicep",
        "disableLocalA",
    ),
    (
        "infra/modules/storage.bicep",
        r"(allowSharedKeyAccess: )false",
        r"\1true",
        "infra/modules/storage.bicep",
        "must be fal",
    ),
    # The topology: its form, and whether it reaches Azure.
    (
        TOPOLOGY,
        r'\{"name": "alerts",',
        '{"name": "alarms",',
        "shared/alerts/records.py",
        "the container `alerts`, which is not",
    ),
    (
        TOPOLOGY,
        r'\{"name": "inbound-events",',
        '{"name": "inbound",',
        "tests/runtime/functions.json",
        "the queue `inbound-ev",
    ),
    (
        TOPOLOGY,
        r'"/iotEnabled", ',
        "",
        "shared/equipment/remembered.py",
        "a query names `iotEnabled`, which is not indexed in",
    ),
    (
        TOPOLOGY,
        r'"partitionKey": \["/hour"\]',
        '"partitionKey": ["hour"]',
        TOPOLOGY,
        "`hour` in `partitionKey` must look like",
    ),
    (TOPOLOGY, r'(\{"name": "audit".*?"ttlSeconds": )null', r"\g<1>86400", TOPOLOGY, "the audit log is kept for ever"),
    (
        TOPOLOGY,
        r'(\{"name": "events".*?"ttlSeconds": )\d+',
        r"\g<1>-2",
        TOPOLOGY,
        "container events: `ttlSeconds` is null, -1",
    ),
    (
        TOPOLOGY,
        r'(\{"name": "poll-batches", "lockSeconds": )\d+',
        r"\g<1>301",
        TOPOLOGY,
        "`lockSeconds` must be 5 to 300",
    ),
    (
        TOPOLOGY,
        r'(\{"name": "poll-batches".*?"duplicateWindowSeconds": )\d+',
        r"\g<1>0",
        TOPOLOGY,
        "20 to 604800, here 0",
    ),
    (TOPOLOGY, r'\{"name": "callbacks",', '{"name": "events",', TOPOLOGY, "`events` is listed twice in `containers`."),
    (
        TOPOLOGY,
        r'"within": \[\["/recordedAt"\]',
        '"within": [["/recordedX"]',
        TOPOLOGY,
        "`/recordedX` in `within` is neither indexed nor in the key",
    ),
    (TOPOLOGY, r'"ingestQueue": "relay-ingest"', '"ingestQueue": "relay"', TOPOLOGY, "the queue `relay` is not among"),
    (
        TOPOLOGY,
        r'"deadLetterOnExpiry": false\},',
        '"deadLetter": false},',
        TOPOLOGY,
        "has no `deadLetter`; did you mean",
    ),
    (TOPOLOGY, r'("queues": \[)', r"\1,", TOPOLOGY, "this is no JSON: "),
    (
        "infra/modules/cosmos.bicep",
        r"(= )\[for container in topology\.containers: map",
        r"\1[for container in topology.containers: take(map",
        "infra/modules/cosmos.bicep",
        "here a `)` is missing.",
    ),
    (
        "infra/modules/cosmos.bicep",
        r"(kind: length\(container.partitionKey\) )> 1",
        r"\1> 2",
        "infra/modules/cosmos.bicep",
        "is ['Hash'], topo",
    ),
    (
        "infra/modules/cosmos.bicep",
        r"defaultTtl: container.ttlSeconds",
        "defaultTtl: -1",
        "infra/modules/cosmos",
        "defaultTtl",
    ),
    (
        "infra/modules/servicebus.bicep",
        r"PT\$\{queue.lockSeconds\}S",
        "PT30S",
        "infra/modules/servicebus.bicep",
        "lockDuration",
    ),
    (
        MAIN,
        r"(var anchorsContainer = )'audit-anchors'",
        r"\1'anchors'",
        "shared/backends.py",
        "blob container `audit-anchors`",
    ),
    (
        "infra/modules/servicebus.bicep",
        r"for queue in topology\.queues",
        "for queue in filter(topology.queues, one => one.name != 'poll-batches')",
        TOPOLOGY,
        "no template creates `poll-batches`",
    ),
    (
        "infra/modules/cosmos.bicep",
        r"union\(container\.partitionKey, container\.indexed\)",
        "container.partitionKey",
        "infra/modules/cosmos.bicep",
        "the indexed paths are",
    ),
    (TOPOLOGY, r"(?s).+", "[]", TOPOLOGY, "the topology is an object."),
    (TOPOLOGY, r"(?s).+", "{}", TOPOLOGY, "the array `queues` is missing."),
    (
        TOPOLOGY,
        r'"partitionKey": \["/source",',
        '"partitionKey": ["/a", "/b", "/source",',
        TOPOLOGY,
        "one to three levels",
    ),
    (
        TOPOLOGY,
        r'"ttlSeconds": null, ("indexed": \["/seq")',
        r"\1",
        TOPOLOGY,
        "`ttlSeconds` is missing; null: for ever.",
    ),
    (TOPOLOGY, r"(?s).+", "{}", TOPOLOGY, "the topology is not there, or cannot be read."),
    # Rights.
    (
        "infra/modules/cosmos-access.bicep",
        r"container => container.name != auditContainer",
        "container => container.name != 'x'",
        "infra/modules/cosmos-access.bicep",
        "here the data contributor could rewrite the audit log.",
    ),
    (
        "infra/modules/cosmos-access.bicep",
        r"container => container.name != auditContainer",
        "container => container.name != 'alerts' && container.name != 'audit'",
        TOPOLOGY,
        "nobody is given a data role on the container alerts.",
    ),
    (
        "infra/modules/rbac.bicep",
        r"'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'",
        "'8e3af657-a8ff-443c-a75c-2fe8c4bcb635'",
        "infra/modules/rbac.bicep",
        "8e3af657-a8ff-443c-a75c-2fe8c4bcb635 is not on the list of roles",
    ),
    # Modules and parameters.
    (MAIN, r"(\n    cosmosEndpoint: cosmos\.outputs\.)endpoint", r"\1endpunkt", MAIN, "has no output `endpunkt`"),
    (MAIN, r"\n    vaultUri: .*", "", MAIN, "the parameter `vaultUri` of modules/functionapp.bicep is missing."),
    (MAIN, r"network!(\.outputs\.outboundAddress)", r"network\1", MAIN, "`network` may not be there"),
    (
        "infra/main.parameters.json",
        r'"vnetEnabled"',
        '"vnetEnable"',
        "infra/main.parameters.json",
        "no parameter `vnetEnable`",
    ),
    (
        "infra/main.parameters.json",
        r'("cosmosMaxThroughput": \{ "value": )1000',
        r"\g<1>10",
        "infra/main.parameters",
        "@minValue",
    ),
    (
        "infra/main.parameters.json",
        r'\n    "environmentName".*',
        "",
        "infra/main.parameters.json",
        "`environmentName` of",
    ),
    (
        "infra/main.parameters.json",
        r'("serviceBusSku": )\{ "value": ("\w+") \}',
        r"\1\2",
        "infra/main.parameters.json",
        'write `{ "value": ... }` for `serviceBusSku`.',
    ),
    (
        "infra/alerts.json",
        r'("description": ")',
        r"\1AccountKey=",
        "infra/alerts.json",
        "`AccountKey=` looks like a key or a connection string.",
    ),
    (
        "infra/main.parameters.json",
        r'"parameters"',
        '"params"',
        "infra/main.parameters.json",
        "an object `parameters` is missing.",
    ),
    (
        "infra/alerts.json",
        r'"aggregation": "Maximum"',
        '"aggregation": "Maximal"',
        "infra/alerts.json",
        "'Maximal', but must be",
    ),
]


@pytest.mark.parametrize(("file", "pattern", "put", "reported", "words"), FAULTS, ids=lambda value: str(value)[:30])
def test_a_fault_in_the_templates_is_reported(file: str, pattern: str, put: str, reported: str, words: str) -> None:
    text = (ROOT / file).read_text("utf-8")
    faulty, count = re.subn(pattern, put, text, count=1, flags=re.DOTALL if ".*?" in pattern else 0)
    assert count == 1, f"{pattern} does not occur in {file} any more: plant the fault elsewhere"
    problems = judged(ROOT, instead={file: faulty})
    assert any(p.at.file.startswith(reported) and words in p.sentence for p in problems), list(map(str, problems))


def test_a_fault_says_its_line() -> None:
    text = (ROOT / APP).read_text("utf-8")
    line = text[: text.index("httpsOnly")].count("\n") + 1
    problems = judged(ROOT, instead={APP: text.replace("httpsOnly: true", "httpsOnly: 'yes'")})
    assert {(problem.at.file, problem.at.line) for problem in problems} == {(APP, line)}
