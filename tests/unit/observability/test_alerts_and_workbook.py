"""Alerts and workbook are data: every name in them is one that exists, in a shape that Bicep can loop over."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.callbacks.attempt import Attempts
from shared.metrics import ALL
from shared.topology import topology

ROOT = Path(__file__).resolve().parents[3]
ALERTS = json.loads((ROOT / "infra" / "alerts.json").read_text("utf-8"))
WORKBOOK = json.loads((ROOT / "infra" / "workbook.json").read_text("utf-8"))
FUNCTIONS = {f["name"] for f in json.loads((ROOT / "tests/runtime/functions.json").read_text("utf-8"))["function_app"]}
MEASURES = {measure.name: measure for measure in ALL}

NAMESPACES = {
    "serviceBus": "Microsoft.ServiceBus/namespaces",
    "cosmos": "Microsoft.DocumentDB/databaseAccounts",
    "keyVault": "Microsoft.KeyVault/vaults",
    "storage": "Microsoft.Storage/storageAccounts",
    "functionApp": "Microsoft.Web/sites",
}
PLATFORM_METRICS = {
    "serviceBus": {
        "ActiveMessages", "DeadletteredMessages", "ThrottledRequests", "ServerErrors", "IncomingMessages",
    },
    "cosmos": {"TotalRequests", "NormalizedRUConsumption", "PhysicalPartitionSizeInfo", "ServiceAvailability"},
    "keyVault": {"ServiceApiResult"},
    "storage": {"Availability"},
    "functionApp": set(),
}  # fmt: skip
"""As Azure Monitor's list of supported metrics names them. A name that is not there would never fire."""
TABLES = {"AppMetrics", "AppTraces", "AppDependencies", "Usage"}
DURATIONS = {"PT5M": 5, "PT10M": 10, "PT15M": 15, "PT30M": 30, "PT1H": 60, "PT6H": 360, "P1D": 1440, "P2D": 2880}
OUR_MARKS = {"equipment_id", "outcome", "callback_id"}
"""What spans and events of ours say (``ovenbridge.…``) and the workbook reads."""


def workbook_queries() -> Iterator[tuple[str, str]]:
    for item in WORKBOOK["items"]:
        if item["type"] == 3:
            yield item["name"], item["content"]["query"]


QUERIES = [(alert["name"], alert["query"]) for alert in ALERTS["queryAlerts"]] + list(workbook_queries())


def named_measures(query: str) -> set[str]:
    found = set(re.findall(r"Name == '([^']+)'", query))
    for group in re.findall(r"Name in \(([^)]*)\)", query):
        found |= set(re.findall(r"'([^']+)'", group))
    return found


@pytest.mark.parametrize(("name", "query"), QUERIES, ids=[name for name, _ in QUERIES])
def test_a_query_names_only_what_exists(name: str, query: str) -> None:
    tables = set(re.findall(r"(?:^|[(,]\s*)([A-Z]\w+)\s*(?=\||\n)", query))
    assert tables, "it looks at no table"
    assert tables <= TABLES
    if "AppMetrics" not in query:
        marks = set(re.findall(r"Properties\['ovenbridge\.(\w+)'\]", query))
        assert marks <= OUR_MARKS
        return
    names = named_measures(query)
    assert names, "it looks at no measure"
    assert names <= set(MEASURES), f"not in shared/metrics.py: {names - set(MEASURES)}"
    attributes = set(re.findall(r"Properties\.(\w+)", query)) | set(re.findall(r"Properties\['(\w+)'\]", query))
    known = {attribute for measure in names for attribute in MEASURES[measure].attributes}
    assert attributes <= known, f"{names} have no {attributes - known}"


@pytest.mark.parametrize(("name", "query"), QUERIES, ids=[name for name, _ in QUERIES])
def test_sums_and_counts_fit_the_kind_of_measure(name: str, query: str) -> None:
    """A counter arrives as its growth (Sum); a histogram as count (ItemCount), Sum, Min, Max; a gauge as one value."""
    kinds = {MEASURES[measure].kind for measure in named_measures(query) if measure in MEASURES}
    if kinds == {"counter"}:
        assert "ItemCount" not in query
    if kinds == {"gauge"}:
        assert "Sum" not in query


@pytest.mark.parametrize(("name", "query"), QUERIES, ids=[name for name, _ in QUERIES])
def test_parentheses_and_quotes_close(name: str, query: str) -> None:
    bare = re.sub(r"'[^'\n]*'", "''", query)
    assert "'" not in bare.replace("''", "")
    assert '"' not in bare
    for opening, closing in ("()", "[]", "{}"):
        assert bare.count(opening) == bare.count(closing)


def test_words_that_queries_look_for_are_recorded() -> None:
    """An outcome or a reason in a query that no code records would make the alert sleep for ever."""
    sources = "\n".join(p.read_text("utf-8") for room in ("shared", "functions") for p in (ROOT / room).rglob("*.py"))
    for name, query in QUERIES:
        for group in re.findall(r"(?:outcome|reason) (?:==|!=|in|has) \(?([^)\n]*)", query):
            for word in re.findall(r"'([^']+)'", group):
                made = word in ("4xx", "5xx") or f'"{word}"' in sources
                assert made, f"{name} looks for {word}, which nothing records"


