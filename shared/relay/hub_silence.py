"""Heartbeats, and noticing that they stay away. One event for the relay, none for each of its machines.

What if the process dies here? What changed and the events that tell of it are one document, written together; the
events stand in it as ``untold`` until they were published, and the timer publishes what was left. Their ids are made
of what they tell, so telling twice is telling once.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.clock import Clock, compact, iso
from shared.errors import InvalidInput, OvenbridgeError
from shared.events import Event
from shared.events.catalogue import (
    RELAY,
    RELAY_BACK,
    RELAY_CERTIFICATE_EXPIRING,
    RELAY_READINGS_DROPPED,
    RELAY_SILENT,
)
from shared.metrics import (
    RELAY_CERTIFICATE_DAYS,
    RELAY_HEARTBEAT_AGE,
    RELAY_SPOOL_AGE,
    RELAY_SPOOL_DEPTH,
)
from shared.relay.hub_model import Relay
from shared.relay.messages import CertificateEnd, Heartbeat, certificate_due

if TYPE_CHECKING:
    from shared.events import EventLog
    from shared.relay.hub_registry import Relays

__all__ = ["RelayWatch"]

CRITICAL_DAYS = 7
MOST_TOLD = 50

log = logging.getLogger("ovenbridge.relay")


class RelayWatch:
    """Whether the relays are alive."""

    def __init__(self, relays: Relays, events: EventLog, clock: Clock, *, base_url: str) -> None:
        self._relays = relays
        self._events = events
        self._clock = clock
        self._base_url = base_url

    async def heard(self, relay_id: str, beat: Heartbeat) -> None:
        """Take a heartbeat.

        Raises:
            InvalidInput: it is another relay's.
            Unavailable: the store is away; the next one comes soon.
        """
        if beat.relay_id != relay_id:
            raise InvalidInput(f"This heartbeat is of relay {beat.relay_id}, not of {relay_id}.", field="relay_id")
        now = self._clock.now()
        before, after = await self._relays.change(relay_id, lambda relay: self._after(relay, beat, now))
        if before.silent_since is not None:
            log.warning("Relay %s is back; it was silent since %s", relay_id, iso(before.silent_since))
        try:
            await self._tell(after)
        except OvenbridgeError as error:
            log.warning("What the heartbeat of relay %s means is told later: %s", relay_id, error.detail)

    async def look(self) -> None:
        """The timer's part: measure, notice silence, tell what was left untold. One relay never holds up another."""
        now = self._clock.now()
        for relay in await self._relays.every():
            if relay.heartbeat is not None and relay.heartbeat_at is not None:
                RELAY_HEARTBEAT_AGE.record(max(0.0, (now - relay.heartbeat_at).total_seconds()), relay=relay.id)
                RELAY_SPOOL_DEPTH.record(relay.heartbeat.spool.readings, relay=relay.id)
                oldest = relay.heartbeat.spool.oldest_at
                age = 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())
                RELAY_SPOOL_AGE.record(age, relay=relay.id)
                for end in relay.heartbeat.certificates:
                    days = (end.not_after - now) / timedelta(days=1)
                    RELAY_CERTIFICATE_DAYS.record(round(days, 2), relay=relay.id, certificate=end.name)
            try:
                await self._look_at(relay, now)
            except OvenbridgeError as error:
                log.warning("Relay %s could not be looked after: %s", relay.id, error.detail)

    async def _look_at(self, relay: Relay, now: datetime) -> None:
        if relay.standing(now) == "silent" and relay.silent_since is None:
            before, relay = await self._relays.change(relay.id, lambda r: self._silent(r, now))
            if before.silent_since is None and relay.silent_since is not None:
                log.error("Relay %s is silent since %s", relay.id, iso(relay.silent_since))
        await self._tell(relay)

    # Steps: from the relay as it was to the relay as it will be -----------------------------------------------------

    def _after(self, relay: Relay, beat: Heartbeat, now: datetime) -> Relay:
        untold = list(relay.untold)
        if relay.silent_since is not None:
            since = relay.silent_since
            untold.append(
                self._event(
                    relay,
                    RELAY_BACK,
                    f"back:{compact(since)}",
                    now,
                    "info",
                    silent_since=iso(since),
                    back_at=iso(now),
                    silent_seconds=round((now - since).total_seconds()),
                    spool_readings=beat.spool.readings,
                )
            )
        lost = beat.lost_total - (relay.heartbeat.lost_total if relay.heartbeat is not None else 0)
        if lost > 0:
            untold.append(
                self._event(
                    relay,
                    RELAY_READINGS_DROPPED,
                    f"dropped:{compact(beat.started_at)}:{beat.lost_total}",
                    now,
                    "critical",
                    readings=lost,
                    readings_total=beat.lost_total,
                )
            )
        told = relay.certificates_told
        for end in beat.certificates:
            told, events = self._certificate(relay, end, now, told)
            untold += events
        return replace(
            relay,
            heartbeat=beat,
            heartbeat_at=now,
            silent_since=None,
            certificates_told=told[-MOST_TOLD:],
            untold=tuple(untold),
        )

    def _certificate(
        self, relay: Relay, end: CertificateEnd, now: datetime, told: tuple[str, ...]
    ) -> tuple[tuple[str, ...], list[Event]]:
        """What is to be told of it: once for 30, 14 and 7 days, and once when it has ended."""
        due = certificate_due(end, now)
        mark = f"{end.name}:{compact(end.not_after)}:{due}"
        if due is None or mark in told:
            return told, []
        days = (end.not_after - now) // timedelta(days=1)
        log.warning("The certificate %s of relay %s ends on %s", end.name, relay.id, iso(end.not_after))
        event = self._event(
            relay,
            RELAY_CERTIFICATE_EXPIRING,
            f"certificate:{mark}",
            now,
            "critical" if due <= CRITICAL_DAYS else "warning",
            certificate=end.name,
            expires_at=iso(end.not_after),
            days_left=days,
        )
        return (*told, mark), [event]

    def _silent(self, relay: Relay, now: datetime) -> Relay:
        """Judged on what is stored now: a heartbeat may have come since it was read."""
        since, beat = relay.heartbeat_at, relay.heartbeat
        if since is None or beat is None or relay.silent_since is not None or relay.standing(now) != "silent":
            return relay
        event = self._event(
            relay,
            RELAY_SILENT,
            f"silent:{compact(since)}",
            now,
            "critical",
            silent_since=iso(since),
            spool_readings=beat.spool.readings,
            machines=beat.devices.connected + beat.devices.failing,
        )
        return replace(relay, silent_since=since, untold=(*relay.untold, event))

    def _event(self, relay: Relay, type: str, id: str, now: datetime, severity: str, **data: Any) -> Event:
        said = {"relay_id": relay.id, "relay_name": relay.name, **data}
        said["url"] = f"{self._base_url}/api/v1/relays/{relay.id}"
        return Event(
            id=f"relay:{relay.id}:{id}",
            type=type,
            timestamp=now,
            object_type=RELAY,
            object_id=relay.id,
            data=said,
            severity=severity,
            site=relay.site,
        )

    async def _tell(self, relay: Relay) -> None:
        if not relay.untold:
            return
        for event in relay.untold:
            await self._events.publish(event)
        told = {event.id for event in relay.untold}
        await self._relays.change(
            relay.id, lambda r: replace(r, untold=tuple(event for event in r.untold if event.id not in told))
        )
