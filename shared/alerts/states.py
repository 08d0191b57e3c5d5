"""Where the rules stand, kept per machine: one document, and what this process remembers of it.

The document is written only when something changes that must not be lost; its etag decides who may. So a reading that
changes nothing costs no call. The newest judged time is not written with every reading (that would be a write per
reading); it is kept in memory, and after a restart, or where another instance judges too, late readings are told by
what was recorded: see ``judging.py``.

What is to follow from a change (open an alert, end one) is written in the same document (``unfinished``): who dies
after that write loses nothing, because whoever looks next carries it out.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from shared.alerts.state import QUIET, Memory, RuleState, from_document, to_document
from shared.clock import Clock, iso, parse_iso
from shared.errors import NotFound
from shared.storage import Document, DocumentStore, IsDefined, Query, every

__all__ = ["AlertStates", "Effect", "Entry", "Held"]

CONTAINER = "alertStates"
STATE_ID = "state"
LOOK_AGAIN = timedelta(seconds=60)
"""What this process remembers is compared with the store at least so often: another instance may judge too."""
KNOWN_MACHINES = 20_000

Effect = dict[str, Any]
"""``{"do": "open", "alert": {...}}`` or ``{"do": "end", "alertId": ..., "clearedAt": ...}``."""


@dataclass(frozen=True, slots=True)
class Held:
    """Where the rules of one machine stand."""

    etag: str | None = None
    """Of the document; ``None``: there is none yet."""
    rules: dict[str, RuleState] = field(default_factory=dict)
    stored: dict[str, Memory] = field(default_factory=dict)
    """As the document has them."""
    shelves: dict[str, datetime] = field(default_factory=dict)
    """Rule id -> until when its alerts are shelved."""
    unfinished: tuple[Effect, ...] = ()
    looked_at: datetime | None = None
    newest: datetime | None = None
    """The newest reading this process judged."""


@dataclass(slots=True)
class Entry:
    """One machine in this process. Whoever judges it holds the lock."""

    equipment_id: str
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    held: Held | None = None


class AlertStates:
    """The states, stored and remembered."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._entries: OrderedDict[str, Entry] = OrderedDict()

    def entry(self, equipment_id: str) -> Entry:
        """What this process knows of a machine."""
        entry = self._entries.get(equipment_id)
        if entry is None:
            self._forget_some()
            entry = self._entries[equipment_id] = Entry(equipment_id)
        return entry

    def _forget_some(self) -> None:
        if len(self._entries) < KNOWN_MACHINES:
            return
        idle = [name for name, entry in self._entries.items() if not entry.lock.locked()]
        for name in idle[: KNOWN_MACHINES // 10]:
            del self._entries[name]

    def must_look(self, held: Held | None, reading_at: datetime, usual_gap: timedelta) -> bool:
        """May another instance have judged since we looked? After a gap in what we judged, or after a minute."""
        if held is None or held.looked_at is None:
            return True
        missed = held.newest is not None and reading_at - held.newest > usual_gap
        return missed or self._clock.now() - held.looked_at >= LOOK_AGAIN

    async def look(self, entry: Entry) -> Held:
        """The stored state, with what only memory knows carried along. Sets ``entry.held``."""
        remembered = entry.held
        try:
            stored = await self._store.read(CONTAINER, (entry.equipment_id,), STATE_ID)
        except NotFound:
            fresh = Held(looked_at=self._clock.now())
        else:
            if remembered is not None and remembered.etag == stored.etag:
                entry.held = replace(remembered, looked_at=self._clock.now())
                return entry.held
            fresh = self._of(stored.document, stored.etag)
        entry.held = fresh if remembered is None else _carried(remembered, fresh)
        return entry.held

    async def write(self, entry: Entry, held: Held) -> Held:
        """Write a new state over the one it was made from. Sets ``entry.held``.

        Raises:
            PreconditionFailed, Conflict: another instance was faster; look again.
        """
        now = self._clock.now()
        shelves = {rule_id: until for rule_id, until in held.shelves.items() if until > now}
        document: Document = {
            "id": STATE_ID,
            "equipmentId": entry.equipment_id,
            "rules": {rule_id: to_document(s) for rule_id, s in held.rules.items() if s != RuleState()},
            "shelves": {rule_id: iso(until) for rule_id, until in shelves.items()},
        }
        if held.unfinished:
            document["unfinished"] = list(held.unfinished)
        if held.etag is None:
            stored = await self._store.create(CONTAINER, document)
        else:
            stored = await self._store.replace(CONTAINER, document, etag=held.etag)
        memories = {rule_id: state.memory for rule_id, state in held.rules.items()}
        entry.held = replace(held, etag=stored.etag, stored=memories, shelves=shelves, looked_at=now)
        return entry.held

    async def unfinished(self, at_most: int) -> list[str]:
        """Machines for which something decided is still to be done."""
        query = Query([IsDefined("unfinished")], limit=min(at_most, 1000), select=("equipmentId",))
        found = every(self._store, CONTAINER, query, at_most=at_most)
        return [stored.document["equipmentId"] async for stored in found]

    def _of(self, document: Document, etag: str) -> Held:
        rules = {rule_id: from_document(d) for rule_id, d in document.get("rules", {}).items()}
        return Held(
            etag=etag,
            rules=rules,
            stored={rule_id: state.memory for rule_id, state in rules.items()},
            shelves={rule_id: parse_iso(t) for rule_id, t in document.get("shelves", {}).items()},
            unfinished=tuple(document.get("unfinished", ())),
            looked_at=self._clock.now(),
        )


def _carried(remembered: Held, fresh: Held) -> Held:
    """The stored state with what memory knows better: newest times, windows, peaks of the same alert."""
    rules = {
        rule_id: _merged(remembered.rules.get(rule_id), fresh.rules.get(rule_id))
        for rule_id in {**fresh.rules, **remembered.rules}
    }
    return replace(fresh, rules=rules, newest=remembered.newest)


def _merged(ours: RuleState | None, stored: RuleState | None) -> RuleState:
    if ours is None:
        return stored or RuleState()
    if stored is None:
        # Nothing of it was ever worth storing; or it was, and the rule has been withdrawn since.
        return ours if ours.memory.essence() == QUIET.essence() else RuleState(ours.last_at)
    if stored.last_at is not None and (ours.last_at is None or ours.last_at <= stored.last_at):
        return stored
    known: dict[str, Any] = {"points": ours.memory.points, "setpoint": ours.memory.setpoint}
    memory, mine = stored.memory, ours.memory
    if mine.last_ok is not None and (memory.last_ok is None or mine.last_ok > memory.last_ok):
        known["last_ok"] = mine.last_ok
    if memory.opened_at is not None and memory.opened_at == mine.opened_at:
        known["bad_readings"] = max(memory.bad_readings, mine.bad_readings)
        if mine.worst is not None and (memory.worst is None or mine.worst > memory.worst):
            known |= {"worst": mine.worst, "peak": mine.peak}
    return RuleState(ours.last_at, replace(memory, **known))
