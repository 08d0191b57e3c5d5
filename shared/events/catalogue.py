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
    "ALERT_RESPONSE_FAILED",
    "ALERT_SHELVED",
    "BATCH_COMPLETED",
    "BATCH_STARTED",
    "CALL_RECORDED",
    "CATALOGUE",
    "CONNECTION",
    "EQUIPMENT_CONNECTION_CHANGED",
    "EQUIPMENT_STATE_CHANGED",
    "EXTERNAL",
    "MACHINE",
    "NONE",
    "PLATFORM_NOTIFICATIONS_FAILING",
    "PLATFORM_NOTIFICATIONS_RECOVERED",
    "RELAY",
    "RELAY_BACK",
    "RELAY_CERTIFICATE_EXPIRING",
    "RELAY_READINGS_DROPPED",
    "RELAY_SILENT",
    "REPORT_COMPLETED",
    "SESSION_RECORDED",
    "TASK_ASSIGNED",
    "TASK_CREATED",
    "TASK_STATUS_CHANGED",
    "TEST",
    "TICKET_REQUESTED",
    "VALUE_ENTERED",
    "WORK_ORDER",
    "WORK_ORDER_COMPLETED",
    "WORK_ORDER_UPDATED",
    "EventType",
]

MACHINE = "MACHINE"
"""Object type of everything that is about one machine; the object id is its equipment id."""
RELAY = "RELAY"
"""Object type of what is about a relay; the object id is the relay's."""
WORK_ORDER = "WORK_ORDER"
"""Object type of what is about an order of a work-instruction platform; the object id is its work order id."""
CONNECTION = "CONNECTION"
"""Object type of what is about a connection to a platform; the object id is the connection's."""
NONE = "NONE"
"""Object type of what is about nothing in particular."""

ALERT_RAISED = "ALERT_RAISED"
ALERT_ACKNOWLEDGED = "ALERT_ACKNOWLEDGED"
ALERT_RESOLVED = "ALERT_RESOLVED"
ALERT_SHELVED = "ALERT_SHELVED"
ALERT_RESPONSE_FAILED = "ALERT_RESPONSE_FAILED"
TICKET_REQUESTED = "TICKET_REQUESTED"
TASK_CREATED = "TASK_CREATED"
TASK_STATUS_CHANGED = "TASK_STATUS_CHANGED"
TASK_ASSIGNED = "TASK_ASSIGNED"
EQUIPMENT_STATE_CHANGED = "EQUIPMENT_STATE_CHANGED"
EQUIPMENT_CONNECTION_CHANGED = "EQUIPMENT_CONNECTION_CHANGED"
RELAY_SILENT = "RELAY_SILENT"
RELAY_BACK = "RELAY_BACK"
RELAY_READINGS_DROPPED = "RELAY_READINGS_DROPPED"
RELAY_CERTIFICATE_EXPIRING = "RELAY_CERTIFICATE_EXPIRING"
BATCH_STARTED = "BATCH_STARTED"
BATCH_COMPLETED = "BATCH_COMPLETED"
SESSION_RECORDED = "SESSION_RECORDED"
CALL_RECORDED = "CALL_RECORDED"
WORK_ORDER_COMPLETED = "WORK_ORDER_COMPLETED"
WORK_ORDER_UPDATED = "WORK_ORDER_UPDATED"
REPORT_COMPLETED = "REPORT_COMPLETED"
VALUE_ENTERED = "VALUE_ENTERED"
EXTERNAL = "EXTERNAL"
PLATFORM_NOTIFICATIONS_FAILING = "PLATFORM_NOTIFICATIONS_FAILING"
PLATFORM_NOTIFICATIONS_RECOVERED = "PLATFORM_NOTIFICATIONS_RECOVERED"
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
    "data_quality, data_stale, haccp_not_reached or value_mismatch",
    "severity": "info, warning or critical",
    "status": "active, acknowledged or resolved, as it was when this happened",
    "message": "one sentence for people",
    "signal": "the signal that is wrong, e.g. temperature.cabinet; null where a whole machine is meant",
    "value": "the value when the alert was raised; of a value_mismatch what a person entered",
    "compared_value": "what the value was compared with: of a value_mismatch the machine's own; else null",
    "unit": "unit of value and limit (C for temperatures)",
    "limit": "the limit of the rule; null where the rule has none",
    "triggered_at": "when the alert was raised, by the time of the reading",
    "url": "where the alert can be read and acknowledged",
}

_BY = {
    "by": "the name of the person or system that did it",
    "comment": "what they wrote; null if nothing",
}

_RESPONSE_FIELDS = {
    "response": "the name of the response in its rule",
    "response_id": "which one, of which alert",
    "rule_id": "the rule it belongs to",
    "rule_name": "the rule's name; null where it has none",
}

