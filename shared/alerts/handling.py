"""What people do with alerts: see them, acknowledge, resolve, shelve, comment. Every act is an audit entry."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.access import Caller
from shared.alerts import lifecycle
from shared.alerts.judging import Judging
from shared.alerts.records import AlertRecords
from shared.alerts.states import AlertStates
from shared.audit.log import AuditLog
from shared.clock import Clock, iso
from shared.errors import InvalidInput
from shared.storage import Condition, Document, Equals, In, Range

__all__ = ["AlertFilter", "AlertPage", "Handling"]

LOOKED_AT = 5_000
"""Across machines the store gives no order; so many alerts are fetched and put in order here."""


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts. Empty tuples: all."""

    statuses: tuple[str, ...] = ("active", "acknowledged")
    states: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    equipment_id: str | None = None
    since: datetime | None = None
    """Triggered at or after."""
    until: datetime | None = None
    """Triggered at or before."""

    def conditions(self) -> list[Condition]:
        """As the store takes them."""
        found: list[Condition] = []
        for path, values in (
            ("status", self.statuses),
            ("state", self.states),
            ("severity", self.severities),
            ("alertType", self.types),
        ):
            if values:
                found.append(Equals(path, values[0]) if len(values) == 1 else In(path, values))
        if self.since is not None:
            found.append(Range("triggeredAt", ge=iso(self.since)))
        if self.until is not None:
            found.append(Range("triggeredAt", le=iso(self.until)))
        return found


@dataclass(frozen=True, slots=True)
class AlertPage:
    """A page of alerts, newest first."""

    alerts: Sequence[Document]
    continuation: str | None
    truncated: bool = False
    """More alerts match than could be put in order; these are some of them. Narrow the question."""


@dataclass(frozen=True, slots=True)
class _Shelf:
    """Until when the rule's new alerts are to be shelved; ``None``: not at all."""

    until: datetime | None


