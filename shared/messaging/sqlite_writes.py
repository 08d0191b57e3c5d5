"""Every change to the embedded queues, done in the group commit; the working index follows after the commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.ids import new_id
from shared.messaging.sqlite_backlog import Backlog, Key, Message
from shared.messaging.sqlite_table import (
    bury,
    count_deliveries,
    insert,
    line_of,
    load_behind,
    note_seen,
    properties_of,
    remove,
)
from shared.sqlite_threads import Wake

__all__ = ["Bury", "Count", "Put", "QueueWrites", "Redrive", "Refill", "Remove"]

SEQUENCE_BLOCK = 100_000
"""Sequence numbers are set aside in blocks, so that none is given twice and no send writes a counter."""


@dataclass(slots=True)
class Put:
    """Send: messages that have no sequence number yet."""

    queue: str
    messages: list[Message]
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


Effect = Callable[[Backlog], int]
"""What a commit means for the working index; answers how many receivers may find something."""


class QueueWrites:
    """The queues' :class:`shared.sqlite_file.Work`."""

    def __init__(self, backlogs: Mapping[str, Backlog], next_sequence: int, slot: int = 0) -> None:
        self._backlogs = backlogs
        self._lines = {queue: line_of(queue, slot) for queue in backlogs}
        self._next = next_sequence
        self._reserved = self._wanted = next_sequence
        self._effects: list[tuple[str, Effect]] = []

    def apply(self, connection: sqlite3.Connection, items: Sequence[Any]) -> list[Any]:
        """One outcome per item; ``None`` as item checks that writing works."""
        self._effects = []
        self._wanted = self._reserved
        kinds: dict[type, list[Any]] = {}
        for item in items:
            kinds.setdefault(type(item), []).append(item)
        self._put(connection, kinds.get(Put, []))
        removed = kinds.get(Remove, [])
        self._count(connection, kinds.get(Count, []), {(item.queue, item.key) for item in removed})
        for item in kinds.get(Bury, []):
            self._bury(connection, item)
        self._remove(connection, removed)
        for item in kinds.get(Refill, []):
            self._refill(connection, item)
        redriven = {id(item): self._redrive(connection, item) for item in kinds.get(Redrive, [])}
        if type(None) in kinds:
            connection.execute("UPDATE queue_sequence SET next = next")
        return [redriven.get(id(item)) for item in items]

    def committed(self) -> Iterable[Wake]:
        """Bring the working index up to what is on disk, and wake who waits for it."""
        self._reserved = self._wanted
        wakes: list[Wake] = []
        for queue, effect in self._effects:
            backlog = self._backlogs[queue]
            with backlog.guard:
                wakes += backlog.wakes(effect(backlog))
        self._effects = []
        return wakes

    # Sending -----------------------------------------------------------------------------------------------------

    def _put(self, connection: sqlite3.Connection, puts: Sequence[Put]) -> None:
        by_queue: dict[str, list[Put]] = {}
        for put in puts:
            by_queue.setdefault(put.queue, []).append(put)
        for queue, sent in by_queue.items():
            messages = [message for put in sent for message in put.messages]
            self._number(connection, messages)
            window = int(self._backlogs[queue].spec.duplicate_window_seconds * 1_000_000)
            if window:
                messages = note_seen(connection, queue, messages, max(put.now for put in sent), window)
            insert(connection, self._lines[queue], messages)
            self._effects.append((queue, _added(messages)))

    def _number(self, connection: sqlite3.Connection, messages: Sequence[Message]) -> None:
        if self._next + len(messages) > self._wanted:
            # What other processes have set aside stands in the table alone.
            self._next = int(connection.execute("SELECT next FROM queue_sequence").fetchone()[0])
            self._wanted = self._next + len(messages) + SEQUENCE_BLOCK
            connection.execute("UPDATE queue_sequence SET next = ?", (self._wanted,))
        for message in messages:
            message.sequence = self._next
            self._next += 1

    # Settling ----------------------------------------------------------------------------------------------------

    def _count(self, connection: sqlite3.Connection, items: Sequence[Count], gone: set[tuple[str, Key]]) -> None:
        counts = {(item.queue, item.key): item.deliveries for item in items}
        known = {(self._lines[queue], key): n for (queue, key), n in counts.items() if (queue, key) not in gone}
        count_deliveries(connection, known)

    def _remove(self, connection: sqlite3.Connection, items: Sequence[Remove]) -> None:
        by_queue: dict[str, list[Key]] = {}
        for item in items:
            by_queue.setdefault(item.queue, []).append(item.key)
        for queue, keys in by_queue.items():
            remove(connection, self._lines[queue], keys)
            self._effects.append((queue, _settled(keys)))

    def _bury(self, connection: sqlite3.Connection, item: Bury) -> None:
        moved = bury(connection, (self._lines[item.queue], item.key), item.queue, item.reason, item.now)

        def effect(backlog: Backlog) -> int:
            backlog.settle(item.key)
            backlog.dead += moved
            return 0

        self._effects.append((item.queue, effect))

    # Loading -----------------------------------------------------------------------------------------------------

    def _refill(self, connection: sqlite3.Connection, item: Refill) -> None:
        behind = self._backlogs[item.queue].horizon
        line = self._lines[item.queue]
        messages, horizon = load_behind(connection, line, behind) if behind is not None else ([], None)

        def effect(backlog: Backlog) -> int:
            backlog.refilling = False
            if behind is None or backlog.horizon != behind:  # it moved in this very commit: ask again
                return 1
            for message in messages:
                if message.key not in backlog.messages:
                    backlog.hold(message)
            backlog.horizon = horizon
            return len(messages)

        self._effects.append((item.queue, effect))

    def _redrive(self, connection: sqlite3.Connection, item: Redrive) -> int:
        rows = connection.execute(
            "SELECT dead_at, sequence, correlation_id, properties, body FROM queue_dead WHERE queue = ? "
            "ORDER BY dead_at, sequence LIMIT ?",
            (item.queue, item.limit),
        ).fetchall()
        expires = item.now + int(self._backlogs[item.queue].spec.ttl_seconds * 1_000_000)
        messages = [
            Message(0, item.now, expires, new_id(), body, correlation_id, properties_of(properties))
            for _, _, correlation_id, properties, body in rows
        ]
        self._number(connection, messages)
        insert(connection, self._lines[item.queue], messages)
        connection.executemany(
            "DELETE FROM queue_dead WHERE queue = ? AND dead_at = ? AND sequence = ?",
            [(item.queue, row[0], row[1]) for row in rows],
        )

        def effect(backlog: Backlog) -> int:
            backlog.add(messages)
            backlog.dead -= len(messages)
            return len(messages)

        self._effects.append((item.queue, effect))
        return len(rows)


def _added(messages: Sequence[Message]) -> Effect:
    def effect(backlog: Backlog) -> int:
        backlog.add(messages)
        return len(messages)

    return effect


def _settled(keys: Sequence[Key]) -> Effect:
    def effect(backlog: Backlog) -> int:
        for key in keys:
            backlog.settle(key)
        return 0

    return effect
