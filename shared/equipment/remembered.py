"""What a process remembers of the registry for a few seconds, so that polls and live data ask the store for nothing."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from shared.clock import Clock
from shared.equipment.model import Equipment
from shared.storage import DocumentStore, Equals, Query, every

__all__ = ["Remembered"]

CONTAINER = "equipment"

REMEMBERED = timedelta(seconds=5)
MOST_REMEMBERED = 20_000


class Remembered:
    """Machines as they were at most five seconds ago; changes of this process are seen at once."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._reading = asyncio.Lock()
        self._read: tuple[Equipment, ...] = ()
        self._read_at: datetime | None = None
        self._single: dict[str, tuple[Equipment, datetime]] = {}
        self._changes = 0

    async def pollable(self) -> list[Equipment]:
        """Machines that are polled from here."""
        return [machine for machine in await self.watched() if machine.polled_from == "cloud"]

    async def watched(self) -> list[Equipment]:
        """Machines that are read, from here or by a relay."""
        if self._fresh(self._read_at):
            return list(self._read)
        async with self._reading:  # one of those who come at once asks for all
            if not self._fresh(self._read_at):
                changes, now = self._changes, self._clock.now()
                machines = await self._enabled()
                # A change while we were reading may be missing in what we read.
                self._read_at = now if changes == self._changes else None
                self._read = machines
            return list(self._read)

    async def get(self, equipment_id: str) -> Equipment:
        """One machine. Raises ``NotFound`` of the store."""
        known = self._single.get(equipment_id)
        if known is not None and self._fresh(known[1]):
            return known[0]
        changes, now = self._changes, self._clock.now()
        stored = await self._store.read(CONTAINER, (equipment_id,), equipment_id)
        machine = Equipment.from_document(stored.document)
        if changes == self._changes:
            if len(self._single) >= MOST_REMEMBERED:
                self._single.clear()
            self._single[equipment_id] = (machine, now)
        return machine

    def forget(self, equipment_id: str) -> None:
        """This machine was changed."""
        self._changes += 1
        self._read_at = None
        self._single.pop(equipment_id, None)

    async def _enabled(self) -> tuple[Equipment, ...]:
        query = Query((Equals("iotEnabled", True),), limit=1000)
        machines = [Equipment.from_document(item.document) async for item in every(self._store, CONTAINER, query)]
        return tuple(m for m in machines if m.supports_realtime and m.protocol)

    def _fresh(self, moment: datetime | None) -> bool:
        return moment is not None and abs(self._clock.now() - moment) < REMEMBERED
