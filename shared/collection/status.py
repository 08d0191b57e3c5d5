"""Whether a machine can be reached, and how one reading changes that. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.clock import iso, parse_iso
from shared.collection.backoff import pause_seconds
from shared.events import Event
from shared.events.catalogue import EQUIPMENT_CONNECTION_CHANGED, EQUIPMENT_STATE_CHANGED, MACHINE
from shared.ids import digest_id
from shared.observability import correlation_id
from shared.signals import Quality, Reading
from shared.storage import Document

if TYPE_CHECKING:
    from shared.equipment.model import Equipment

__all__ = ["ConnectionStatus", "Transition", "failed", "judge", "word_for"]

_UNREACHABLE = frozenset({"cannot_connect", "tls_failed", "timeout"})

MOST_UNTOLD = 20
"""Events kept for telling while publishing fails; the oldest go first. A state that changed twenty times unheard is
told of in its newest changes."""


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """What is known about the connection of one machine."""

    status: str = "unknown"
    """``connected``; ``disconnected``: it cannot be reached; ``error``: it is there and refuses us or answers what
    we cannot read; ``unknown``: never read."""
    since: datetime | None = None
    """Since when ``status`` holds."""
    last_connected: datetime | None = None
    """The last successful read. Exact in the process that polls; elsewhere, while connected, as of the last change:
    there the newest reading says more."""
    consecutive_failures: int = 0
    backoff_until: datetime | None = None
    """Not polled before this."""
    last_error: str | None = None
    """A sentence for a person; ``None`` while connected."""
    last_error_code: str | None = None
    operational_status: str | None = None
    """The machine's own ``status`` signal as last told: ``running``, ``idle`` ..."""
    judged_at: datetime | None = None
    """The reading that led here. Older ones never change it."""
    untold: tuple[Event, ...] = ()
    """Events written down here and not published yet."""

    @property
    def connected(self) -> bool:
        """Was the last read a success?"""
        return self.status == "connected"

    def to_document(self, equipment_id: str) -> Document:
        """The stored form; absent parts are left out, so that `is defined` finds who is backing off."""
        document: Document = {
            "id": equipment_id,
            "status": self.status,
            "consecutiveFailures": self.consecutive_failures,
        }
        times = {
            "since": self.since,
            "lastConnected": self.last_connected,
            "backoffUntil": self.backoff_until,
            "judgedAt": self.judged_at,
        }
        document |= {key: iso(moment) for key, moment in times.items() if moment is not None}
        texts = {
            "lastError": self.last_error,
            "lastErrorCode": self.last_error_code,
            "operationalStatus": self.operational_status,
        }
        document |= {key: text for key, text in texts.items() if text is not None}
        if self.untold:
            document["untold"] = [event.to_document() for event in self.untold]
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ConnectionStatus:
        """The status back from its stored form."""

        def time(key: str) -> datetime | None:
            return parse_iso(document[key]) if key in document else None

        return cls(
            status=document["status"],
            since=time("since"),
            last_connected=time("lastConnected"),
            consecutive_failures=document.get("consecutiveFailures", 0),
            backoff_until=time("backoffUntil"),
            last_error=document.get("lastError"),
            last_error_code=document.get("lastErrorCode"),
            operational_status=document.get("operationalStatus"),
            judged_at=time("judgedAt"),
            untold=tuple(Event.from_document(e) for e in document.get("untold", ())),
        )


@dataclass(frozen=True, slots=True)
class Transition:
    """What a reading did to the connection."""

    previous: ConnectionStatus
    current: ConnectionStatus

    @property
    def events(self) -> tuple[Event, ...]:
        """To be published, those that an earlier attempt left behind included."""
        return self.current.untold


def failed(reading: Reading) -> bool:
    """Was the whole read a failure? One bad sensor is not: the machine did answer."""
    return reading.error_code is not None or (not reading.values and reading.quality is Quality.BAD)


def word_for(error_code: str | None) -> str:
    """``disconnected`` when it could not be reached, ``error`` when it was and something else is wrong."""
    return "disconnected" if error_code in _UNREACHABLE else "error"


def judge(before: ConnectionStatus, equipment: Equipment, reading: Reading) -> ConnectionStatus:
    """The status after this reading. Event time decides: a reading that is older than the one judged last, or is
    that very one come twice, changes nothing."""
    reading = replace(reading, at=_as_stored(reading.at))
    if before.judged_at is not None and reading.at <= before.judged_at:
        return before
    after = _after_failure(before, equipment, reading) if failed(reading) else _after_success(before, reading)
    events = tuple(_events(before, after, equipment, reading))
    return replace(after, untold=(before.untold + events)[-MOST_UNTOLD:])


def _as_stored(moment: datetime) -> datetime:
    """To the millisecond, as it comes back from the store: else a reading would seem newer than itself."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _after_failure(before: ConnectionStatus, equipment: Equipment, reading: Reading) -> ConnectionStatus:
    failures = before.consecutive_failures + 1
    pause = pause_seconds(
        equipment.id,
        reading.at,
        failures=failures,
        interval_seconds=equipment.poll_interval_seconds,
        error_code=reading.error_code,
        retry_after=reading.retry_after_seconds,
    )
    status = word_for(reading.error_code)
    return replace(
        before,
        status=status,
        since=before.since if status == before.status else reading.at,
        consecutive_failures=failures,
        backoff_until=_as_stored(reading.at + timedelta(seconds=pause)),
        last_error=reading.reason or "The device could not be read.",
        last_error_code=reading.error_code or "device_error",
        judged_at=reading.at,
    )


def _after_success(before: ConnectionStatus, reading: Reading) -> ConnectionStatus:
    told = reading.values.get("status")
    operational = before.operational_status
    if told is not None and told.quality is not Quality.BAD and told.value is not None:
        operational = str(told.value)
    return replace(
        before,
        status="connected",
        since=before.since if before.connected else reading.at,
        last_connected=reading.at,
        consecutive_failures=0,
        backoff_until=None,
        last_error=None,
        last_error_code=None,
        operational_status=operational,
        judged_at=reading.at,
    )


def _events(before: ConnectionStatus, after: ConnectionStatus, equipment: Equipment, reading: Reading) -> list[Event]:
    """What subscribers hear. The first ever look at a machine is no change."""
    events: list[Event] = []
    if before.status != "unknown" and before.connected != after.connected:
        data = {"status": after.status, "previous_status": before.status, "reason": after.last_error}
        severity = "info" if after.connected else "warning"
        events.append(_event(EQUIPMENT_CONNECTION_CHANGED, severity, data, equipment, reading))
    if before.operational_status not in (None, after.operational_status):
        data = {"status": after.operational_status, "previous_status": before.operational_status}
        events.append(_event(EQUIPMENT_STATE_CHANGED, "info", data, equipment, reading))
    return events


def _event(type: str, severity: str, data: dict[str, Any], equipment: Equipment, reading: Reading) -> Event:
    """The id is made of the reading: judging it twice makes the same event."""
    at = iso(reading.at)
    return Event(
        id=digest_id(type, equipment.id, at, str(data["status"])),
        type=type,
        timestamp=reading.at,
        object_type=MACHINE,
        object_id=equipment.id,
        data={"equipment_id": equipment.id, "equipment_name": equipment.name, **data, "changed_at": at},
        severity=severity,
        site=equipment.site,
        correlation_id=correlation_id(),
    )