class Handling:
    """The people's side."""

    def __init__(
        self, records: AlertRecords, states: AlertStates, judging: Judging, audit: AuditLog, clock: Clock
    ) -> None:
        self._records = records
        self._states = states
        self._judging = judging
        self._audit = audit
        self._clock = clock

    async def get(self, api_id: str) -> Document:
        """One alert; while it is active with the peak so far. Raises ``NotFound``."""
        equipment_id, document_id = lifecycle.place_of(api_id)
        alert = (await self._records.read(equipment_id, document_id)).document
        if not lifecycle.is_active(alert):
            return alert
        entry = self._states.entry(equipment_id)
        async with entry.lock:
            held = await self._states.look(entry)
        state = held.rules.get(alert["ruleId"])
        opened = state.memory.opened_at if state is not None else None
        if state is None or opened is None or iso(opened) != alert["triggeredAt"]:
            return alert
        return {
            **alert,
            "peak": lifecycle.shown(state.memory.peak),
            "badReadings": max(alert["badReadings"], state.memory.bad_readings),
        }

    async def list(self, asked: AlertFilter, limit: int, continuation: str | None) -> AlertPage:
        """Alerts, newest first. Raises ``InvalidInput`` for a continuation that is not ours."""
        where = asked.conditions()
        if asked.equipment_id is not None:
            page = await self._records.page(asked.equipment_id, where, limit, continuation)
            return AlertPage([item.document for item in page.items], page.continuation)
        before = _cursor(continuation) if continuation is not None else None
        if before is not None:
            where.append(Range("triggeredAt", le=before[0]))
        found = await self._records.some(where, LOOKED_AT + 1)
        truncated = len(found) > LOOKED_AT
        found.sort(key=_place, reverse=True)
        if before is not None:
            found = [alert for alert in found if _place(alert) < before]
        more = len(found) > limit
        return AlertPage(found[:limit], _continuation(found[limit - 1]) if more else None, truncated)

    async def acknowledge(self, api_id: str, caller: Caller, text: str | None) -> Document:
        """A person has seen it. Twice keeps the first. Raises ``NotFound``, ``Conflict``."""

        def change(alert: Document, now: datetime) -> Document:
            return lifecycle.acknowledge(alert, caller, text, now)

        return await self._do("acknowledged", api_id, caller, change)

    async def resolve(self, api_id: str, caller: Caller, text: str | None) -> Document:
        """A person closes it. Raises ``NotFound``."""
        return await self._do("resolved", api_id, caller, lambda a, now: lifecycle.resolve(a, caller, text, now))

    async def comment(self, api_id: str, caller: Caller, text: str) -> Document:
        """Add a remark. Raises ``NotFound``, ``Conflict`` (too many)."""
        return await self._do("commented", api_id, caller, lambda a, now: lifecycle.comment(a, caller, text, now))

    async def shelve(self, api_id: str, caller: Caller, minutes: float, text: str | None) -> Document:
        """Silence the alert, and new ones of its rule on this machine. Raises ``NotFound``, ``Conflict``."""

        def change(alert: Document, now: datetime) -> Document:
            return lifecycle.shelve(alert, caller, minutes, text, now)

        until = self._clock.now() + timedelta(minutes=minutes)
        return await self._do("shelved", api_id, caller, change, shelf=_Shelf(until))

    async def unshelve(self, api_id: str, caller: Caller, text: str | None) -> Document:
        """End the silence. What is still active and unseen is told. Raises ``NotFound``."""

        def change(alert: Document, now: datetime) -> Document:
            return lifecycle.unshelve(alert, caller.name, text, now)

        return await self._do("unshelved", api_id, caller, change, shelf=_Shelf(None))

    async def _do(
        self,
        what: str,
        api_id: str,
        caller: Caller,
        change: Callable[[Document, datetime], Document],
        *,
        shelf: _Shelf | None = None,
    ) -> Document:
        """Audit, then the rule's shelf, then the alert: repeated after a crash, it ends the same."""
        equipment_id, document_id = lifecycle.place_of(api_id)
        now = self._clock.now()
        before = (await self._records.read(equipment_id, document_id)).document
        after = change(before, now)
        if after is before and not (shelf is not None and await self._other_shelf(before, shelf.until)):
            return before
        async with self._audit.recorded(
            f"alert:{equipment_id}",
            actor=caller.actor,
            action=f"alert.{what}",
            target=api_id,
            before=_audited(before),
            after=_audited(after),
        ):
            if shelf is not None:
                await self._judging.shelve(equipment_id, before["ruleId"], shelf.until)
            return await self._records.change(equipment_id, document_id, lambda alert: change(alert, now))

    async def _other_shelf(self, alert: Document, until: datetime | None) -> bool:
        """Is the alert's rule shelved otherwise than wanted? The shelf outlasts an alert that cleared under it."""
        entry = self._states.entry(alert["equipmentId"])
        async with entry.lock:
            held = await self._states.look(entry)
        now = self._clock.now()
        shelved = held.shelves.get(alert["ruleId"])
        return (shelved if shelved is not None and shelved > now else None) != until


_AUDITED = ("state", "acknowledgedBy", "acknowledgedComment", "closedBy", "closedComment", "shelvedUntil")


def _audited(alert: Document) -> dict[str, Any]:
    said = {k: alert[k] for k in (*_AUDITED, "shelvedComment") if alert.get(k) is not None}
    if comments := alert.get("comments"):
        said["comments"] = len(comments)
        said["lastComment"] = comments[-1]["text"]
    return said


Place = tuple[str, str, str]


def _place(alert: Document) -> Place:
    return alert["triggeredAt"], alert["equipmentId"], alert["id"]


def _continuation(alert: Document) -> str:
    return base64.urlsafe_b64encode("|".join(_place(alert)).encode()).decode().rstrip("=")


def _cursor(text: str) -> Place:
    try:
        at, equipment_id, document_id = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().split("|")
    except (binascii.Error, UnicodeDecodeError, ValueError) as err:
        raise InvalidInput(
            "This continuation is none of ours; take the one of the page before, or leave it out.", field="continuation"
        ) from err
    return at, equipment_id, document_id
