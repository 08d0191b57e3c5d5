"""What flows are answered: flat rows with typed fields, each with a sentence. What has no value is null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, RootModel

from shared.platforms.power_automate.fields import as_text

__all__ = [
    "AlertRow",
    "AlertRuleList",
    "AlertRuleRow",
    "ConnectionRow",
    "EventTold",
    "EventTypeList",
    "EventTypeRow",
    "HistoryPage",
    "HistoryRow",
    "LiveRow",
    "OvenList",
    "OvenRow",
    "PolledAnswer",
    "PolledEvents",
    "SignalList",
    "SignalRow",
    "SubscriptionList",
    "SubscriptionRow",
    "TaskRow",
    "TestSent",
    "signal_row",
]


class _Row(BaseModel):
    model_config = ConfigDict(defer_build=True)


class OvenRow(_Row):
    """An oven."""

    equipment_id: str = Field(description="The oven's ID.")
    name: str = Field(description="The oven's name.")
    label: str = Field(description="Name and plant, as lists show it.")
    site: str | None = Field(description="The plant; empty if none was given.")
    manufacturer: str | None = Field(description="Who made it.")
    model: str | None = Field(description="Which model it is.")
    connection_status: str = Field(description="connected, disconnected, error or unknown.")
    last_connected_at: str | None = Field(description="When it was reached last, in UTC.")
    last_error: str | None = Field(description="Why it cannot be reached; empty when it can.")


class OvenList(_Row):
    """Ovens."""

    ovens: list[OvenRow] = Field(description="The ovens.")
    continuation: str | None = Field(description="Give it back to get more; empty: these were all.")


class SignalRow(_Row):
    """One measured value."""

    equipment_id: str = Field(description="The oven's ID.")
    equipment_name: str = Field(description="The oven's name.")
    signal: str = Field(description="What is measured, such as temperature.cabinet.")
    value: float | None = Field(description="The value; empty where it is no number, or not known now.")
    value_text: str | None = Field(description="The value as text; empty where it is not known now.")
    unit: str | None = Field(description="Its unit; C for temperatures.")
    quality: str = Field(description="good, uncertain or bad. Do not act on a bad value.")
    reason: str | None = Field(description="Why it is not good; empty when it is.")
    measured_at: str | None = Field(description="When the oven was read, in UTC.")
    age_seconds: float | None = Field(description="How old the reading is, in seconds.")


class SignalList(_Row):
    """What an oven measures."""

    signals: list[SignalRow] = Field(description="The values.")


class LiveRow(_Row):
    """What an oven said last."""

    equipment_id: str = Field(description="The oven's ID.")
    equipment_name: str = Field(description="The oven's name.")
    timestamp: str | None = Field(description="When the oven was read, in UTC; empty if it was not read lately.")
    connection_status: str = Field(description="connected, disconnected, error or unknown.")
    operational_status: str | None = Field(description="What it does, such as running or idle.")
    temperature: float | None = Field(description="Its temperature in C; empty where it is not known now.")
    humidity: float | None = Field(description="Humidity in percent.")
    cycle_stage: str | None = Field(description="The step of its program.")
    cycle_progress_percentage: float | None = Field(description="How far its program is, in percent.")
    time_remaining_minutes: float | None = Field(description="Minutes until its program ends.")
    energy_consumption_kwh: float | None = Field(description="Energy used, in kWh.")
    door_status: str | None = Field(description="open or closed.")
    active_batch_id: str | None = Field(description="The batch that is being baked.")
    active_batch_name: str | None = Field(description="Its product or program.")
    age_seconds: float | None = Field(description="How old the reading is, in seconds.")
    quality: str = Field(description="good, uncertain or bad. Do not act on bad values.")
    reason: str | None = Field(description="Why it is not good; empty when it is.")


class HistoryRow(_Row):
    """One stretch of time."""

    start: str = Field(description="When the stretch begins, in UTC.")
    average: float | None = Field(description="The average; empty where there was no good value.")
    minimum: float | None = Field(description="The lowest value.")
    maximum: float | None = Field(description="The highest value.")
    count: int = Field(description="How many good values there were.")
    bad_count: int = Field(description="How many values were bad, or could not be read.")


class HistoryPage(_Row):
    """The history of one signal."""

    equipment_id: str = Field(description="The oven's ID.")
    signal: str = Field(description="What was measured.")
    bucket: str = Field(description="How long each stretch is.")
    rows: list[HistoryRow] = Field(description="The stretches, oldest first; those without any reading are left out.")
    continuation: str | None = Field(description="Give it back to get more; empty: these were all.")


class AlertRuleRow(_Row):
    """A rule that raises alerts."""

    rule_id: str = Field(description="The rule's ID.")
    name: str = Field(description="Its name.")
    kind: str = Field(description="What it watches for.")
    signal: str | None = Field(description="The signal it watches; empty where it watches a whole oven.")
    severity: str = Field(description="info, warning or critical.")
    enabled: bool = Field(description="Yes if it is on.")


class AlertRuleList(_Row):
    """Rules."""

    rules: list[AlertRuleRow] = Field(description="The rules that count for the oven.")


class EventTypeRow(_Row):
    """A type of event."""

    event_type: str = Field(description="Its name.")
    meaning: str = Field(description="What it means.")


class EventTypeList(_Row):
    """Types of events."""

    event_types: list[EventTypeRow] = Field(description="The types.")


class SubscriptionRow(_Row):
    """A flow that is started by Ovenbridge."""

    subscription_id: str = Field(description="Its ID.")
    trigger: str = Field(description="What starts the flow.")
    label: str = Field(description="The flow's name, or where it runs, and what starts it.")
    status: str = Field(description="healthy, degraded (it does not answer) or disabled.")
    flow: str | None = Field(description="The flow's name, if the platform told it.")
    environment: str | None = Field(description="The flow's environment, if the platform told it.")
    origin: str = Field(description="The server the flow runs on. Its full address is a secret and never shown.")
    equipment_id: str | None = Field(description="Only this oven; empty: all.")
    minimum_severity: str | None = Field(description="Only events at least so serious; empty: all.")
    site: str | None = Field(description="Only this plant; empty: all.")
    created_at: str = Field(description="When the flow subscribed, in UTC.")
    last_triggered_at: str | None = Field(description="When the flow was last called, in UTC.")
    last_successful_at: str | None = Field(description="When it last said yes, in UTC.")
    disabled_reason: str | None = Field(description="Why it is not called any more; empty if it is.")


class SubscriptionList(_Row):
    """Flows that are started by Ovenbridge."""

    subscriptions: list[SubscriptionRow] = Field(description="The flows.")
    total: int = Field(description="How many there are.")


class TestSent(_Row):
    """A test notification is on its way."""

    delivery_id: str = Field(description="Names it; its attempts stand in the delivery log.")


class EventTold(_Row):
    """An event was taken."""

    event_id: str = Field(description="Names it; the same if you send it again with the same key.")
    targets: int = Field(description="How many subscribers are told.")


class PolledEvents(_Row):
    """What happened since the cursor."""

    items: list[dict[str, Any]] = Field(description="The events, oldest first.")
    cursor: str = Field(description="Give it with the next call.")


class PolledAnswer(RootModel[list[dict[str, Any]] | PolledEvents]):
    """A plain list, or items and cursor, as it was asked for."""

    model_config = ConfigDict(defer_build=True)


class AlertRow(_Row):
    """An alert."""

    id: str = Field(description="The alert's ID.")
    equipment_id: str = Field(description="The oven's ID.")
    equipment_name: str = Field(description="The oven's name.")
    alert_type: str = Field(description="What sort of alert it is.")
    severity: str = Field(description="info, warning or critical.")
    status: str = Field(description="active, acknowledged or resolved.")
    message: str = Field(description="One sentence for people.")
    triggered_at: str = Field(description="When it was raised, in UTC.")
    acknowledged_at: str | None = Field(description="When somebody acknowledged it, in UTC; empty: nobody has.")
    acknowledged_by: str | None = Field(description="Who acknowledged it.")
    resolved_at: str | None = Field(description="When it was over, in UTC; empty: it is not.")
    shelved_until: str | None = Field(description="Until when it is silent, in UTC; empty: it is not.")


class ConnectionRow(_Row):
    """How a connection test went."""

    equipment_id: str = Field(description="The oven's ID.")
    success: bool = Field(description="Yes if the oven was reached.")
    status: str = Field(description="connected, or a word for what went wrong.")
    response_time_ms: float | None = Field(description="How long it took, in milliseconds.")
    error_details: str | None = Field(description="What went wrong and what to do; empty if nothing.")


class TaskRow(_Row):
    """A task."""

    id: str = Field(description="The task's ID.")
    title: str = Field(description="What is to be done.")
    status: str = Field(description="open, in_progress, done, cancelled or postponed.")
    priority: str = Field(description="low, normal, high or urgent.")
    assignee: str | None = Field(description="Who is to do it; empty: nobody yet.")
    due_at: str | None = Field(description="When it is to be done, in UTC; empty if nobody said.")
    equipment_id: str | None = Field(description="The oven it is about; empty: none.")
    created_at: str = Field(description="When it was made, in UTC.")


def signal_row(live: Mapping[str, Any], signal: str) -> dict[str, Any]:
    """One signal of the live view of an oven."""
    known = live["signals"][signal]
    value = known["value"]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return {
        "equipment_id": live["equipment_id"],
        "equipment_name": live["equipment_name"],
        "signal": signal,
        "value": float(value) if number else None,
        "value_text": as_text(value),
        "unit": known["unit"],
        "quality": known["quality"],
        "reason": known["reason"],
        "measured_at": live["timestamp"],
        "age_seconds": live["age_seconds"],
    }