_TASK_FIELDS = {
    "task_id": "the task, as its API names it",
    "title": "what is to be done, in one line",
    "description": "the same at length; null if nothing was written",
    "kind": "what sort of work; null if nobody said",
    "status": "open, in_progress, done, cancelled or postponed, as it was when this happened",
    "priority": "low, normal, high or urgent",
    "assignee": "who is to do it, as it was when this happened; null: nobody yet",
    "start_at": "when it is to begin; null if nobody said",
    "due_at": "when it is to be done; null if nobody said",
    "equipment_id": "the machine it is about; null where it is about none",
    "equipment_name": "the machine's name, for people",
    "alert_id": "the alert it is about; null where it is about none",
    "work_order_id": "the work order it belongs to; null where it belongs to none",
    "reference": "how another system calls it; null if none does",
    "created_at": "when it was made",
    "created_by": "who made it",
    "by": "the name of the person or system that did it",
    "url": "where the task can be read and changed",
}

_RELAY_FIELDS = {
    "relay_id": "the relay",
    "relay_name": "the relay's name, for people",
    "url": "where its state can be read",
}

_PLATFORM_FIELDS = {
    "connection_id": "the connection to the platform",
    "connection_name": "its name, for people",
    "platform": "which platform",
    "registration_id": "our registration, as the platform names it",
    "event_type": "of what it is to tell us, in the platform's words",
    "last_triggered_at": "when it last had something to tell; null if never",
    "last_successful_at": "when it last told us; null if never",
    "url": "where the connection can be read",
}

_BATCH_FIELDS = {
    "batch_id": "the batch, as its API names it",
    "equipment_id": "the oven",
    "equipment_name": "the oven's name, for people",
    "product": "what is baked, as a person or system wrote it; null if nobody did",
    "program": "the oven's program; null if unknown",
    "status": "running, completed or aborted",
    "started_at": "when it began, by the oven's or the caller's time",
    "work_order_id": "the work order it belongs to; null if none was named",
    "source": "api (a person or system opened it) or rational (imported from ConnectedCooking)",
    "url": "where the batch can be read",
}

_ORDER_FIELDS = {
    "source": "the hook source that it came in by",
    "realm": "what its platform calls such a message",
    "work_order_id": "how other systems know the order: its custom id, else its own; null where there is no order",
    "order_id": "its id on the platform; null where there is no order",
    "custom_order_id": "its id in the customer's own system; null if it has none",
    "report_id": "the report it is about; null where it is about an order as a whole",
    "name": "of the order or report; null if nobody gave one",
    "state": "the platform's own word; null if it told none",
    "assignee": "who had it; null: nobody, or not told",
    "report_ids": "all reports of the order, parted by commas; null if not told",
    "received_at": "when it came in; the platform tells no time of its own",
    "inbox_id": "the message as it came: GET /api/v1/inbox/{inbox_id}",
}

