"""Alerts that no rule of ours raises: somebody outside judged, and tells us whether its condition holds.

A *series* is one condition of one machine. Its newest word decides: the first that says it holds opens an alert, the
first that says it does not ends it, and what comes late moves nothing. Each word is told by a message that comes
again until it was taken, and is carried out once:

1. the series' document is written with the word, and with what follows from it;
2. that is carried out (idempotent by the alert's id);
3. it is noted as done.

Dead after 1: the message comes again and finds its word standing; whoever tells something newer first carries it out.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.alerts import lifecycle
from shared.alerts.judging import Machine
from shared.alerts.model import AlertType, Severity
from shared.alerts.records import AlertRecords
from shared.alerts.states import CONTAINER, AlertStates
from shared.clock import Clock, iso, parse_iso
from shared.errors import Conflict, InvalidInput, NotFound, PreconditionFailed, Unavailable
from shared.observability import correlation_id
from shared.signals import Value
from shared.storage import Document, DocumentStore, Stored

__all__ = ["Reported", "ReportedAlerts"]

MAX_TRIES = 10
SERIES = re.compile(r"[A-Za-z0-9_-]{1,100}")
_RANKS = {severity.value: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What somebody outside says about one condition of one machine."""

    series: str
    """Names the condition, the same whenever it is told of: letters, digits, ``_`` and ``-``; stands in alert ids."""
    at: datetime
    """When it was so; an older word than the newest moves nothing."""
    key: str
    """What tells it: the same for the same message, so that it may come again."""
    holds: bool
    """Is something wrong?"""
    alert_type: AlertType
    severity: Severity
    name: str
    """Of the condition, for people."""
    message: str
    """One sentence: what is wrong; where it does not hold, why it is over."""
    signal: str | None = None
    value: Value = None
    compared: Value = None
    """What the value was compared with."""
    limit: float | None = None
    unit: str | None = None
    batch_id: str | None = None
    anew: bool = False
    """Is an alert that a person closed followed by a new one although the condition never went away? For conditions
    whose every word is a happening of its own."""
    remember: bool = False
    """Is a first word that nothing is wrong written down too? Then an earlier one that comes late opens nothing."""


