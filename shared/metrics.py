"""What is counted and measured. Rooms record in one line; ``tally.py`` and OpenTelemetry listen.

A measure costs a loop over nothing while nobody listens. Names, units and attributes follow OpenTelemetry. The values
of an attribute are words of a short list, never what a caller or a machine said: equipment ids belong into logs and
spans, because a thousand ovens would be a thousand series.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

__all__ = [
    "ALERTS_OPEN",
    "ALERT_RESPONSES",
    "ALL",
    "AUDIT_CHAIN_OK",
    "COSMOS_CHARGE",
    "DELIVERY_ATTEMPTS",
    "DELIVERY_DISCARDED",
    "DELIVERY_LAG",
    "DELIVERY_OLDEST_PENDING",
    "FIRST_ATTEMPT_WITHIN_SECONDS",
    "FUNCTION_DURATION",
    "POLLS_PLANNED",
    "POLLS_SKIPPED",
    "POLL_DURATION",
    "POLL_LAG",
    "POLL_WITHIN_SECONDS",
    "QUEUE_SENDS",
    "READINGS_INGESTED",
    "RECORDS_MISSED",
    "RECORD_UPDATES",
    "RELAY_BATCHES_DOUBTED",
    "RELAY_CERTIFICATE_DAYS",
    "RELAY_DELIVERY_LAG",
    "RELAY_HEARTBEAT_AGE",
    "RELAY_READINGS_LOST",
    "RELAY_READINGS_REFUSED",
    "RELAY_SPOOL_AGE",
    "RELAY_SPOOL_DEPTH",
    "STORE_CALLS",
    "VAULT_CALLS",
    "VAULT_EXPIRING",
    "WEBHOOK_REJECTED",
    "Kind",
    "Listener",
    "Measure",
    "in_time",
]

Kind = Literal["counter", "histogram", "gauge"]
Listener = Callable[[float, dict[str, str]], None]

POLL_WITHIN_SECONDS = 5.0
"""Objective: 99 % of polls begin at most so long after their instant."""
FIRST_ATTEMPT_WITHIN_SECONDS = 2.0
"""Objective: 99.5 % of first attempts begin at most so long after the event was taken."""


class Measure:
    """One thing that is measured. No dataclass: making one would be a millisecond of every cold start."""

    __slots__ = ("attributes", "description", "kind", "listeners", "name", "unit")

    def __init__(
        self, name: str, unit: str, description: str, kind: Kind = "counter", attributes: tuple[str, ...] = ()
    ) -> None:
        """
        Args:
            name: as OpenTelemetry names metrics.
            unit: as UCUM writes it: ``s``, ``1``, ``{call}``.
            description: for people.
            kind: ``counter`` (only grows), ``histogram`` or ``gauge`` (the last value counts).
            attributes: what tells its series from each other.
        """
        self.name = name
        self.unit = unit
        self.description = description
        self.kind: Kind = kind
        self.attributes = attributes
        self.listeners: list[Listener] = []

    def record(self, value: float, **attributes: str) -> None:
        """Note a value, with the words that tell it from others of its kind."""
        for listener in self.listeners:
            listener(value, attributes)


def in_time(seconds: float, limit: float) -> str:
    """``yes`` or ``no``: an objective is a share, and quantiles of several processes cannot be added up."""
    return "yes" if seconds <= limit else "no"


# Functions

FUNCTION_DURATION = Measure("function.duration", "s", "How long a function ran", "histogram", ("function", "outcome"))
"""``outcome``: 2xx, 3xx, 4xx, 5xx for HTTP; ok, failed for timers and queues."""

# Machines

POLLS_PLANNED = Measure("poll.planned", "{poll}", "Polls sent to the queue", "counter", ("lane",))
POLL_DURATION = Measure(
    "poll.duration", "s", "How long reading a machine took", "histogram", ("protocol", "vendor", "outcome")
)
"""``outcome``: ok, or the kind of failure."""
POLL_LAG = Measure(
    "poll.lag_seconds", "s", "How long after its instant the poll of a sound machine began", "histogram", ("on_time",)
)
POLLS_SKIPPED = Measure("poll.skipped", "{poll}", "Polls left out", "counter", ("reason",))
"""``reason``: stale (its message came too late), busy (still being read), shed (no place among the failing)."""
READINGS_INGESTED = Measure("readings.ingested", "{reading}", "Readings recorded", "counter", ("quality",))
ALERTS_OPEN = Measure("alerts.open", "{alert}", "Alerts whose condition holds", "gauge", ("severity",))
ALERT_RESPONSES = Measure(
    "alerts.responses", "{response}", "Automated responses that came to an end", "counter", ("action", "outcome")
)
"""``outcome``: done, failed, skipped, unknown."""

# Records of work

RECORD_UPDATES = Measure("records.updates", "{update}", "Calls to systems of record", "counter", ("system", "outcome"))
"""``outcome``: recorded, later, failed, unknown, skipped."""
RECORDS_MISSED = Measure(
    "records.missed", "{record}", "Sessions and calls that no webhook had brought", "counter", ("kind",)
)

# Relays: there are few, and each is a place where everything may be out, so that each has its own series

RELAY_HEARTBEAT_AGE = Measure("relay.heartbeat_age", "s", "How long a relay has been silent", "gauge", ("relay",))
RELAY_SPOOL_DEPTH = Measure(
    "relay.spool_depth", "{reading}", "Readings that wait on a relay's disk", "gauge", ("relay",)
)
RELAY_SPOOL_AGE = Measure(
    "relay.spool_age", "s", "How old the oldest reading is that waits on a relay's disk", "gauge", ("relay",)
)
RELAY_CERTIFICATE_DAYS = Measure(
    "relay.certificate_days", "d", "Days until a certificate of a relay ends", "gauge", ("relay", "certificate")
)
RELAY_DELIVERY_LAG = Measure(
    "relay.delivery_lag", "s", "From reading a machine in a plant to having it here", "histogram", ("lane",)
)
"""``lane``: alarm, history. Of the newest reading of each batch."""
RELAY_READINGS_LOST = Measure("relay.readings_lost", "{reading}", "Readings dropped by relays whose disk was full")
RELAY_READINGS_REFUSED = Measure(
    "relay.readings_refused", "{reading}", "Readings of relays that were not taken", "counter", ("reason",)
)
"""``reason``: not_assigned (the machine is not this relay's), unreadable, future (its clock is ahead)."""

RELAY_BATCHES_DOUBTED = Measure(
    "relay.batches_not_believed",
    "{batch}",
    "Batches that the relay they name did not sign",
    "counter",
    ("reason",),
)
"""``reason``: unsigned, unknown_key (of another relay, or of none), old_key (replaced), forged."""

# Backends

COSMOS_CHARGE = Measure(
    "cosmos.request_charge", "{RU}", "Request units of a Cosmos DB call", "histogram", ("container", "operation")
)
STORE_CALLS = Measure("store.calls", "{call}", "Calls to the document store", "counter", ("container", "operation"))
QUEUE_SENDS = Measure("queue.sends", "{message}", "Messages sent", "counter", ("queue",))
VAULT_CALLS = Measure("vault.calls", "{call}", "Calls to the vault that left the process", "counter", ("method",))
VAULT_EXPIRING = Measure(
    "vault.secrets_expiring", "{secret}", "Secrets that expire within 30 days, or have expired", "gauge"
)

# Callbacks and webhooks

DELIVERY_ATTEMPTS = Measure("delivery.attempts", "{attempt}", "Tries to notify a receiver", "counter", ("outcome",))
"""``outcome``: confirmed, http_3xx, http_4xx, http_5xx, or why there was no answer."""
DELIVERY_LAG = Measure(
    "delivery.lag_seconds", "s", "From taking an event to the first try to tell of it", "histogram", ("on_time",)
)
DELIVERY_OLDEST_PENDING = Measure(
    "delivery.oldest_pending_seconds", "s", "How long the oldest notification waits for its first try", "gauge"
)
DELIVERY_DISCARDED = Measure("delivery.discarded", "{notification}", "Notifications given up", "counter", ("reason",))
WEBHOOK_REJECTED = Measure("webhook.rejected", "{call}", "Incoming calls refused at the door", "counter", ("reason",))

# Audit

AUDIT_CHAIN_OK = Measure("audit.chain_ok", "1", "1: the audit log verified; 0: it was changed after the fact", "gauge")

ALL: tuple[Measure, ...] = (
    FUNCTION_DURATION,
    POLLS_PLANNED,
    POLL_DURATION,
    POLL_LAG,
    POLLS_SKIPPED,
    READINGS_INGESTED,
    ALERTS_OPEN,
    ALERT_RESPONSES,
    RECORD_UPDATES,
    RECORDS_MISSED,
    RELAY_HEARTBEAT_AGE,
    RELAY_SPOOL_DEPTH,
    RELAY_SPOOL_AGE,
    RELAY_CERTIFICATE_DAYS,
    RELAY_DELIVERY_LAG,
    RELAY_READINGS_LOST,
    RELAY_READINGS_REFUSED,
    RELAY_BATCHES_DOUBTED,
    COSMOS_CHARGE,
    STORE_CALLS,
    QUEUE_SENDS,
    VAULT_CALLS,
    VAULT_EXPIRING,
    DELIVERY_ATTEMPTS,
    DELIVERY_LAG,
    DELIVERY_OLDEST_PENDING,
    DELIVERY_DISCARDED,
    WEBHOOK_REJECTED,
    AUDIT_CHAIN_OK,
)