_RECORD_FIELDS = {
    "external_id": "how its platform calls it",
    "source": "the platform",
    "change": "recorded (first heard of), changed (another state or reference) or completed",
    "state": "the platform's own word, as it was when this happened; null if it told none",
    "title": "the name of the instructions; null if nobody said",
    "started_at": "when it began; null if nobody said",
    "ended_at": "when it ended; null while it goes on",
    "duration_seconds": "how long it took; null without an end",
    "work_order_id": "the work order it belongs to; null if its link named none",
    "equipment_id": "the machine it is about; null if its link named none",
    "equipment_name": "the machine's name, for people; null if it is not registered",
    "batch_id": "the batch it belongs to; null if its link named none",
    "alert_id": "the alert it was begun from; null if its link named none",
    "url": "where everything about it can be read",
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
            ALERT_RESPONSE_FAILED,
            "An automated response to an alert failed for good, or nobody knows whether it was done.",
            data={
                **_ALERT_FIELDS,
                **_RESPONSE_FIELDS,
                "action": "write, call, task or ticket",
                "outcome": "failed or unknown",
                "detail": "one sentence for people: what went wrong, and what to do",
                "attempts": "how often it was tried",
            },
        ),
        EventType(
            TICKET_REQUESTED,
            "An alert's rule asks for a ticket in another system.",
            data={
                **_ALERT_FIELDS,
                **_RESPONSE_FIELDS,
                "ticket_id": "the same whenever this is told: makes one ticket of it",
                "title": "of the ticket",
                "description": "of the ticket; null if the rule has none",
                "priority": "low, normal, high or urgent",
            },
        ),
        EventType(TASK_CREATED, "A task was made, by a person or by an alert's rule.", data=_TASK_FIELDS),
        EventType(
            TASK_STATUS_CHANGED,
            "A task was begun, done, cancelled, postponed or opened again.",
            data={**_TASK_FIELDS, "previous_status": "the one before"},
        ),
        EventType(
            TASK_ASSIGNED,
            "A task was given to somebody else, or to nobody.",
            data={**_TASK_FIELDS, "previous_assignee": "who had it before; null: nobody"},
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
        EventType(
            RELAY_SILENT,
            "A relay in a plant has not been heard of for three minutes; its machines are out of sight.",
            RELAY,
            {
                **_RELAY_FIELDS,
                "silent_since": "when it was heard last",
                "spool_readings": "readings that waited on its disk then",
                "machines": "how many machines it read",
            },
        ),
        EventType(
            RELAY_BACK,
            "A relay that was silent is heard again; it sends what it read meanwhile.",
            RELAY,
            {
                **_RELAY_FIELDS,
                "silent_since": "when it had been heard last",
                "back_at": "when it was heard again",
                "silent_seconds": "how long it was silent",
                "spool_readings": "readings that it still has to send",
            },
        ),
        EventType(
            RELAY_READINGS_DROPPED,
            "A relay had to drop readings, because its disk was full or they were too old to be kept.",
            RELAY,
            {
                **_RELAY_FIELDS,
                "readings": "how many since it told last",
                "readings_total": "how many since its disk was set up",
            },
        ),
        EventType(BATCH_STARTED, "A batch began in an oven, or was imported with its beginning.", data=_BATCH_FIELDS),
        EventType(
            BATCH_COMPLETED,
            "A batch ended: it was completed or aborted.",
            data={
                **_BATCH_FIELDS,
                "ended_at": "when it ended; null if nobody says",
                "duration_seconds": "how long it lasted; null without an end",
                "core_temperature_max": "highest core temperature that the oven tells of the batch, in C; null if none",
                "core_temperature_reached": "whether the required core temperature was reached; null if not told",
            },
        ),
        EventType(
            SESSION_RECORDED,
            "Somebody began or ended working through instructions.",
            data={
                "session_id": "the session, as its API names it",
                **_RECORD_FIELDS,
                "steps_possible": "how many steps the instructions have; null if not told",
                "steps_viewed": "how many of them were looked at; null if not told",
                "percent_viewed": "the same in percent; null if not told",
            },
        ),
        EventType(
            CALL_RECORDED,
            "Somebody called for help from afar, or the call ended.",
            data={"call_id": "the call, as its API names it", **_RECORD_FIELDS},
        ),
        EventType(
            RELAY_CERTIFICATE_EXPIRING,
            "A certificate that a relay shows ends soon, or has ended: told 30, 14 and 7 days before, and then.",
            RELAY,
            {
                **_RELAY_FIELDS,
                "certificate": "https (what pages on site see) or opc_ua (what OPC UA servers see)",
                "expires_at": "when it ends",
                "days_left": "whole days until then; negative: it has ended",
            },
        ),
        EventType(
            WORK_ORDER_COMPLETED, "An order of a work-instruction platform was completed.", WORK_ORDER, _ORDER_FIELDS
        ),
        EventType(
            WORK_ORDER_UPDATED,
            "An order of a work-instruction platform, or its task, changed.",
            WORK_ORDER,
            _ORDER_FIELDS,
        ),
        EventType(REPORT_COMPLETED, "A worker completed a report (a checklist).", WORK_ORDER, _ORDER_FIELDS),
        EventType(
            VALUE_ENTERED,
            "A worker entered a value that is compared with a machine's own.",
            data={
                "source": "the hook source that it came in by",
                "realm": "what its platform calls such a message",
                "tag": "the name of the interaction's tag",
                "value": "what was entered",
                "equipment_id": "the machine it is compared with",
                "equipment_name": "the machine's name, for people; null if it is not registered",
                "signal": "the machine's signal",
                "machine_value": "what the machine said; null if it had no usable value",
                "unit": "of both values; empty if they have none",
                "agrees": "whether they agree; null: nobody can judge",
                "reason": "why nobody can judge; null if it was judged",
                "alert_id": "the alert that is open, or was ended, because of it; null: none",
                "work_order_id": "the work order; null where there is none",
                "report_id": "the report; null if not told",
                "received_at": "when it came in; the platform tells no time of its own",
                "inbox_id": "the message as it came: GET /api/v1/inbox/{inbox_id}",
            },
        ),
        EventType(
            PLATFORM_NOTIFICATIONS_FAILING,
            "A platform has something to tell us and cannot deliver it.",
            CONNECTION,
            _PLATFORM_FIELDS,
        ),
        EventType(
            PLATFORM_NOTIFICATIONS_RECOVERED,
            "A platform that could not deliver to us does so again.",
            CONNECTION,
            _PLATFORM_FIELDS,
        ),
        EventType(EXTERNAL, "Somebody outside told of something by the events API.", object_type=NONE),
        EventType(TEST, "A test that a person asked for; nothing happened.", object_type=NONE),
    )
}
"""All types Ovenbridge itself publishes, by name."""