class ReportedAlerts:
    """Raises and ends them."""

    def __init__(self, store: DocumentStore, records: AlertRecords, states: AlertStates, clock: Clock) -> None:
        self._store = store
        self._records = records
        self._states = states
        self._clock = clock

    async def take(self, machine: Machine, told: Reported) -> str | None:
        """Take one word. Safe to repeat.

        Returns:
            The API's id of the alert that it opened, kept open or ended; ``None``: nothing was wrong, or it came late.

        Raises:
            InvalidInput: the series has no possible name.
            Unavailable: repeat it.
        """
        if not SERIES.fullmatch(told.series):
            raise InvalidInput("A series is named with letters, digits, `_` and `-`.", field="series")
        for _ in range(MAX_TRIES):
            stored = await self._standing(machine.id, told.series)
            known: Document = {} if stored is None else dict(stored.document)
            if known and not known["done"]:
                await self._carry_out(machine.id, known["effect"])
            if known and known["by"] == told.key:
                return await self._settled(machine.id, stored)
            if known and told.at < parse_iso(known["lastAt"]):
                return None
            if not known and not told.holds and not told.remember:
                return None
            written = await self._write(machine, told, known, stored)
            if written is not None:
                await self._carry_out(machine.id, written.document["effect"])
                return await self._settled(machine.id, written)
        raise Unavailable("Too many others tell of this condition at once. Try again.", retry_after=1.0)

    async def let_go(self, alert: Document, why: str) -> None:
        """End an alert whose machine is gone."""
        now = self._clock.now()
        ended = {"clearedAt": iso(now), "reason": why}
        await self._records.change(alert["equipmentId"], alert["id"], lambda a: lifecycle.cleared(a, ended, now))

    # Inside ------------------------------------------------------------------------------------------------------

    async def _standing(self, equipment_id: str, series: str) -> Stored | None:
        try:
            return await self._store.read(CONTAINER, (equipment_id,), f"told:{series}")
        except NotFound:
            return None

    async def _write(self, machine: Machine, told: Reported, known: Document, stored: Stored | None) -> Stored | None:
        """The word with what follows from it; ``None``: somebody else was faster."""
        rises = _RANKS[told.severity.value] > _RANKS.get(known.get("severity", ""), 0)
        anew = told.holds and (told.anew or (rises and "severity" in known))
        still_open = await self._open_one(machine.id, known.get("open"), anew=anew)
        effect = await self._effect(machine, told, still_open)
        after = None if not told.holds else still_open or effect["alert"]["id"]
        document: Document = {
            "id": f"told:{told.series}",
            "equipmentId": machine.id,
            "lastAt": iso(told.at),
            "by": told.key,
            "open": after,
            "severity": told.severity.value,
            "effect": effect,
            "done": not effect,
        }
        try:
            if stored is None:
                return await self._store.create(CONTAINER, document)
            return await self._store.replace(CONTAINER, document, etag=stored.etag)
        except (Conflict, PreconditionFailed):
            return None

    async def _open_one(self, equipment_id: str, document_id: str | None, *, anew: bool) -> str | None:
        if document_id is None or not anew:
            return document_id
        try:
            alert = (await self._records.read(equipment_id, document_id)).document
        except NotFound:
            return None
        return document_id if lifecycle.is_active(alert) else None

    async def _effect(self, machine: Machine, told: Reported, still_open: str | None) -> dict[str, Any]:
        if told.holds and still_open is None:
            return {"do": "open", "alert": await self._alert(machine, told)}
        if still_open is None:
            return {}
        if told.holds:
            again = {"at": iso(told.at), "message": told.message, "severity": told.severity.value}
            return {"do": "again", "alertId": still_open, **again}
        return {
            "do": "end",
            "alertId": still_open,
            "clearedAt": iso(told.at),
            "clearValue": lifecycle.shown(told.value),
            "reason": told.message,
        }

    async def _alert(self, machine: Machine, told: Reported) -> Document:
        entry = self._states.entry(machine.id)
        async with entry.lock:
            shelved = (await self._states.look(entry)).shelves.get(told.series)
        now = self._clock.now()
        return lifecycle.reported(
            {
                "id": lifecycle.document_id(told.series, told.at),
                "equipmentId": machine.id,
                "equipmentName": machine.name,
                "site": machine.site,
                "ruleId": told.series,
                "ruleScope": "reported",
                "ruleName": told.name,
                "ruleVersion": 1,
                "ruleText": told.name,
                "rule": {},
                "kind": "reported",
                "alertType": told.alert_type.value,
                "severity": told.severity.value,
                "message": told.message,
                "signal": told.signal,
                "unit": told.unit,
                "limit": lifecycle.shown(told.limit),
                "value": lifecycle.shown(told.value),
                "compared": lifecycle.shown(told.compared),
                "setpoint": None,
                "quality": "good",
                "reason": None,
                "batchId": told.batch_id,
                "peak": None,
                "badReadings": 0,
                "conditionSince": iso(told.at),
                "triggeredAt": iso(told.at),
                "readingIdAtRaise": None,
                "correlationId": correlation_id(),
            },
            now=now,
            shelved_until=shelved if shelved is not None and shelved > now else None,
        )

    async def _carry_out(self, equipment_id: str, effect: dict[str, Any]) -> None:
        now = self._clock.now()
        if not effect:
            return
        if effect["do"] == "open":
            await self._records.open(effect["alert"])
            return

        def change(alert: Document) -> Document:
            if effect["do"] == "end":
                return lifecycle.cleared(alert, effect, now)
            return lifecycle.told_again(alert, effect)

        try:
            await self._records.change(equipment_id, effect["alertId"], change)
        except NotFound:
            return  # it was deleted with its time; nothing is left to change

    async def _settled(self, equipment_id: str, stored: Stored | None) -> str | None:
        if stored is None:
            return None
        document = stored.document
        if not document["done"]:
            # Where somebody told something newer meanwhile, it was carried out by them.
            with suppress(PreconditionFailed):
                await self._store.replace(CONTAINER, {**document, "done": True}, etag=stored.etag)
        effect = document["effect"]
        name = effect["alert"]["id"] if effect.get("do") == "open" else effect.get("alertId")
        return None if name is None else lifecycle.alert_id(equipment_id, name)
