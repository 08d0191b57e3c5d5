"""The durable side of the embedded queues: tables, and every change to them in the group commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared import json_text
from shared.messaging.sqlite_backlog import WINDOW, WINDOW_BYTES, Backlog, Key, Message
from shared.sqlite_file import Wake

__all__ = ["Bury", "Count", "Put", "QueueWrites", "Redrive", "Refill", "Remove", "create_tables", "load_backlogs"]

CHUNK = 64
SEQUENCE_BLOCK = 100_000
"""Sequence numbers are set aside in blocks, so that none is given twice and no send writes a counter."""


@dataclass(slots=True)
class Put:
    """Send: messages without sequence numbers yet."""

    queue: str
    messages: list[Message]
    seen_until: int
    now: int


@dataclass(slots=True)
class Count:
    """A delivery has begun."""

    queue: str
    key: Key
    deliveries: int


@dataclass(slots=True)
class Remove:
    """Completed, or expired without a dead-letter queue."""

    queue: str
    key: Key


@dataclass(slots=True)
class Bury:
    """Dead-letter."""

    queue: str
    key: Key
    reason: str
    now: int


@dataclass(slots=True)
class Refill:
    """Load what stands behind the horizon."""

    queue: str


@dataclass(slots=True)
class Redrive:
    """Given-up messages wait again."""

    queue: str
    limit: int
    now: int
    fresh_id: Any


def create_tables(connection: sqlite3.Connection) -> None:
    """The tables of all queues. ``queue_messages`` is clustered by the order of receiving: one tree, no index."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS queue_messages (queue TEXT, due INTEGER, sequence INTEGER, expires INTEGER, "
        "message_id TEXT, correlation_id TEXT, properties BLOB, deliveries INTEGER, body BLOB, "
        "PRIMARY KEY (queue, due, sequence)) WITHOUT ROWID"
    )
    connection.execute(
        "CREATE TABLE IF NOT EXISTS queue_dead (queue TEXT, sequence INTEGER, due INTEGER, message_id TEXT, "
        "correlation_id TEXT, properties BLOB, deliveries INTEGER, body BLOB, reason TEXT, dead_at INTEGER, "
        "PRIMARY KEY (queue, sequence)) WITHOUT ROWID"
    )
    connection.execute(
        "CREATE TABLE IF NOT EXISTS queue_seen (queue TEXT, message_id TEXT, sequence INTEGER, until INTEGER, "
        "PRIMARY KEY (queue, message_id)) WITHOUT ROWID"
    )
    connection.execute("CREATE INDEX IF NOT EXISTS queue_seen_until ON queue_seen (until)")
    connection.execute("CREATE TABLE IF NOT EXISTS queue_sequence (next INTEGER NOT NULL)")
    if connection.execute("SELECT count(*) FROM queue_sequence").fetchone()[0] == 0:
        connection.execute("INSERT INTO queue_sequence VALUES (1)")


def load_backlogs(connection: sqlite3.Connection, backlogs: Mapping[str, Backlog]) -> int:
    """Fill the working index; the next free sequence number."""
    for name, backlog in backlogs.items():
        backlog.total = connection.execute("SELECT count(*) FROM queue_messages WHERE queue = ?", (name,)).fetchone()[0]
        backlog.dead = connection.execute("SELECT count(*) FROM queue_dead WHERE queue = ?", (name,)).fetchone()[0]
        messages, horizon = load_behind(connection, name, (-1, 0))
        for message in messages:
            backlog.hold(message)
        backlog.horizon = horizon
    return int(connection.execute("SELECT next FROM queue_sequence").fetchone()[0])


def load_behind(connection: sqlite3.Connection, queue: str, horizon: Key) -> tuple[list[Message], Key | None]:
    """The next window of messages, and the horizon after it."""
    messages: list[Message] = []
    size = 0
    for row in connection.execute(
        "SELECT sequence, due, expires, message_id, body, correlation_id, properties, deliveries FROM queue_messages "
        "WHERE queue = ? AND (due, sequence) > (?, ?) ORDER BY due, sequence LIMIT ?",
        (queue, *horizon, WINDOW + 1),
    ):
        if len(messages) == WINDOW or size > WINDOW_BYTES:
            return messages, messages[-1].key
        properties = json_text.load(row[6]) if row[6] else {}
        messages.append(Message(row[0], row[1], row[2], row[3], row[4], row[5], properties, row[7]))
        size += len(row[4])
    return messages, None


