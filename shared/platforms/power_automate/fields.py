"""Flat typed fields: what a maker of flows picks from a list, with a name and a sentence for each.

Names and meanings are those of the event catalogue; what is added here is a type that never changes, a title, and an
example that a test notification carries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Field", "field_of", "typed", "value_fields"]

Kind = Literal["string", "number", "integer", "boolean"]

_NUMBERS = frozenset({"value", "compared_value", "limit", "duration_seconds", "core_temperature_max"})
_BOOLEANS = frozenset({"core_temperature_reached", "is_test"})
_TIMES = ("_at", "_until", "_since")

_TITLES: Mapping[str, str] = {
    "equipment_id": "Oven ID",
    "equipment_name": "Oven name",
    "site": "Plant",
    "alert_type": "Kind of alert",
    "value_text": "Value as text",
    "limit_text": "Limit as text",
    "url": "Link",
    "by": "Done by",
    "is_test": "Is a test",
    "occurred_at": "Time",
    "occurred_at_epoch": "Time in seconds since 1970",
    "due_at": "Due",
    "start_at": "Start",
    "data": "All data as JSON text",
}
_WORDS = {"id": "ID", "ms": "(ms)", "kwh": "(kWh)"}
_MEANINGS: Mapping[str, str] = {
    "equipment_id": "the oven's ID; empty where it is about none",
    "equipment_name": "the oven's name; empty where it is about none",
    "alert_type": "what sort of alert, such as temperature_deviation, connection_lost or haccp_not_reached",
    "severity": "how serious: info, warning or critical; empty where nobody says",
}
"""Where the catalogue speaks to programmers."""

_EXAMPLES: Mapping[str, Any] = {
    "alert_type": "temperature_deviation",
    "severity": "warning",
    "status": "active",
    "previous_status": "idle",
    "message": "A test from Ovenbridge; nothing happened.",
    "signal": "temperature.cabinet",
    "unit": "C",
    "value": 231.5,
    "compared_value": 231.5,
    "limit": 225.0,
    "equipment_id": "TEST-OVEN",
    "equipment_name": "Test oven",
    "title": "A test task",
    "priority": "normal",
    "duration_seconds": 90.0,
    "core_temperature_max": 96.5,
    "core_temperature_reached": True,
    "url": "https://example.com/",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a body."""

    name: str
    kind: Kind
    title: str
    description: str
    is_time: bool = False
    important: bool = False
    """Shown without "show all"."""

    @property
    def example(self) -> Any:
        """What a test notification carries."""
        if self.name in _EXAMPLES:
            return _EXAMPLES[self.name]
        if self.is_time:
            return "2026-01-01T00:00:00.000Z"
        return {"string": "test", "number": 1.0, "integer": 1, "boolean": False}[self.kind]


def field_of(name: str, meaning: str, *, important: bool = False) -> Field:
    """The field of a name of the catalogue."""
    if name in _NUMBERS:
        kind: Kind = "number"
    elif name in _BOOLEANS:
        kind = "boolean"
    else:
        kind = "integer" if name.endswith("_epoch") else "string"
    title = _TITLES.get(name) or " ".join(_WORDS.get(part, part) for part in name.split("_"))
    said = sentence(_MEANINGS.get(name, meaning).replace("null", "empty"))
    return Field(name, kind, title[0].upper() + title[1:], said, name.endswith(_TIMES), important)


def value_fields(name: str, meaning: str) -> tuple[Field, Field]:
    """A value of a machine is a number, a word or a yes: one field for the number, one that always has it as text."""
    return (
        field_of(name, f"{meaning}; empty where it is no number"),
        field_of(f"{name}_text", f"{meaning}, as text: also where it is a word such as error, or true"),
    )


def typed(field: Field, value: Any) -> Any:
    """The value if it is of the field's type, otherwise null: a field never changes its type."""
    if isinstance(value, bool):
        return value if field.kind == "boolean" else None
    if isinstance(value, int | float):
        return int(value) if field.kind == "integer" else float(value) if field.kind == "number" else None
    return value if isinstance(value, str) and field.kind == "string" else None


def as_text(value: Any) -> str | None:
    """A number, a word or a yes as text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, int | float) else None


def sentence(text: str) -> str:
    """With a capital, unless it begins with a word of the data, and a full stop."""
    first = re.split("[ ,]", text, maxsplit=1)[0]
    if "_" in first or ("," in text[: len(first) + 1] and first.islower()):
        text = f"One of: {text}"
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")
