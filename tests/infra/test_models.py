"""The models come out of the wheels as the packages mean them, and every type of the table has one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.infra.gate import WHEELS
from tests.infra.model_types import EnumType, ListType, MapType, Model, ModelType, Simple
from tests.infra.resource_types import RESOURCE_TYPES
from tests.infra.wheels import ModelsMissing, Wheels

BUS = "azure-mgmt-servicebus==10.0.0"
COSMOS = "azure-mgmt-cosmosdb==10.0.0"
MONITOR = "azure-mgmt-monitor==7.0.0"

MIXED = {
    "Microsoft.Insights/actionGroups": "2023-01-01",
    "Microsoft.Insights/scheduledQueryRules": "2023-12-01",
    "Microsoft.Insights/metricAlerts": "2018-03-01",
    "Microsoft.Network/": "2026-03-01",
}
"""Packages that mix API versions: the one that their operations of these types ask for."""

OLDER = ("Microsoft.Insights/actionGroups", "Microsoft.Insights/scheduledQueryRules")
"""The newest models that there are; pinned are previews that came after them."""


def model(package: str, name: str, folder: str = "") -> Model:
    found = WHEELS.package(package, folder).model(name)
    assert found is not None
    return found


def inner(outer: Model, *path: str) -> Model:
    for name in path:
        kind = outer.fields[name].type
        kind = kind.item if isinstance(kind, ListType) else kind
        assert isinstance(kind, ModelType)
        found = kind.read()
        assert found is not None
        outer = found
    return outer


@pytest.mark.parametrize("kind", RESOURCE_TYPES)
def test_every_type_of_the_table_has_its_models(kind: str) -> None:
    resource = RESOURCE_TYPES[kind]
    package = WHEELS.package(resource.package, resource.folder)
    for name in (resource.model, resource.read_model):
        found = package.model(name)
        assert found is not None, name
        assert found.fields, name


@pytest.mark.parametrize("kind", RESOURCE_TYPES)
def test_no_model_is_older_than_the_pinned_version_unless_we_know(kind: str) -> None:
    """A newer model lets pass what the pinned version may not know yet; an older one would refuse what it knows."""
    resource = RESOURCE_TYPES[kind]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d(-preview)?", resource.version)
    found = WHEELS.package(resource.package, resource.folder).api_version
    found = found or next(version for start, version in MIXED.items() if kind.startswith(start))
    assert found[:10] >= resource.version[:10] or kind in OLDER


def test_a_newer_package_is_read() -> None:
    queue = inner(model(BUS, "SBQueue"), "properties")
    assert queue.fields["maxDeliveryCount"].type == Simple("int")
    assert queue.fields["lockDuration"].type == Simple("duration")
    assert queue.fields["messageCount"].read_only
    assert not queue.fields["messageCount"].required
    status = queue.fields["status"].type
    assert isinstance(status, EnumType)
    assert "SendDisabled" in status.values
    namespace = model(BUS, "SBNamespace")
    assert {"location", "tags", "sku"} <= set(namespace.fields), "bases are followed"
    assert namespace.fields["location"].required
    assert isinstance(namespace.fields["tags"].type, MapType)


def test_a_discriminator_chooses() -> None:
    policy = inner(model(COSMOS, "DatabaseAccountCreateUpdateParameters"), "properties", "backupPolicy")
    assert policy.discriminator == "type"
    continuous = policy.subtypes["Continuous"].read()
    assert continuous is not None
    assert {"type", "migrationState", "continuousModeProperties"} == set(continuous.fields)


def test_an_older_package_is_read() -> None:
    alert = model(MONITOR, "MetricAlertResource")
    properties = inner(alert, "properties")
    assert alert.fields["properties"].required
    assert properties.fields["severity"].type == Simple("int")
    assert properties.fields["severity"].required
    assert properties.fields["isMigrated"].read_only
    criteria = inner(properties, "criteria")
    assert criteria.discriminator == "odata.type"
    assert criteria.open
    single = criteria.subtypes["Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria"].read()
    assert single is not None
    operator = inner(single, "allOf").fields["operator"].type
    assert isinstance(operator, EnumType)
    assert "GreaterThan" in operator.values


def test_missing_wheels_are_told_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(ModelsMissing, match="make check-infra"):
        Wheels(tmp_path).package(BUS)
