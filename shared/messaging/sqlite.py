"""The embedded queues: SQLite for durability, a working index in memory, the rules of Azure Service Bus.

Where several processes share the file, each works on what it sends itself: its messages stand in a line of their own,
which whoever takes its place after it died finds there. Duplicates are found and dead letters kept across all lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.clock import Clock, SystemClock
from shared.errors import InvalidInput
from shared.messaging.port import DeadLetter, Outgoing, QueueDepth, Received, check_outgoing
from shared.messaging.sqlite_backlog import WINDOW, Backlog, Message, wake
from shared.messaging.sqlite_table import create_tables, line_of, load_backlogs, properties_of, take_over
from shared.messaging.sqlite_writes import Bury, Count, Put, QueueWrites, Redrive, Refill, Remove
from shared.sqlite_crew import MOST_WORKERS
from shared.sqlite_file import SqliteFile
from shared.sqlite_threads import Wake
from shared.topology import topology

__all__ = ["SqliteQueue"]

RECHECK_SECONDS = 0.05
"""A clock that is moved by hand tells nobody: so often a waiting receiver looks at it."""

LONGEST_WAIT = 5.0
"""Seconds until a waiting receiver looks again, whatever it knows: bounds what a jump of the clock can do."""

FORGET = 2_000
"""Message ids that are forgotten at a time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SqliteQueue:
    """All queues of the topology in one SQLite file. Implements ``Queue`` and ``QueueReceiver``."""

    def __init__(self, file: SqliteFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._backlogs = {name: Backlog(spec) for name, spec in topology().queues.items()}
        self._tokens = itertools.count(1)
        self._run = secrets.token_hex(4)
        self._closed = False

        self._slot, self._slots = (0, 1) if file.crew is None else (file.crew.slot, file.crew.size)

        def set_up(connection: sqlite3.Connection) -> int:
            create_tables(connection)
            if self._slot == 0:  # nobody else is at work yet
                take_over(connection, self._backlogs, self._slots, MOST_WORKERS)
            return load_backlogs(connection, self._backlogs, self._slot)

        self._writes = QueueWrites(self._backlogs, file.prepare(set_up), self._slot)
        file.retain()
        file.when_idle(self._forget)

    # Sending -----------------------------------------------------------------------------------------------------

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        """See the port."""
        backlog = self._backlog(queue)
        now = self._now()
        checked = [_message(backlog, message, now) for message in messages]
        if checked:
            await self._file.write(self._writes, Put(queue, checked, now))

    def follows(self, store: object) -> bool:
        """See the port."""
        return getattr(store, "file", None) is self._file

    async def check(self) -> None:
        """See the port."""
        await self._file.write(self._writes, None)

    async def check_queue(self, queue: str) -> None:
        """See the port."""
        self._backlog(queue)
        await self.check()

    async def close(self) -> None:
        """See the port."""
        if not self._closed:
            self._closed = True
            self._file.release()

    # Receiving ---------------------------------------------------------------------------------------------------

    async def receive(self, queue: str, limit: int) -> list[Received]:
        """See the port."""
        if limit < 1:
            raise InvalidInput("limit is at least 1.", field="limit")
        backlog = self._backlog(queue)
        loop = asyncio.get_running_loop()
        while True:
            with backlog.guard:
                now = self._now()
                taken = self._take(queue, backlog, limit, now)
                if taken:
                    return taken
                future: asyncio.Future[None] = loop.create_future()
                backlog.waiters.append((loop, future))
                pause = self._pause(backlog, now)
            timer = loop.call_later(pause, wake, future)
            try:
                await future
            except asyncio.CancelledError:
                with backlog.guard:  # what woke it, or what it waited for, is another's now
                    _call(backlog.wakes(1))
                raise
            finally:
                timer.cancel()
                with backlog.guard, contextlib.suppress(ValueError):
                    backlog.waiters.remove((loop, future))

    def _take(self, queue: str, backlog: Backlog, limit: int, now: int) -> list[Received]:
        spec = backlog.spec
        backlog.take_back(now)
        lock_end = now + int(spec.lock_seconds * 1_000_000)
        taken: list[Received] = []
        while len(taken) < limit:
            message = backlog.head()
            if message is None or message.due > now:
                break
            token = self._new_token()
            backlog.lock_head(token, lock_end)
            if message.expires <= now:
                self._give_up(queue, message, "TTLExpiredException", now, spec.dead_letter_on_expiry)
            elif message.deliveries >= spec.max_delivery_count:  # the process died in its last delivery
                self._give_up(queue, message, "MaxDeliveryCountExceeded", now, True)
            else:
                message.deliveries += 1
                self._file.write_later(self._writes, Count(queue, message.key, message.deliveries))
                taken.append(_received(message, token))
        if backlog.horizon is not None and not backlog.refilling and len(backlog.waiting) < WINDOW // 2:
            backlog.refilling = True
            self._file.write_later(self._writes, Refill(queue))
        return taken

    def _give_up(self, queue: str, message: Message, reason: str, now: int, keep: bool) -> None:
        item = Bury(queue, message.key, reason, now) if keep else Remove(queue, message.key)
        self._file.write_later(self._writes, item)

    def _pause(self, backlog: Backlog, now: int) -> float:
        """Seconds until something may have become due."""
        if not isinstance(self._clock, SystemClock):
            return RECHECK_SECONDS
        moment = backlog.next_event()
        return LONGEST_WAIT if moment is None else min(LONGEST_WAIT, max(0.001, (moment - now) / 1_000_000))

    # Settling ----------------------------------------------------------------------------------------------------

    async def complete(self, queue: str, received: Received) -> None:
        """See the port."""
        message = self._locked(queue, received)
        if message is not None:
            await self._file.write(self._writes, Remove(queue, message.key))

    async def abandon(self, queue: str, received: Received) -> None:
        """See the port."""
        message = self._locked(queue, received)
        if message is None:
            return
        backlog = self._backlog(queue)
        if message.deliveries >= backlog.spec.max_delivery_count:
            await self._file.write(self._writes, Bury(queue, message.key, "MaxDeliveryCountExceeded", self._now()))
            return
        with backlog.guard:
            backlog.unlock(message)
            _call(backlog.wakes(1))

    async def dead_letter(self, queue: str, received: Received, reason: str) -> None:
        """See the port."""
        message = self._locked(queue, received)
        if message is not None:
            await self._file.write(self._writes, Bury(queue, message.key, reason, self._now()))

    async def renew(self, queue: str, received: Received) -> None:
        """See the port."""
        message = self._locked(queue, received)
        if message is not None:
            backlog = self._backlog(queue)
            with backlog.guard:
                backlog.hold_lock(message, self._now() + int(backlog.spec.lock_seconds * 1_000_000))

    def _locked(self, queue: str, received: Received) -> Message | None:
        """The message, if this lock still holds."""
        backlog = self._backlog(queue)
        with backlog.guard:
            backlog.take_back(self._now())
            return backlog.locked.get(received.lock_token)

    # Looking -----------------------------------------------------------------------------------------------------

    async def dead_letters(self, queue: str, limit: int) -> list[DeadLetter]:
        """See the port."""
        await self._expire(queue)
        await self._file.write(self._writes, Put(queue, [], self._now()))  # behind what is being given up right now
        rows = await self._file.query(
            lambda c: c.execute(
                "SELECT sequence, due, message_id, correlation_id, properties, deliveries, body, reason, dead_at "
                "FROM queue_dead WHERE queue = ? ORDER BY dead_at, sequence LIMIT ?",
                (queue, limit),
            ).fetchall()
        )
        return [_dead_letter(row) for row in rows]

    async def redrive(self, queue: str, limit: int) -> int:
        """See the port."""
        await self._expire(queue)
        count: int = await self._file.write(self._writes, Redrive(queue, limit, self._now()))
        return count

    async def depth(self, queue: str) -> QueueDepth:
        """See the port."""
        await self._expire(queue)
        backlog = self._backlog(queue)
        with backlog.guard:
            now = self._now()
            backlog.take_back(now)
            head, horizon, dead = backlog.head(), backlog.horizon, backlog.dead
            locked = len(backlog.locked)
            waiting = backlog.total - locked
            scheduled = sum(1 for m in backlog.messages.values() if m.due > now and not m.token)
        if horizon is not None:
            line = line_of(queue, self._slot)
            scheduled += await self._file.query(lambda c: _scheduled_behind(c, line, horizon, now))
        oldest = head.due if head is not None and head.due <= now else None
        if self._slots > 1:
            lines = [line_of(queue, slot) for slot in range(self._slots) if slot != self._slot]
            theirs, later, first, dead = await self._file.query(lambda c: _elsewhere(c, queue, lines, now))
            waiting, scheduled = waiting + theirs, scheduled + later
            oldest = first if oldest is None or (first is not None and first < oldest) else oldest
        since = None if oldest is None else _time(oldest)
        return QueueDepth(max(0, waiting - scheduled), scheduled, locked, dead, since)

    async def _expire(self, queue: str) -> None:
        """Give up what is too old to be received; it stands at the head, for all of a queue live equally long."""
        backlog = self._backlog(queue)
        now = self._now()
        items: list[Bury | Remove] = []
        with backlog.guard:
            backlog.take_back(now)
            while (head := backlog.head()) is not None and head.expires <= now:
                backlog.lock_head(self._new_token(), now + 60_000_000)
                if backlog.spec.dead_letter_on_expiry:
                    items.append(Bury(queue, head.key, "TTLExpiredException", now))
                else:
                    items.append(Remove(queue, head.key))
        await asyncio.gather(*(self._file.write(self._writes, item) for item in items))

    # Inside ------------------------------------------------------------------------------------------------------

    def _backlog(self, queue: str) -> Backlog:
        try:
            return self._backlogs[queue]
        except KeyError:
            raise InvalidInput(f"There is no queue {queue}; infra/topology.json names them.", field="queue") from None

    def _new_token(self) -> str:
        return f"{self._run}-{next(self._tokens)}"

    def _now(self) -> int:
        return _microseconds(self._clock.now())

    def _forget(self, connection: sqlite3.Connection) -> bool:
        """Ids whose window has passed."""
        gone = connection.execute(
            "DELETE FROM queue_seen WHERE (queue, message_id) IN "
            "(SELECT queue, message_id FROM queue_seen WHERE until <= ? LIMIT ?)",
            (self._now(), FORGET),
        )
        return gone.rowcount == FORGET


def _scheduled_behind(connection: sqlite3.Connection, queue: str, horizon: tuple[int, int], now: int) -> int:
    sql = "SELECT count(*) FROM queue_messages WHERE queue = ? AND (due, sequence) > (?, ?) AND due > ?"
    return int(connection.execute(sql, (queue, *horizon, now)).fetchone()[0])


def _elsewhere(
    connection: sqlite3.Connection, queue: str, lines: Sequence[str], now: int
) -> tuple[int, int, int | None, int]:
    """Of other processes' messages: how many, how many of them later than now, the first that is due; and all the
    dead letters of the queue."""
    places = ", ".join("?" * len(lines))
    sql = (
        "SELECT count(*), coalesce(sum(due > ?), 0), min(CASE WHEN due <= ? THEN due END) "  # noqa: S608 - placeholders
        f"FROM queue_messages WHERE queue IN ({places})"
    )
    theirs, later, first = connection.execute(sql, (now, now, *lines)).fetchone()
    dead = connection.execute("SELECT count(*) FROM queue_dead WHERE queue = ?", (queue,)).fetchone()[0]
    return theirs, later, first, dead


def _message(backlog: Backlog, outgoing: Outgoing, now: int) -> Message:
    check_outgoing(outgoing)
    due = now if outgoing.at is None else max(now, _microseconds(outgoing.at))
    expires = due + int(backlog.spec.ttl_seconds * 1_000_000)
    return Message(
        0, due, expires, outgoing.message_id, outgoing.body, outgoing.correlation_id, dict(outgoing.properties)
    )


def _received(message: Message, token: str) -> Received:
    return Received(
        message.body,
        message.message_id,
        message.sequence,
        message.deliveries,
        _time(message.due),
        message.correlation_id,
        message.properties,
        token,
    )


def _dead_letter(row: tuple[Any, ...]) -> DeadLetter:
    sequence, due, message_id, correlation_id, properties, deliveries, body, reason, dead_at = row
    known = properties_of(properties)
    message = Received(body, message_id, sequence, deliveries, _time(due), correlation_id, known, "")
    return DeadLetter(message, reason, _time(dead_at))


def _microseconds(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1_000_000)


def _time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _call(wakes: Iterable[Wake]) -> None:
    for loop, call in wakes:
        with contextlib.suppress(RuntimeError):  # that loop is closed
            loop.call_soon_threadsafe(call)
