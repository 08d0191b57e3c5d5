"""The embedded queues: SQLite for durability, a working index in memory, the rules of Azure Service Bus."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from shared import json_text
from shared.clock import Clock, SystemClock
from shared.errors import InvalidInput
from shared.ids import new_id
from shared.messaging.port import DeadLetter, Outgoing, QueueDepth, Received
from shared.messaging.sqlite_backlog import WINDOW, Backlog, Message
from shared.messaging.sqlite_table import (
    Bury,
    Count,
    Put,
    QueueWrites,
    Redrive,
    Refill,
    Remove,
    create_tables,
    load_backlogs,
)
from shared.sqlite_file import SqliteFile
from shared.topology import topology

__all__ = ["SqliteQueue"]

MAX_BODY = 200 * 1024
MAX_ID = 128
RECHECK_SECONDS = 0.05
"""A clock that is moved by hand tells nobody: so often a waiting receiver looks at it."""
LONGEST_WAIT = 5.0
"""Seconds until a waiting receiver looks again, whatever it knows: bounds what a jump of the clock can do."""


class SqliteQueue:
    """All queues of the topology in one SQLite file. Implements ``Queue`` and ``QueueReceiver``."""

    def __init__(self, file: SqliteFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._backlogs = {name: Backlog(spec) for name, spec in topology().queues.items()}
        self._tokens = itertools.count(1)
        self._closed = False

        def set_up(connection: sqlite3.Connection) -> int:
            create_tables(connection)
            return load_backlogs(connection, self._backlogs)

        self._writes = QueueWrites(self._backlogs, file.prepare(set_up))
        file.retain()
        file.when_idle(self._forget)

    # Sending -----------------------------------------------------------------------------------------------------

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        """See the port."""
        backlog = self._backlog(queue)
        if not messages:
            return
        now = self._now()
        put = Put(queue, [_message(backlog, m, now) for m in messages], 0, now)
        put.seen_until = now + int(backlog.spec.duplicate_window_seconds * 1_000_000)
        await self._file.write(self._writes, put)

    async def check(self) -> None:
        """See the port."""
        await self._file.write(self._writes, None)

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
            now = self._now()
            with backlog.guard:
                taken = self._take(queue, backlog, limit, now)
                if taken:
                    return taken
                future: asyncio.Future[None] = loop.create_future()
                backlog.waiters.append((loop, future))
                pause = self._pause(backlog, now)
            timer = loop.call_later(pause, _wake, future)
            try:
                await future
            except asyncio.CancelledError:
                self._pass_on(backlog, future)
                raise
            finally:
                timer.cancel()
                with backlog.guard, contextlib.suppress(ValueError):
                    backlog.waiters.remove((loop, future))

    def _pass_on(self, backlog: Backlog, future: asyncio.Future[None]) -> None:
        """Cancelled after it was woken: another receiver must look in its place."""
        if future.done() and not future.cancelled():
            with backlog.guard:
                calls = backlog.wakes(1)
            for loop, call in calls:
                with contextlib.suppress(RuntimeError):  # that loop is closed
                    loop.call_soon_threadsafe(call)

    def _take(self, queue: str, backlog: Backlog, limit: int, now: int) -> list[Received]:
        spec = backlog.spec
        backlog.take_back(now)
        taken: list[Received] = []
        while len(taken) < limit:
            message = backlog.head()
            if message is None or message.due > now:
                break
            token = f"{message.sequence}-{next(self._tokens)}"
            if message.expires <= now:
                backlog.lock(message, token, now + 60_000_000)
                self._give_up(queue, message, "TTLExpiredException", now, spec.dead_letter_on_expiry)
                continue
            if message.deliveries >= spec.max_delivery_count:
                backlog.lock(message, token, now + 60_000_000)
                self._give_up(queue, message, "MaxDeliveryCountExceeded", now, True)
                continue
            backlog.lock(message, token, now + int(spec.lock_seconds * 1_000_000))
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
        nexts = [message.locked_until for message in backlog.locked.values()]
        head = backlog.head()
        if head is not None:
            nexts.append(head.due)
        return min(LONGEST_WAIT, max(0.001, (min(nexts) - now) / 1_000_000)) if nexts else LONGEST_WAIT

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
            calls = backlog.wakes(1)
        for loop, call in calls:
            loop.call_soon_threadsafe(call)

    async def dead_letter(self, queue: str, received: Received, reason: str) -> None:
        """See the port."""
        message = self._locked(queue, received)
        if message is not None:
            await self._file.write(self._writes, Bury(queue, message.key, reason, self._now()))

    async def renew(self, queue: str, received: Received) -> None:
        """See the port."""
        message = self._locked(queue, received)
        if message is not None:
            message.locked_until = self._now() + int(self._backlog(queue).spec.lock_seconds * 1_000_000)

    def _locked(self, queue: str, received: Received) -> Message | None:
        """The message, if this lock still holds."""
        backlog = self._backlog(queue)
        with backlog.guard:
            message = backlog.locked.get(received.lock_token)
            return message if message is not None and message.locked_until > self._now() else None

    # Looking -----------------------------------------------------------------------------------------------------

    async def dead_letters(self, queue: str, limit: int) -> list[DeadLetter]:
        """See the port."""
        self._backlog(queue)
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
        self._backlog(queue)
        count: int = await self._file.write(self._writes, Redrive(queue, limit, self._now(), new_id))
        return count

    async def depth(self, queue: str) -> QueueDepth:
        """See the port."""
        backlog = self._backlog(queue)
        now = self._now()
        with backlog.guard:
            backlog.take_back(now)
            locked = len(backlog.locked)
            head = backlog.head()
            waiting = backlog.total - locked
            scheduled = sum(1 for m in backlog.messages.values() if not m.token and m.due > now)
            horizon = backlog.horizon
            dead = backlog.dead
        if horizon is not None:
            scheduled += await self._file.query(
                lambda c: c.execute(
                    "SELECT count(*) FROM queue_messages WHERE queue = ? AND (due, sequence) > (?, ?) AND due > ?",
                    (queue, *horizon, now),
                ).fetchone()[0]
            )
        oldest = _time(head.due) if head is not None and head.due <= now else None
        return QueueDepth(max(0, waiting - scheduled), scheduled, locked, dead, oldest)

    # Inside ------------------------------------------------------------------------------------------------------

    def _backlog(self, queue: str) -> Backlog:
        try:
            return self._backlogs[queue]
        except KeyError:
            raise InvalidInput(f"There is no queue {queue}; infra/topology.json names them.", field="queue") from None

    def _now(self) -> int:
        return int(self._clock.now().timestamp() * 1_000_000)

    def _forget(self, connection: sqlite3.Connection) -> bool:
        """Ids whose window has passed."""
        gone = connection.execute(
            "DELETE FROM queue_seen WHERE (queue, message_id) IN "
            "(SELECT queue, message_id FROM queue_seen WHERE until <= ? LIMIT 500)",
            (self._now(),),
        )
        return gone.rowcount == 500


def _message(backlog: Backlog, outgoing: Outgoing, now: int) -> Message:
    if not isinstance(outgoing.body, bytes) or len(outgoing.body) > MAX_BODY:
        raise InvalidInput(f"A message body is bytes, at most {MAX_BODY}.", field="body")
    if not outgoing.message_id or len(outgoing.message_id) > MAX_ID:
        raise InvalidInput(f"A message id is a text of 1 to {MAX_ID} characters.", field="message_id")
    due = now if outgoing.at is None else max(now, int(outgoing.at.timestamp() * 1_000_000))
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
    known = json_text.load(properties) if properties else {}
    message = Received(body, message_id, sequence, deliveries, _time(due), correlation_id, known, "")
    return DeadLetter(message, reason, _time(dead_at))


def _time(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
