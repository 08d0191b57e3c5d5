"""What starts a flow: each trigger is one type of event with flat typed fields, in words a maker understands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared import json_text
from shared.clock import parse_iso
from shared.events import catalogue
from shared.events.catalogue import CATALOGUE, TEST
from shared.platforms.power_automate.fields import Field, as_text, field_of, typed, value_fields

__all__ = ["ANYTHING", "TRIGGERS", "Trigger"]

_COMMON = (
    field_of("event_id", "names what happened; the same if you are told twice"),
    field_of("event_type", "the type of the event, such as ALERT_RAISED"),
    field_of("occurred_at", "when it happened, in UTC", important=True),
    field_of("occurred_at_epoch", "when it happened, in whole seconds since 1970"),
    field_of("site", "the plant; empty where none is known", important=True),
    field_of("severity", "how serious it is", important=True),
    field_of("is_test", "yes when somebody asked for a test notification and nothing happened"),
)
_ANY = (
    field_of("equipment_id", "the oven", important=True),
    field_of("equipment_name", "its name", important=True),
    field_of("object_type", "what it is about: MACHINE, RELAY, NONE and so on"),
    field_of("object_id", "which one; for MACHINE the oven's ID"),
    field_of("name", "the name the sender gave it; empty where there is none"),
    field_of("message", "one sentence for people; empty where there is none", important=True),
    field_of("data", "everything known about it, as JSON text; read it with Parse JSON"),
)
_IMPORTANT = frozenset(
    {
        "equipment_name",
        "message",
        "severity",
        "status",
        "value",
        "unit",
        "title",
        "product",
        "due_at",
        "assignee",
        "url",
    }
)
_TEXTS_OF = {"value_text": "value", "limit_text": "limit"}


@dataclass(frozen=True, slots=True)
class Trigger:
    """One way to start a flow."""

    key: str
    """Part of the address it is subscribed at."""
    operation: str
    """What the connector calls it."""
    summary: str
    description: str
    event_type: str | None
    """``None``: whatever happens."""
    fields: tuple[Field, ...]
    by_severity: bool = False
    """Do its events have a severity, so that a flow may ask for the worse ones alone?"""

    def body(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Exactly the declared fields, in their types; what is not known is null. ``event``: its stored form."""
        return {field.name: typed(field, value) for field, value in self._values(event)}

    def _values(self, event: Mapping[str, Any]) -> Iterator[tuple[Field, Any]]:
        test = event["type"] == TEST
        data, happened = event["data"], parse_iso(event["ts"])
        common = {
            "event_id": event["eventId"],
            "event_type": (self.event_type or TEST) if test else event["type"],
            "occurred_at": event["ts"],
            "occurred_at_epoch": int(happened.timestamp()),
            "site": event.get("site"),
            "severity": event.get("severity") or data.get("severity"),
            "is_test": test,
        }
        for field in self.fields:
            if field.name in common:
                known = common[field.name]
                yield field, field.example if test and known is None and field.name == "severity" else known
            elif self.event_type is None:
                yield field, self._of_any(field.name, event)
            elif test:
                yield field, as_text(_TESTED[field.name]) if field.name in _TEXTS_OF else field.example
            elif field.name in _TEXTS_OF:
                yield field, as_text(data.get(_TEXTS_OF[field.name]))
            else:
                yield field, data.get(field.name)

    @staticmethod
    def _of_any(name: str, event: Mapping[str, Any]) -> Any:
        data = event["data"]
        if name == "data":
            return json_text.dump(data).decode()
        if name == "equipment_id":
            return data.get(name) or (event.get("objectId") if event["objectType"] == catalogue.MACHINE else None)
        own = {"object_type": event["objectType"], "object_id": event.get("objectId"), "name": event.get("name")}
        return own[name] if name in own else data.get(name)

    def schema(self) -> dict[str, Any]:
        """The body as JSON schema, for a flow with the plain HTTP trigger."""
        fields = {
            f.name: {"type": [f.kind, "null"], "title": f.title, "description": f.description} for f in self.fields
        }
        return {"type": "object", "properties": fields, "required": list(fields)}


_TESTED = {"value_text": 231.5, "limit_text": 225.0}


def _trigger(key: str, operation: str, summary: str, event_type: str, *, by_severity: bool = False) -> Trigger:
    known = CATALOGUE[event_type]
    return Trigger(
        key, operation, summary, f"{known.meaning[:-1]}. The flow starts at once.", event_type,
        tuple(_fields(known.data)), by_severity,
    )  # fmt: skip


def _fields(data: Mapping[str, str]) -> Iterator[Field]:
    yield from _COMMON
    common = {field.name for field in _COMMON}
    for name, meaning in data.items():
        if name in ("value", "limit"):
            number, text = value_fields(name, meaning)
            yield field_of(number.name, number.description[:-1], important=name in _IMPORTANT)
            yield text
        elif name not in common:
            yield field_of(name, meaning, important=name in _IMPORTANT)


ANYTHING = Trigger(
    "any",
    "WhenAnythingHappens",
    "When any event happens",
    "Starts a flow for every event, or for one type of event that you choose. The flow starts at once.",
    None,
    (*_COMMON, *_ANY),
    by_severity=True,
)

TRIGGERS: Mapping[str, Trigger] = {
    trigger.key: trigger
    for trigger in (
        _trigger("alert-raised", "WhenAlertRaised", "When an oven alert is raised", catalogue.ALERT_RAISED,
                 by_severity=True),
        _trigger("alert-acknowledged", "WhenAlertAcknowledged", "When an oven alert is acknowledged",
                 catalogue.ALERT_ACKNOWLEDGED, by_severity=True),
        _trigger("alert-resolved", "WhenAlertResolved", "When an oven alert is resolved", catalogue.ALERT_RESOLVED,
                 by_severity=True),
        _trigger("alert-shelved", "WhenAlertShelved", "When an oven alert is shelved", catalogue.ALERT_SHELVED,
                 by_severity=True),
        _trigger("connection-changed", "WhenConnectionChanged", "When an oven's connection changes",
                 catalogue.EQUIPMENT_CONNECTION_CHANGED, by_severity=True),
        _trigger("status-changed", "WhenStatusChanged", "When an oven's status changes",
                 catalogue.EQUIPMENT_STATE_CHANGED),
        _trigger("batch-started", "WhenBatchStarted", "When a batch starts", catalogue.BATCH_STARTED),
        _trigger("batch-ended", "WhenBatchEnded", "When a batch ends", catalogue.BATCH_COMPLETED),
        _trigger("task-created", "WhenTaskCreated", "When a task is created", catalogue.TASK_CREATED),
        _trigger("task-changed", "WhenTaskChanged", "When a task changes its status", catalogue.TASK_STATUS_CHANGED),
        ANYTHING,
    )
}  # fmt: skip
"""All of them, by key."""