def test_functions_queues_and_containers_exist() -> None:
    for name, query in QUERIES:
        for group in re.findall(r"datatable\(name: string\)\[([^\]]*)\]", query):
            assert set(re.findall(r"'([^']+)'", group)) <= FUNCTIONS, name
        for container in re.findall(r"Properties\.container\) == '([^']+)'", query):
            assert container in topology().containers, name
    everything = json.dumps(ALERTS) + json.dumps(WORKBOOK)
    queues = set(topology().queues)
    assert set(re.findall(r"\b(?:poll-batches|callback-\w+|inbound-\w+|relay-ingest)\b", everything)) <= queues
    assert set(re.findall(r"function:(\w+)", everything)) <= FUNCTIONS


@pytest.mark.parametrize("alert", ALERTS["metricAlerts"], ids=lambda a: a["name"])
def test_a_metric_alert_has_the_agreed_shape(alert: dict[str, Any]) -> None:
    assert set(alert) == {
        "name", "resource", "namespace", "metric", "dimensions", "aggregation", "operator", "threshold", "window",
        "frequency", "severity", "description",
    }  # fmt: skip
    assert alert["namespace"] == NAMESPACES[alert["resource"]]
    assert alert["metric"] in PLATFORM_METRICS[alert["resource"]]
    assert alert["aggregation"] in {"Average", "Minimum", "Maximum", "Total", "Count"}
    for dimension in alert["dimensions"]:
        assert set(dimension) == {"name", "operator", "values"}
        assert dimension["operator"] == "Include"
    check(alert)


@pytest.mark.parametrize("alert", ALERTS["queryAlerts"], ids=lambda a: a["name"])
def test_a_query_alert_has_the_agreed_shape(alert: dict[str, Any]) -> None:
    assert set(alert) == {
        "name", "query", "operator", "threshold", "window", "frequency", "severity", "description",
    }  # fmt: skip
    assert (alert["operator"], alert["threshold"]) == ("GreaterThan", 0), "a row is a problem; the query decides"
    check(alert)


def check(alert: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]{2,60}", alert["name"])
    assert alert["operator"] in {"GreaterThan", "LessThan", "GreaterThanOrEqual", "LessThanOrEqual"}
    assert DURATIONS[alert["frequency"]] <= DURATIONS[alert["window"]]
    assert alert["severity"] in range(5)
    sentences = alert["description"].count(". ") + alert["description"].count("? ") + 1
    assert sentences >= 2, "what it means, and what to do"
    assert len(alert["description"]) <= 500


def test_names_are_unique() -> None:
    names = [alert["name"] for kind in ("metricAlerts", "queryAlerts") for alert in ALERTS[kind]]
    assert len(set(names)) == len(names)
    items = [item["name"] for item in WORKBOOK["items"]]
    assert len(set(items)) == len(items)


def test_every_tab_of_the_workbook_has_something_in_it() -> None:
    (tabs,) = [item for item in WORKBOOK["items"] if item["name"] == "tabs"]
    offered = [link["subTarget"] for link in tabs["content"]["links"]]
    assert offered == ["fleet", "polls", "deliveries", "relays", "cost"]
    shown = [i["conditionalVisibility"]["value"] for i in WORKBOOK["items"] if "conditionalVisibility" in i]
    for tab in offered:
        assert shown.count(tab) >= 3
    assert set(shown) == set(offered)


def test_the_workbook_s_parameters_are_defined() -> None:
    (parameters,) = [item for item in WORKBOOK["items"] if item["name"] == "parameters"]
    defined = {p["name"] for p in parameters["content"]["parameters"]}
    for item in WORKBOOK["items"]:
        content = item["content"]
        used = {content.get("timeContextFromParameter"), content.get("resourceParameter")} - {None}
        assert used <= defined
        if item["type"] == 10:
            kind = content["resourceType"]
            for metric in content["metrics"]:
                resource = next(r for r, namespace in NAMESPACES.items() if namespace.lower() == kind)
                assert metric["metric"].removeprefix(f"{kind}--") in PLATFORM_METRICS[resource]


def test_the_span_that_the_workbook_reads_is_the_one_that_is_made() -> None:
    source = (ROOT / "shared" / "callbacks" / "attempt.py").read_text("utf-8")
    assert 'span("notify", "client")' in source
    assert Attempts.make.__doc__
    assert 'note("not read"' in (ROOT / "shared" / "collection" / "measured.py").read_text("utf-8")


def test_the_page_for_operators_names_every_measure_and_every_alert() -> None:
    page = (ROOT / "docs" / "observability.md").read_text("utf-8")
    for measure in ALL:
        assert f"`{measure.name}`" in page
        for attribute in measure.attributes:
            assert f"`{attribute}`" in page, f"{measure.name}: {attribute}"
    for kind in ("metricAlerts", "queryAlerts"):
        for alert in ALERTS[kind]:
            assert f"`{alert['name']}`" in page
    shown = re.findall(r"```kusto\n(.*?)```", page, re.DOTALL)
    for query in shown:
        assert named_measures(query) - {"notify"} <= set(MEASURES)


def test_host_json_says_what_the_page_says() -> None:
    host = json.loads((ROOT / "host.json").read_text("utf-8"))
    bus = host["extensions"]["serviceBus"]
    page = (ROOT / "docs" / "observability.md").read_text("utf-8")
    assert f"| `telemetryMode` | `{host['telemetryMode']}` |" in page
    assert f"| `serviceBus.maxConcurrentCalls` | {bus['maxConcurrentCalls']} |" in page
    assert f"| `serviceBus.prefetchCount` | {bus['prefetchCount']} |" in page
    bicep = (ROOT / "infra" / "modules" / "functionapp.bicep").read_text("utf-8")
    (concurrency,) = re.findall(r"perInstanceConcurrency: (\d+)", bicep)
    assert f"is {concurrency} in `infra/modules/functionapp.bicep`" in page
