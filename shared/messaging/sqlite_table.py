"""The tables of the embedded queues, and the statements on them.

``queue_messages`` is clustered by the order of receiving: one tree and no index, and what comes and goes in order
stays on few pages. Everything is done in multi-row statements (see ``shared/sqlite_threads.py`` for why).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from shared import json_text
from shared.messaging.sqlite_backlog import WINDOW, WINDOW_BYTES, Backlog, Key, Message

__all__ = [
    "bury",
    "count_deliveries",
    "create_tables",
    "insert",
    "line_of",
    "load_backlogs",
    "load_behind",
    "note_seen",
    "properties_of",
    "remove",
    "take_over",
]

CHUNK = 128

Where = tuple[str, Key]
"""Queue and key."""


def create_tables(connection: sqlite3.Connection) -> None:
    """The tables of all queues."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS queue_messages (queue TEXT, due INTEGER, sequence INTEGER, expires INTEGER, "
        "message_id TEXT, correlation_id TEXT, properties BLOB, deliveries INTEGER, body BLOB, "
        "PRIMARY KEY (queue, due, sequence)) WITHOUT ROWID"
    )
    connection.execute(
        "CREATE TABLE IF NOT EXISTS queue_dead (queue TEXT, sequence INTEGER, due INTEGER, message_id TEXT, "
        "correlation_id TEXT, properties BLOB, deliveries INTEGER, body BLOB, reason TEXT, dead_at INTEGER, "
        "PRIMARY KEY (queue, dead_at, sequence)) WITHOUT ROWID"
    )
    connection.execute(
        "CREATE TABLE IF NOT EXISTS queue_seen (queue TEXT, message_id TEXT, sequence INTEGER, until INTEGER, "
        "PRIMARY KEY (queue, message_id)) WITHOUT ROWID"
    )
    connection.execute("CREATE INDEX IF NOT EXISTS queue_seen_until ON queue_seen (until)")
    connection.execute("CREATE TABLE IF NOT EXISTS queue_sequence (next INTEGER NOT NULL)")
    if connection.execute("SELECT count(*) FROM queue_sequence").fetchone()[0] == 0:
        connection.execute("INSERT INTO queue_sequence VALUES (1)")


def line_of(queue: str, slot: int) -> str:
    """Where the messages of a queue stand that this one of several processes works on: each has a line of its own."""
    return queue if slot == 0 else f"{queue}#{slot}"


def take_over(connection: sqlite3.Connection, queues: Iterable[str], first: int, slots: int) -> None:
    """Bring the messages of processes that are no longer there into the first line."""
    for queue in queues:
        for slot in range(first, slots):
            connection.execute("UPDATE queue_messages SET queue = ? WHERE queue = ?", (queue, line_of(queue, slot)))


def load_backlogs(connection: sqlite3.Connection, backlogs: Mapping[str, Backlog], slot: int = 0) -> int:
    """Fill the working index from the tables; the next free sequence number."""
    for queue, backlog in backlogs.items():
        name = line_of(queue, slot)
        backlog.total = connection.execute("SELECT count(*) FROM queue_messages WHERE queue = ?", (name,)).fetchone()[0]
        backlog.dead = connection.execute("SELECT count(*) FROM queue_dead WHERE queue = ?", (queue,)).fetchone()[0]
        messages, backlog.horizon = load_behind(connection, name, (-1, 0))
        for message in messages:
            backlog.hold(message)
    return int(connection.execute("SELECT next FROM queue_sequence").fetchone()[0])


def load_behind(connection: sqlite3.Connection, queue: str, horizon: Key) -> tuple[list[Message], Key | None]:
    """The next window of messages, and the horizon after it (``None``: that is all)."""
    messages: list[Message] = []
    size = 0
    for row in connection.execute(
        "SELECT sequence, due, expires, message_id, body, correlation_id, properties, deliveries FROM queue_messages "
        "WHERE queue = ? AND (due, sequence) > (?, ?) ORDER BY due, sequence LIMIT ?",
        (queue, *horizon, WINDOW + 1),
    ):
        if len(messages) == WINDOW or size > WINDOW_BYTES:
            return messages, messages[-1].key
        messages.append(Message(row[0], row[1], row[2], row[3], row[4], row[5], properties_of(row[6]), row[7]))
        size += len(row[4])
    return messages, None


