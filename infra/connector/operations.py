"""What is in the connector: which functions of the app, under which name, in which words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from shared.platforms.power_automate.answers import AlertRow, ConnectionRow, LiveRow, TaskRow

__all__ = ["ACTIONS", "CHOICES", "POLLED", "TITLES", "Action", "Polled"]

Visibility = Literal["important", "advanced", "internal"]


@dataclass(frozen=True, slots=True)
class Action:
    """Something a flow does or asks."""

    function: str
    """The function of the app that serves it."""
    operation: str
    summary: str
    description: str
    """What it does; then its limits and what goes wrong, in plain words."""
    answer: type[BaseModel] | None = None
    """Where the function promises none itself: the flat fields of its answer that flows use."""
    fields: tuple[str, ...] | None = None
    """Of the body, if not all of them."""
    visibility: Visibility | None = None


@dataclass(frozen=True, slots=True)
class Polled:
    """A trigger that asks on a schedule."""

    function: str
    trigger: str
    form: Literal["list", "cursor"]
    operation: str
    summary: str
    description: str


ACTIONS = (
    Action(
        "get_realtime_data",
        "GetOvenNow",
        "Get what an oven says now",
        "Gives the last reading of an oven with its age and quality. It never waits for the oven: look at the age, "
        "and do not act where the quality is bad. An oven that was not read lately has empty values, never old "
        "ones. Needs the role viewer.",
        answer=LiveRow,
    ),
    Action(
        "get_value_for_flows",
        "GetOvenValue",
        "Get one measured value of an oven",
        "Gives one value, such as a temperature, with its unit, age and quality. If the oven does not measure it, "
        "the error says what it does measure. Needs the role viewer.",
    ),
    Action(
        "get_history_for_flows",
        "GetOvenHistory",
        "Get the history of a measured value",
        "Gives average, lowest and highest value for each stretch of time, 1,000 at most; where there are more, "
        "continuation is filled and gets the next ones. Stretches shorter than an hour reach back 31 days at a "
        "time. Needs the role viewer.",
    ),
    Action(
        "list_ovens_for_flows",
        "ListOvens",
        "List ovens",
        "Gives the ovens with their plant and connection, 1,000 at most; where there are more, continuation is "
        "filled. Needs the role viewer.",
    ),
    Action(
        "list_signals_for_flows",
        "ListOvenValues",
        "List the measured values of an oven",
        "Gives everything an oven measures, one row for each, with value, unit and quality. Empty if the oven was "
        "not read today or yesterday. Needs the role viewer.",
    ),
    Action(
        "list_alert_rules_for_flows",
        "ListAlertRules",
        "List the alert rules of an oven",
        "Gives the rules that raise alerts for an oven, its own and those of its type. Needs the role viewer.",
    ),
    Action(
        "get_alert",
        "GetAlert",
        "Get an alert",
        "Gives an alert as it stands now; use it to see whether somebody has acknowledged it meanwhile. An alert "
        "that is not there is error 404. Needs the role viewer.",
        answer=AlertRow,
    ),
    Action(
        "acknowledge_alert",
        "AcknowledgeAlert",
        "Acknowledge an alert",
        "Says that somebody has seen the alert. Doing it twice keeps the first. The audit log names the owner of "
        "the API token, so put the person into the comment. Needs the role operator.",
        answer=AlertRow,
    ),
    Action(
        "resolve_alert",
        "ResolveAlert",
        "Resolve an alert",
        "Closes the alert, although its cause may go on; then it can be raised again. Doing it twice changes "
        "nothing. Needs the role operator.",
        answer=AlertRow,
    ),
    Action(
        "comment_alert",
        "CommentAlert",
        "Comment on an alert",
        "Adds a remark of at most 2,000 characters to the alert, for everybody who looks at it later. Needs the "
        "role operator.",
        answer=AlertRow,
    ),
    Action(
        "shelve_alert",
        "ShelveAlert",
        "Shelve an alert",
        "Silences the alert, and new ones of the same rule on this oven, for at most 1,440 minutes (a day). It "
        "comes back if its cause goes on. Needs the role operator.",
        answer=AlertRow,
    ),
    Action(
        "test_connection",
        "TestOvenConnection",
        "Test the connection to an oven",
        "Connects to the oven now and says how it went; this can take half a minute. That an oven cannot be "
        "reached is no error of the action: look at success. An oven that has no connection set up is error 409. "
        "Needs the role engineer.",
        answer=ConnectionRow,
        fields=(),
    ),
    Action(
        "raise_event_from_flow",
        "RaiseEvent",
        "Raise an event",
        "Tells everybody who subscribed that something happened, under a name you choose. Give a key to be safe: "
        "with the same key an event is told once, also when the flow repeats the step. Needs the role operator.",
    ),
    Action(
        "create_task",
        "CreateTask",
        "Create a task",
        "Makes a task for somebody, about an oven or an alert. Give a key to be safe: with the same key the task "
        "is made once, also when the flow repeats the step. Needs the role operator.",
        answer=TaskRow,
        fields=(
            "title",
            "description",
            "equipment_id",
            "alert_id",
            "assignee",
            "priority",
            "due_at",
            "kind",
            "work_order_id",
            "reference",
        ),
    ),
    Action(
        "test_flow_subscription",
        "SendTestNotification",
        "Send a test notification",
        "Starts one flow that waits for Ovenbridge, with example values and the field Is a test set to yes. "
        "Nothing happened. A flow that is switched off is error 404 or 409. Needs the role engineer.",
        fields=(),
    ),
    Action(
        "list_flow_subscriptions",
        "ListSubscriptions",
        "List flows that wait for events",
        "Gives the flows that Ovenbridge starts and how they are doing, 1,000 at most. Needs the role viewer.",
    ),
    Action(
        "list_event_types_for_flows",
        "ListEventTypes",
        "List types of events",
        "Gives the types of events, for lists to choose from.",
        visibility="internal",
    ),
    Action(
        "unsubscribe_flow",
        "EndSubscription",
        "End a subscription",
        "Called by the platform when a flow is switched off or deleted. One that is gone is no error.",
        visibility="internal",
    ),
)

POLLED = (
    Polled(
        "poll_events",
        "any",
        "list",
        "OnAnythingPolled",
        "When any event happens (checked on a schedule)",
        "Asks Ovenbridge on the flow's own schedule what happened since the last time; use it where the role "
        "engineer is not given. Each event comes once, a quarter of a minute after it happened at the earliest. "
        "Needs the role viewer.",
    ),
    Polled(
        "poll_events_of_trigger",
        "alert-raised",
        "cursor",
        "OnAlertsPolled",
        "When an oven alert is raised (checked on a schedule)",
        "Asks Ovenbridge on the flow's own schedule which alerts were raised since the last time; use it where the "
        "role engineer is not given. Each alert comes once. Needs the role viewer.",
    ),
)

_OVENS = {
    "operationId": "ListOvens",
    "value-collection": "ovens",
    "value-path": "equipment_id",
    "value-title": "label",
}
_SIGNALS = {
    "operationId": "ListOvenValues",
    "parameters": {"equipment_id": {"parameter": "equipment_id"}},
    "value-collection": "signals",
    "value-path": "signal",
    "value-title": "signal",
}
_TYPES = {
    "operationId": "ListEventTypes",
    "value-collection": "event_types",
    "value-path": "event_type",
    "value-title": "meaning",
}
_SUBSCRIPTIONS = {
    "operationId": "ListSubscriptions",
    "value-collection": "subscriptions",
    "value-path": "subscription_id",
    "value-title": "label",
}
CHOICES: Mapping[str, Mapping[str, Any]] = {
    "equipment_id": _OVENS,
    "signal": _SIGNALS,
    "event_type": _TYPES,
    "subscription_id": _SUBSCRIPTIONS,
}
"""Parameters whose values are picked from a list."""

TITLES: Mapping[str, str] = {
    "equipment_id": "Oven",
    "site": "Plant",
    "minimum_severity": "Lowest severity",
    "event_type": "Type of event",
    "signal": "Measured value",
    "callback_url": "Callback URL",
    "subscription_id": "Flow",
    "alert_id": "Alert ID",
    "bucket": "Length of a stretch",
    "start": "From",
    "end": "Until",
    "limit": "At most",
    "Idempotency-Key": "Key",
    "x-ms-workflow-name": "Name of the flow",
    "x-ms-environment-id": "Environment of the flow",
    "minutes": "Minutes",
    "data": "Further data",
}
"""Of parameters, where the name says too little."""
