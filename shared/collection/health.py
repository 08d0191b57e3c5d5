"""Connection health: one small document per machine, written when something changes and on failures.

The happy path writes nothing and reads nothing: what is known is kept in the process for a minute. The price: a
second process learns of a change up to a minute later; a reading that contradicts what it knows is always judged on
the stored state, under its etag.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.clock import Clock
from shared.collection.connection_log import ConnectionLog, EventType, LogEntry, LogPage
from shared.collection.status import ConnectionStatus, Transition, failed, judge, word_for
from shared.errors import Conflict, NotFound, PreconditionFailed, Unavailable
from shared.signals import Quality, Reading
from shared.storage import DocumentStore, IsDefined, Query, every

if TYPE_CHECKING:
    from shared.connectors import ConnectionTest
    from shared.equipment.model import Equipment

__all__ = ["ConnectionHealth"]

CONTAINER = "connections"

REMEMBERED = timedelta(seconds=60)
"""How long a process believes what it knows before it looks into the store again."""

MOST_REMEMBERED = 100_000

ATTEMPTS = 8
"""Tries to change a document that others change at the same time."""


@dataclass(slots=True)
class _Known:
    status: ConnectionStatus
    etag: str | None
    """``None``: there is no document yet."""
    read_at: datetime


class ConnectionHealth:
    """Whether the machines can be reached."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._log = ConnectionLog(store)
        self._known: dict[str, _Known] = {}

    async def report(self, equipment: Equipment, reading: Reading) -> Transition | None:
        """Judge the connection by this reading and write down what changed; safe to repeat.

        Returns:
            What changed and which events have to be published (then call :meth:`told`); ``None``: nothing to tell.
        """
        known = await self._recall(equipment.id)
        after = judge(known.status, equipment, reading)
        if _same(known.status, after):
            known.status = after  # remembers the time of the last success
            return Transition(after, after) if after.untold else None
        before: list[ConnectionStatus] = []

        async def change(stored: ConnectionStatus) -> ConnectionStatus:
            before[:] = [stored]
            # What this process saw last is news for the document, which is not written on successes.
            stored = _with_newest_success(stored, known.status)
            judged = judge(stored, equipment, reading)
            # The entry first: its id is made of the reading, so a crash in between only means writing it again.
            await self._enter(equipment.id, stored, judged, reading)
            return judged

        current = await self._change(equipment.id, change)
        return Transition(before[0], current)

    async def told(self, equipment_id: str, event_ids: Iterable[str]) -> None:
        """These events have been published: take the mark away."""
        ids = set(event_ids)

        async def change(stored: ConnectionStatus) -> ConnectionStatus:
            return replace(stored, untold=tuple(e for e in stored.untold if e.id not in ids))

        await self._change(equipment_id, change)

    async def untold(self) -> dict[str, ConnectionStatus]:
        """Machines with events that were written down and not published: a process died in between."""
        return await self._query(IsDefined("untold"))

    async def status(self, equipment_id: str) -> ConnectionStatus:
        """What is known; ``unknown`` for a machine that was never read."""
        known = await self._recall(equipment_id)
        return known.status

    async def statuses(self) -> dict[str, ConnectionStatus]:
        """By equipment id, all that were ever read. One pass over the container: for lists, not for polls."""
        return await self._query()

    async def backing_off(self) -> dict[str, ConnectionStatus]:
        """By equipment id, those whose last read failed."""
        return await self._query(IsDefined("backoffUntil"))

    def forget(self, equipment_id: str) -> None:
        """Look into the store next time, whatever this process remembers."""
        self._known.pop(equipment_id, None)

    async def remove(self, equipment_id: str) -> None:
        """The machine is gone. Its log stays until it expires."""
        self.forget(equipment_id)
        try:
            await self._store.delete(CONTAINER, (equipment_id,), equipment_id)
        except NotFound:
            return

    async def log(
        self, equipment_id: str, start: datetime, end: datetime, limit: int, continuation: str | None = None
    ) -> LogPage:
        """The connection log, newest first. Raises ``InvalidInput`` for a continuation that is not ours."""
        return await self._log.page(equipment_id, start, end, limit, continuation)

    async def enter(self, equipment_id: str, entry: LogEntry) -> bool:
        """Write an entry; ``False``: it stood there already."""
        return await self._log.write(equipment_id, entry)

    async def note_test(self, equipment_id: str, test: ConnectionTest) -> None:
        """Somebody tested the connection: log it. A success ends the back-off, and the first test of a machine
        that was never polled is what is known of it."""
        now = self._clock.now()
        status = "connected" if test.success else word_for(test.status)
        points = sum(1 for value in test.signals.values() if value.quality is not Quality.BAD)
        await self._log.write(
            equipment_id,
            LogEntry(
                "connection_test",
                now,
                status,
                error_message=None if test.success else test.error_details,
                error_code=None if test.success else test.status,
                response_time_ms=test.response_time_ms,
                data_points_received=points,
            ),
        )
        known = (await self._recall(equipment_id)).status

        async def change(stored: ConnectionStatus) -> ConnectionStatus:
            if stored.status == "unknown":
                stored = replace(stored, status=status, since=now)
            return replace(stored, backoff_until=None) if test.success else stored

        if known.status == "unknown" or known.backoff_until is not None:
            await self._change(equipment_id, change)

    async def _enter(
        self, equipment_id: str, before: ConnectionStatus, after: ConnectionStatus, reading: Reading
    ) -> None:
        kind: EventType
        if failed(reading) and after is not before:
            kind = "connection_lost" if before.connected else "poll_failed"
        elif after.connected and not before.connected:
            kind = "connected"
        else:
            return
        await self._log.write(
            equipment_id,
            LogEntry(
                kind,
                reading.at,
                after.status,
                error_message=after.last_error,
                error_code=after.last_error_code,
                response_time_ms=reading.response_ms,
                data_points_received=sum(1 for v in reading.values.values() if v.quality is not Quality.BAD),
            ),
        )

    async def _query(self, *where: IsDefined) -> dict[str, ConnectionStatus]:
        found: dict[str, ConnectionStatus] = {}
        async for item in every(self._store, CONTAINER, Query(where, limit=1000)):
            equipment_id = item.document["id"]
            status = ConnectionStatus.from_document(item.document)
            known = self._known.get(equipment_id)
            found[equipment_id] = _with_newest_success(status, known.status) if known is not None else status
        return found

    async def _recall(self, equipment_id: str) -> _Known:
        known = self._known.get(equipment_id)
        if known is not None and self._clock.now() - known.read_at < REMEMBERED:
            return known
        fresh = await self._read(equipment_id)
        if known is not None:
            fresh.status = _with_newest_success(fresh.status, known.status)
        return self._remember(equipment_id, fresh)

    async def _read(self, equipment_id: str) -> _Known:
        now = self._clock.now()
        try:
            stored = await self._store.read(CONTAINER, (equipment_id,), equipment_id)
        except NotFound:
            return _Known(ConnectionStatus(), None, now)
        return _Known(ConnectionStatus.from_document(stored.document), stored.etag, now)

    def _remember(self, equipment_id: str, known: _Known) -> _Known:
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[equipment_id] = known
        return known

    async def _change(
        self, equipment_id: str, change: Callable[[ConnectionStatus], Awaitable[ConnectionStatus]]
    ) -> ConnectionStatus:
        """Read, change, write if nobody else wrote in between; else again."""
        for _ in range(ATTEMPTS):
            known = await self._read(equipment_id)
            after = await change(known.status)
            if after == known.status:
                self._remember(equipment_id, known)
                return after
            document = after.to_document(equipment_id)
            try:
                if known.etag is None:
                    stored = await self._store.create(CONTAINER, document)
                else:
                    stored = await self._store.replace(CONTAINER, document, etag=known.etag)
            except (Conflict, PreconditionFailed, NotFound):
                continue
            self._remember(equipment_id, _Known(after, stored.etag, known.read_at))
            return after
        raise Unavailable(f"The connection state of {equipment_id} is being changed by others; try again.")


def _same(before: ConnectionStatus, after: ConnectionStatus) -> bool:
    """Nothing that has to be written? Successes only move times that the readings know too."""
    return replace(after, last_connected=before.last_connected, judged_at=before.judged_at) == before


def _with_newest_success(stored: ConnectionStatus, remembered: ConnectionStatus) -> ConnectionStatus:
    """The stored state with the last success this process saw, which is not written on the happy path."""
    newest = remembered.last_connected
    if newest is None or (stored.last_connected is not None and newest <= stored.last_connected):
        return stored
    judged = stored.judged_at
    return replace(stored, last_connected=newest, judged_at=newest if judged is None or judged < newest else judged)
