"""Production context: what another system knows of a machine, such as that its workplace stands still.

Each fact holds from a time on, until a newer one is told or nobody has confirmed it for too long. Every reading is
given the facts that held when it was read, as signals ``context.<name>``: so alert rules can ask for them, late
readings are judged by the facts of their time, and the history shows them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared.clock import Clock, iso, parse_iso
from shared.errors import Conflict, NotFound, PreconditionFailed, Unavailable
from shared.signals import Reading, SignalValue
from shared.storage import Document, DocumentStore, Query, Range, every
from shared.telemetry.document import failed

__all__ = ["Fact", "MachineContexts", "with_facts"]

CONTAINER = "machineContexts"
SCOPE = "machine"
"""One partition: who takes readings asks it every few seconds for what changed."""
PREFIX = "context."
MAX_PAST = 20
MAX_TRIES = 10
LOOKED_AT_EVERY = timedelta(seconds=5)
LOOKED_AT_WHILE_EMPTY = timedelta(seconds=30)
OVERLAP = timedelta(seconds=60)
"""Clocks of instances differ by less."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is so."""

    value: str
    since: datetime
    """When it became so, by the clock of who tells."""
    source: str
    """Who tells, for people."""
    believed_until: datetime
    """After it nobody has confirmed it for too long."""


class MachineContexts:
    """The facts of all machines."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, Document] = {}
        self._looked_at: datetime | None = None
        self._looking = asyncio.Lock()

    async def tell(self, equipment_id: str, facts: Mapping[str, Fact]) -> bool:
        """Take facts, in any order: an older one than the newest known becomes past. ``True``: something is otherwise
        now. Idempotent.

        Raises:
            Unavailable: the store is away, or too many others tell at once.
        """
        for _ in range(MAX_TRIES):
            try:
                stored = await self._store.read(CONTAINER, (SCOPE,), equipment_id)
                document, etag = stored.document, stored.etag
            except NotFound:
                document, etag = {"id": equipment_id, "scope": SCOPE, "facts": {}, "past": {}}, None
            after, news = _told(document, facts)
            if after == document:
                return False
            after["changedAt"] = iso(self._clock.now())
            try:
                if etag is None:
                    await self._store.create(CONTAINER, after)
                else:
                    await self._store.replace(CONTAINER, after, etag=etag)
            except (Conflict, PreconditionFailed):
                continue
            self._known[equipment_id] = after
            return news
        raise Unavailable("Too many others tell of this machine at once. Try again.", retry_after=1.0)

    async def view(self, equipment_id: str) -> dict[str, Any] | None:
        """The facts as they are, for people; ``None``: there are none."""
        await self._look()
        document = self._known.get(equipment_id)
        if document is None:
            return None
        now = self._clock.now()
        return {
            name: {
                "value": fact["value"],
                "since": fact["since"],
                "source": fact["source"],
                "believed": now < parse_iso(fact["until"]),
                "believed_until": fact["until"],
            }
            for name, fact in sorted(document["facts"].items())
        }

    async def known(self, equipment_id: str) -> Mapping[str, Fact]:
        """The newest facts of a machine as they stand in the store."""
        try:
            document = (await self._store.read(CONTAINER, (SCOPE,), equipment_id)).document
        except NotFound:
            return {}
        return {name: _fact(fact) for name, fact in document["facts"].items()}

    async def put_on(self, reading: Reading) -> Reading:
        """The reading with the facts that held when it was read. Raises ``Unavailable``."""
        await self._look()
        document = self._known.get(reading.equipment_id)
        return reading if document is None or failed(reading) else with_facts(reading, document)

    async def _look(self) -> None:
        """Learn what changed, now and then."""
        if self._is_due():
            async with self._looking:
                if self._is_due():
                    await self._learn()

    def _is_due(self) -> bool:
        pause = LOOKED_AT_EVERY if self._known else LOOKED_AT_WHILE_EMPTY
        return self._looked_at is None or self._clock.now() - self._looked_at >= pause

    async def _learn(self) -> None:
        now = self._clock.now()
        where = () if self._looked_at is None else (Range("changedAt", ge=iso(self._looked_at - OVERLAP)),)
        async for stored in every(self._store, CONTAINER, Query(where, limit=1000), partition=(SCOPE,)):
            known = self._known.get(stored.document["id"])
            if known is None or known["changedAt"] <= stored.document["changedAt"]:
                self._known[stored.document["id"]] = stored.document
        self._looked_at = now


def with_facts(reading: Reading, document: Mapping[str, Any]) -> Reading:
    """Pure."""
    found: dict[str, SignalValue] = {}
    # Where all values have one time of measurement it is stored once; a fact must not change that.
    measured = next((value.source_time for value in reading.values.values()), None)
    for name, fact in document["facts"].items():
        value = _at(fact, document["past"].get(name, ()), reading.at)
        if value is not None and PREFIX + name not in reading.values:
            found[PREFIX + name] = SignalValue(value, source_time=measured)
    return replace(reading, values={**reading.values, **found}) if found else reading


def _at(fact: Mapping[str, Any], past: Any, at: datetime) -> str | None:
    moment = iso(at)
    if fact["since"] <= moment:
        return fact["value"] if moment < fact["until"] else None
    held = [one for one in past if one[0] <= moment]
    return max(held)[1] if held else None


def _told(document: Document, facts: Mapping[str, Fact]) -> tuple[Document, bool]:
    """The document with these facts; and whether a newest one is otherwise."""
    after: Document = {**document, "facts": dict(document["facts"]), "past": dict(document["past"])}
    news = False
    for name, told in facts.items():
        since = iso(told.since)
        new = {"value": told.value, "since": since, "source": told.source, "until": iso(told.believed_until)}
        known = after["facts"].get(name)
        past = [list(one) for one in after["past"].get(name, ())]
        if known is None or (known["value"] != told.value and since >= known["since"]):
            if known is not None and known["since"] < since:
                past.append([known["since"], known["value"]])
            after["facts"][name] = new
            news = True
        elif known["value"] == told.value and since >= known["since"]:
            after["facts"][name] = {**known, "until": max(known["until"], new["until"])}
        elif since < known["since"]:
            past = [one for one in past if one[0] != since] + [[since, told.value]]
        after["past"][name] = sorted(past)[-MAX_PAST:]
    return after, news


def _fact(said: Mapping[str, Any]) -> Fact:
    return Fact(said["value"], parse_iso(said["since"]), said["source"], parse_iso(said["until"]))
