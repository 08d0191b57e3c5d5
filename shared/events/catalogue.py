"""Our own event types: what each means and what its ``data`` holds. Platforms add catalogues of their own.

A subscriber names one of these. The data is flat and typed, so that a flow can use its fields without parsing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "ALERT_ACKNOWLEDGED",
    "ALERT_RAISED",
    "ALERT_RESOLVED",
    "ALERT_SHELVED",
    "CATALOGUE",
    "EQUIPMENT_CONNECTION_CHANGED",
    "EQUIPMENT_STATE_CHANGED",
    "EXTERNAL",
    "MACHINE",
    "NONE",
    "TEST",
    "EventType",
]

MACHINE = "MACHINE"
"""Object type of everything that is about one machine; the object id is its equipment id."""
NONE = "NONE"
"""Object type of what is about nothing in particular."""

ALERT_RAISED = "ALERT_RAISED"
ALERT_ACKNOWLEDGED = "ALERT_ACKNOWLEDGED"
ALERT_RESOLVED = "ALERT_RESOLVED"
ALERT_SHELVED = "ALERT_SHELVED"
EQUIPMENT_STATE_CHANGED = "EQUIPMENT_STATE_CHANGED"
EQUIPMENT_CONNECTION_CHANGED = "EQUIPMENT_CONNECTION_CHANGED"
EXTERNAL = "EXTERNAL"
TEST = "TEST"


@dataclass(frozen=True, slots=True)
class EventType:
    """One type of event."""

    name: str
    meaning: str
    """One line for a person who chooses what to subscribe to."""
    object_type: str = MACHINE
    data: Mapping[str, str] = field(default_factory=dict)
    """Fields of the event's ``data`` with their meaning. Times are ISO 8601 in UTC; a field without a value is null."""


_ALERT_FIELDS = {
    "alert_id": "the alert, as its API names it",
    "equipment_id": "the machine",
    "equipment_name": "the machine's name, for people",
    "alert_type": "temperature_deviation, connection_lost, equipment_error, value_deviation, unexpected_state, "
    "data_quality, data_stale or haccp_not_reached",
    "severity": "info, warning or critical",
    "status": "active, acknowledged or resolved, as it was when this happened",
    "message": "one sentence for people",
    "signal": "the signal that is wrong, e.g. temperature.cabinet; null where a whole machine is meant",
    "value": "the value when the alert was raised",
    "unit": "unit of value and limit (C for temperatures)",
    "limit": "the limit of the rule; null where the rule has none",
    "triggered_at": "when the alert was raised, by the time of the reading",
    "url": "where the alert can be read and acknowledged",
}

_BY = {
    "by": "the name of the person or system that did it",
    "comment": "what they wrote; null if nothing",
}

CATALOGUE: Mapping[str, EventType] = {
    event_type.name: event_type
    for event_type in (
        EventType(ALERT_RAISED, "A machine's alert was raised, or a shelved one came back.", data=_ALERT_FIELDS),
        EventType(ALERT_ACKNOWLEDGED, "A person has seen an alert.", data={**_ALERT_FIELDS, **_BY}),
        EventType(
            ALERT_RESOLVED,
            "An alert is over: its condition went away, or a person closed it.",
            data={**_ALERT_FIELDS, **_BY, "resolved_at": "when it was over", "duration_seconds": "how long it lasted"},
        ),
        EventType(
            ALERT_SHELVED,
            "A person silenced an alert for some time.",
            data={**_ALERT_FIELDS, **_BY, "shelved_until": "when it comes back if it is still active"},
        ),
        EventType(
            EQUIPMENT_STATE_CHANGED,
            "A machine's operational status changed, e.g. from idle to running.",
            data={
                "equipment_id": "the machine",
                "equipment_name": "the machine's name, for people",
                "status": "the new operational status",
                "previous_status": "the one before; null if none was known",
                "changed_at": "time of the reading that showed it",
            },
        ),
        EventType(
            EQUIPMENT_CONNECTION_CHANGED,
            "A machine became reachable or unreachable.",
            data={
                "equipment_id": "the machine",
                "equipment_name": "the machine's name, for people",
                "status": "connected, disconnected or error",
                "previous_status": "the one before",
                "reason": "why it cannot be reached; null when it can",
                "changed_at": "time of the reading that showed it",
            },
        ),
        EventType(EXTERNAL, "Somebody outside told of something by the events API.", object_type=NONE),
        EventType(TEST, "A test that a person asked for; nothing happened.", object_type=NONE),
    )
}
"""All types Ovenbridge itself publishes, by name."""