def properties_of(stored: bytes | None) -> dict[str, str]:
    """Application properties as they were sent."""
    properties: dict[str, str] = json_text.load(stored) if stored else {}
    return properties


def note_seen(
    connection: sqlite3.Connection, queue: str, messages: Sequence[Message], now: int, window: int
) -> list[Message]:
    """Remember the message ids; gives back the messages whose id was not seen within the window (microseconds)."""
    fresh: list[Message] = []
    for part in _parts(messages):
        rows: list[Any] = []
        for message in part:
            rows += (queue, message.message_id, message.sequence, now + window)
        noted = connection.execute(_note(len(part)), [*rows, now]).rowcount
        fresh += part if noted == len(part) else _noted(connection, queue, part)
    return fresh


def _noted(connection: sqlite3.Connection, queue: str, messages: Sequence[Message]) -> list[Message]:
    """Those that stand in the table with their own sequence number: the others were there before them."""
    return [
        message
        for message in messages
        if connection.execute(
            "SELECT sequence FROM queue_seen WHERE queue = ? AND message_id = ?", (queue, message.message_id)
        ).fetchone()[0]
        == message.sequence
    ]


def insert(connection: sqlite3.Connection, queue: str, messages: Sequence[Message]) -> None:
    """They wait."""
    for part in _parts(messages):
        rows: list[Any] = []
        for m in part:
            properties = json_text.dump(m.properties) if m.properties else None
            rows += (queue, m.due, m.sequence, m.expires, m.message_id, m.correlation_id, properties, 0, m.body)
        connection.execute(_insert(len(part)), rows)


def count_deliveries(connection: sqlite3.Connection, counts: Mapping[Where, int]) -> None:
    """So many times each was given to somebody."""
    for part in _parts(list(counts.items())):
        rows = [value for (queue, key), deliveries in part for value in (queue, *key, deliveries)]
        connection.execute(_count(len(part)), rows)


def remove(connection: sqlite3.Connection, queue: str, keys: Sequence[Key]) -> None:
    """They are done."""
    for part in _parts(keys):
        connection.execute(_remove(len(part)), [*(value for key in part for value in key), queue])


def bury(connection: sqlite3.Connection, place: Where, queue: str, reason: str, now: int) -> int:
    """Move to the dead letters of the queue; how many (0: it is gone already)."""
    line, key = place
    moved = connection.execute(
        "INSERT INTO queue_dead SELECT ?, sequence, due, message_id, correlation_id, properties, "
        "deliveries, body, ?, ? FROM queue_messages WHERE queue = ? AND due = ? AND sequence = ?",
        (queue, reason, now, line, *key),
    ).rowcount
    remove(connection, line, [key])
    return moved


@cache
def _note(size: int) -> str:
    return (
        f"INSERT INTO queue_seen VALUES {_lines(4, size)} ON CONFLICT (queue, message_id) DO UPDATE "  # noqa: S608
        "SET sequence = excluded.sequence, until = excluded.until WHERE until <= ?"
    )


@cache
def _insert(size: int) -> str:
    return f"INSERT INTO queue_messages VALUES {_lines(9, size)}"  # noqa: S608


@cache
def _count(size: int) -> str:
    return (
        f"WITH counted (queue, due, sequence, deliveries) AS (VALUES {_lines(4, size)}) "  # noqa: S608
        "UPDATE queue_messages AS m SET deliveries = c.deliveries FROM counted AS c "
        "WHERE m.queue = c.queue AND m.due = c.due AND m.sequence = c.sequence"
    )


@cache
def _remove(size: int) -> str:
    """Through a named list: a bare ``IN (VALUES ...)`` would scan the table."""
    return (
        f"WITH gone (due, sequence) AS (VALUES {_lines(2, size)}) "  # noqa: S608
        "DELETE FROM queue_messages WHERE queue = ? AND (due, sequence) IN gone"
    )


def _lines(columns: int, size: int) -> str:
    return ", ".join(["(" + ", ".join("?" * columns) + ")"] * size)


def _parts(things: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Pieces of few different sizes, so that few statements are ever prepared."""
    start = 0
    while start < len(things):
        size = piece(len(things) - start)
        yield things[start : start + size]
        start += size


def piece(rest: int) -> int:
    """How many rows the next statement takes: all of up to 16, else in steps of 16."""
    return rest if rest <= 16 else min(CHUNK, rest // 16 * 16)