class QueueWrites:
    """The queues' :class:`shared.sqlite_file.Work`: changes the tables, then, after the commit, the working index."""

    def __init__(self, backlogs: Mapping[str, Backlog], next_sequence: int) -> None:
        self._backlogs = backlogs
        self._next = next_sequence
        self._reserved = next_sequence
        self._effects: list[Any] = []

    def apply(self, connection: sqlite3.Connection, items: Sequence[Any]) -> list[Any]:
        """One outcome per item; ``None`` as item checks that writing works."""
        self._effects = []
        outcomes: list[Any] = [None] * len(items)
        settled = {(i.queue, i.key) for i in items if isinstance(i, Remove | Bury)}
        puts = [item for item in items if isinstance(item, Put)]
        if puts:
            self._put(connection, puts)
        for position, item in enumerate(items):
            if isinstance(item, Count) and (item.queue, item.key) not in settled:
                self._count(connection, item)
            elif isinstance(item, Bury):
                outcomes[position] = self._bury(connection, item)
            elif isinstance(item, Refill):
                self._refill(connection, item)
            elif isinstance(item, Redrive):
                outcomes[position] = self._redrive(connection, item)
            elif item is None:
                connection.execute("UPDATE queue_sequence SET next = next")
        self._remove(connection, [item for item in items if isinstance(item, Remove)])
        return outcomes

    def committed(self) -> Iterable[Wake]:
        """Bring the working index up to what is on disk, and wake who waits for it."""
        wakes: list[Wake] = []
        for queue, effect in self._effects:
            backlog = self._backlogs[queue]
            with backlog.guard:
                wakes += backlog.wakes(effect(backlog))
        self._effects = []
        return wakes

    # Sending -----------------------------------------------------------------------------------------------------

    def _put(self, connection: sqlite3.Connection, puts: Sequence[Put]) -> None:
        self._reserve(connection, sum(len(put.messages) for put in puts))
        for put in puts:
            for message in put.messages:
                message.sequence = self._next
                self._next += 1
            fresh = self._unseen(connection, put)
            self._insert(connection, put.queue, fresh)
            self._effects.append((put.queue, lambda backlog, m=fresh: backlog.add(m) or len(m)))

    def _reserve(self, connection: sqlite3.Connection, count: int) -> None:
        if self._next + count > self._reserved:
            self._reserved = self._next + count + SEQUENCE_BLOCK
            connection.execute("UPDATE queue_sequence SET next = ?", (self._reserved,))

    def _unseen(self, connection: sqlite3.Connection, put: Put) -> list[Message]:
        """Note the ids; those seen within the window are dropped."""
        if put.seen_until <= put.now:
            return put.messages
        fresh: list[Message] = []
        for message in put.messages:
            noted = connection.execute(
                "INSERT INTO queue_seen VALUES (?, ?, ?, ?) ON CONFLICT (queue, message_id) DO UPDATE "
                "SET sequence = excluded.sequence, until = excluded.until WHERE until <= ?",
                (put.queue, message.message_id, message.sequence, put.seen_until, put.now),
            )
            if noted.rowcount == 1:
                fresh.append(message)
        return fresh

    def _insert(self, connection: sqlite3.Connection, queue: str, messages: Sequence[Message]) -> None:
        connection.executemany(
            "INSERT INTO queue_messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    queue,
                    m.due,
                    m.sequence,
                    m.expires,
                    m.message_id,
                    m.correlation_id,
                    json_text.dump(dict(m.properties)) if m.properties else None,
                    m.deliveries,
                    m.body,
                )
                for m in messages
            ],
        )

    # Settling ----------------------------------------------------------------------------------------------------

    def _count(self, connection: sqlite3.Connection, item: Count) -> None:
        connection.execute(
            "UPDATE queue_messages SET deliveries = ? WHERE queue = ? AND due = ? AND sequence = ?",
            (item.deliveries, item.queue, *item.key),
        )

    def _remove(self, connection: sqlite3.Connection, items: Sequence[Remove]) -> None:
        connection.executemany(
            "DELETE FROM queue_messages WHERE queue = ? AND due = ? AND sequence = ?",
            [(item.queue, *item.key) for item in items],
        )
        for item in items:
            self._effects.append((item.queue, lambda backlog, k=item.key: 0 if backlog.settle(k) else 0))

    def _bury(self, connection: sqlite3.Connection, item: Bury) -> None:
        at = (item.queue, *item.key)
        moved = connection.execute(
            "INSERT OR IGNORE INTO queue_dead SELECT queue, sequence, due, message_id, correlation_id, properties, "
            "deliveries, body, ?, ? FROM queue_messages WHERE queue = ? AND due = ? AND sequence = ?",
            (item.reason, item.now, *at),
        ).rowcount
        connection.execute("DELETE FROM queue_messages WHERE queue = ? AND due = ? AND sequence = ?", at)

        def effect(backlog: Backlog) -> int:
            backlog.settle(item.key)
            backlog.dead += moved
            return 0

        self._effects.append((item.queue, effect))

    # Loading -----------------------------------------------------------------------------------------------------

    def _refill(self, connection: sqlite3.Connection, item: Refill) -> None:
        backlog = self._backlogs[item.queue]
        behind = backlog.horizon
        messages, horizon = load_behind(connection, item.queue, behind) if behind is not None else ([], None)

        def effect(backlog: Backlog) -> int:
            backlog.refilling = False
            if behind is None or backlog.horizon != behind:  # let go of more in the meantime: ask again
                return 1
            for message in messages:
                if message.key not in backlog.messages:
                    backlog.hold(message)
            backlog.horizon = horizon
            return len(messages)

        self._effects.append((item.queue, effect))

    def _redrive(self, connection: sqlite3.Connection, item: Redrive) -> int:
        rows = connection.execute(
            "SELECT sequence, correlation_id, properties, body FROM queue_dead WHERE queue = ? "
            "ORDER BY dead_at, sequence LIMIT ?",
            (item.queue, item.limit),
        ).fetchall()
        self._reserve(connection, len(rows))
        ttl = int(self._backlogs[item.queue].spec.ttl_seconds * 1_000_000)
        messages: list[Message] = []
        for _, correlation_id, properties, body in rows:
            known = json_text.load(properties) if properties else {}
            messages.append(Message(self._next, item.now, item.now + ttl, item.fresh_id(), body, correlation_id, known))
            self._next += 1
        self._insert(connection, item.queue, messages)
        connection.executemany(
            "DELETE FROM queue_dead WHERE queue = ? AND sequence = ?", [(item.queue, row[0]) for row in rows]
        )

        def effect(backlog: Backlog) -> int:
            backlog.add(messages)
            backlog.dead -= len(messages)
            return len(messages)

        self._effects.append((item.queue, effect))
        return len(rows)
