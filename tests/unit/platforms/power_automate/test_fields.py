"""A flow gets exactly the fields that its trigger declares, always, in their types."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # comes with openapi-spec-validator

from shared.clock import ManualClock
from shared.events.catalogue import CATALOGUE, TEST
from shared.platforms.power_automate.triggers import TRIGGERS, Trigger
from tests.api import Api
from tests.unit.platforms.power_automate.conftest import example_of

TYPES: dict[str, tuple[type, ...]] = {"string": (str,), "number": (float,), "integer": (int,), "boolean": (bool,)}
VALUES = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=5) | st.just([1])


def assert_declared(trigger: Trigger, body: dict[str, Any]) -> None:
    assert list(body) == [field.name for field in trigger.fields]
    for field in trigger.fields:
        value = body[field.name]
        assert value is None or type(value) in TYPES[field.kind], (field, value)
    assert json.loads(json.dumps(body)) == body


@pytest.mark.parametrize("trigger", TRIGGERS.values(), ids=TRIGGERS)
@settings(max_examples=25)
@given(values=st.lists(VALUES, min_size=40, max_size=40))
def test_whatever_the_event_holds(trigger: Trigger, values: list[Any]) -> None:
    names = CATALOGUE[trigger.event_type or "ALERT_RAISED"].data
    event = {
        "eventId": "E", "type": trigger.event_type or "ALERT_RAISED", "ts": "2026-11-21T10:00:00.000Z",
        "objectType": "MACHINE", "data": dict(zip(names, values, strict=False)),
    }  # fmt: skip
    assert_declared(trigger, trigger.body(event))


@pytest.mark.parametrize("trigger", TRIGGERS.values(), ids=TRIGGERS)
def test_a_test_notification_has_something_in_every_field(trigger: Trigger, clock: ManualClock) -> None:
    body = trigger.body(example_of(TEST, clock).to_document())
    assert_declared(trigger, body)
    if trigger.event_type is not None:
        empty = [name for name, value in body.items() if value is None]
        assert empty == ["site"]
    assert body["is_test"] is True


def test_a_value_is_a_number_and_a_text(clock: ManualClock) -> None:
    trigger = TRIGGERS["alert-raised"]
    event = example_of("ALERT_RAISED", clock)
    found = {}
    for value in (240, 240.5, "error", True, None):
        body = trigger.body(replace(event, data={**event.data, "value": value}).to_document())
        found[value] = (body["value"], body["value_text"])
    assert found == {
        240: (240.0, "240"),
        240.5: (240.5, "240.5"),
        "error": (None, "error"),
        True: (None, "true"),
        None: (None, None),
    }


def test_time_is_told_in_both_ways(clock: ManualClock) -> None:
    body = TRIGGERS["batch-started"].body(example_of("BATCH_STARTED", clock).to_document())
    assert (body["occurred_at"], body["occurred_at_epoch"]) == ("2026-11-21T10:00:00.000Z", 1795255200)


@pytest.mark.parametrize("trigger", TRIGGERS.values(), ids=TRIGGERS)
async def test_the_schema_for_plain_http_triggers(trigger: Trigger, api: Api, clock: ManualClock) -> None:
    schema = (await api.get(f"/api/v1/flows/triggers/{trigger.key}/schema")).json()
    for name in (TEST, trigger.event_type or "TASK_CREATED"):
        Draft202012Validator(schema).validate(trigger.body(example_of(name, clock).to_document()))
    assert schema["required"] == [field.name for field in trigger.fields]
