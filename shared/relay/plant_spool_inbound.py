"""What came in on site and waits for the hub: on disk before its sender hears that it was taken.

A file of its own beside the readings' (:class:`shared.sqlite_file.SqliteFile`). Unlike readings nothing is dropped when
it is full: the sender is told so, and tries again.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from shared.clock import iso
from shared.errors import Unavailable
from shared.relay.messages import LanMessage
from shared.sqlite_file import SqliteFile
from shared.sqlite_threads import Wake

__all__ = ["MAX_BYTES", "InboundSpool"]

MAX_BYTES = 256 * 1024 * 1024
"""That may wait: a hundred thousand notifications."""
ROW_BYTES = 200
REFUSED_KEPT = 1_000

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS waiting (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, source TEXT, sameness TEXT, at TEXT, body BLOB,
        UNIQUE (source, sameness))""",
    """CREATE TABLE IF NOT EXISTS refused (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT, at TEXT, why TEXT, body BLOB)""",
)


class _Row(NamedTuple):
    id: str
    source: str
    sameness: str | None
    at: str
    body: bytes


@dataclass
class _Tally:
    messages: int
    bytes: int


class _Put:
    """Stores messages; each outcome says whether it was new."""

    def __init__(self, tally: _Tally) -> None:
        self._tally = tally
        self._new: list[int] = []

    def apply(self, connection: sqlite3.Connection, items: Sequence[_Row]) -> Sequence[Any]:
        self._new = []
        outcomes = []
        for row in items:
            done = connection.execute(
                "INSERT OR IGNORE INTO waiting (id, source, sameness, at, body) VALUES (?, ?, ?, ?, ?)", row
            )
            outcomes.append(done.rowcount == 1)
            if done.rowcount == 1:
                self._new.append(len(row.body) + ROW_BYTES)
        return outcomes

    def committed(self) -> Iterable[Wake]:
        self._tally.messages += len(self._new)
        self._tally.bytes += sum(self._new)
        self._new = []
        return ()


class _Forget:
    """Forgets ``(id, why)``; with ``why`` it is set aside for a person."""

    def __init__(self, tally: _Tally) -> None:
        self._tally = tally
        self._gone: list[int] = []

    def apply(self, connection: sqlite3.Connection, items: Sequence[Sequence[tuple[str, str | None]]]) -> Sequence[Any]:
        self._gone = []
        for item in items:
            for name, why in item:
                self._one(connection, name, why)
        return [None] * len(items)

    def _one(self, connection: sqlite3.Connection, id: str, why: str | None) -> None:
        if why is not None:
            connection.execute(
                "INSERT INTO refused (id, at, why, body) SELECT id, at, ?, body FROM waiting WHERE id = ?", (why, id)
            )
            connection.execute("DELETE FROM refused WHERE seq <= (SELECT max(seq) FROM refused) - ?", (REFUSED_KEPT,))
        found = connection.execute("SELECT length(body) FROM waiting WHERE id = ?", (id,)).fetchone()
        if found is not None:
            connection.execute("DELETE FROM waiting WHERE id = ?", (id,))
            self._gone.append(found[0] + ROW_BYTES)

    def committed(self) -> Iterable[Wake]:
        self._tally.messages -= len(self._gone)
        self._tally.bytes -= sum(self._gone)
        self._gone = []
        return ()


class InboundSpool:
    """The messages that wait on this disk. Make one with :meth:`open`, inside the running loop."""

    def __init__(self, file: SqliteFile, tally: _Tally, max_bytes: int) -> None:
        self._file = file
        self._tally = tally
        self._max_bytes = max_bytes
        self._put = _Put(tally)
        self._forget = _Forget(tally)
        self.filled = asyncio.Event()
        """Set while something waits."""
        if tally.messages:
            self.filled.set()

    @classmethod
    def open(cls, path: Path, *, max_bytes: int = MAX_BYTES) -> InboundSpool:
        """Open or make the file. Raises ``BrokenSettings``, as the readings' spool."""
        file = SqliteFile.open(path)
        file.retain()
        try:
            tally = file.prepare(_prepare)
        except BaseException:
            file.release()
            raise
        return cls(file, tally, max_bytes)

    @property
    def waiting(self) -> int:
        """How many messages."""
        return self._tally.messages

    @property
    def fill(self) -> float:
        """Share of what may wait, 0 to 1."""
        return self._tally.bytes / self._max_bytes

    async def put(self, message: LanMessage, *, sameness: str | None) -> bool:
        """Keep it; on disk when this returns. ``False``: the same one waits already.

        Raises:
            Unavailable: the disk cannot be used, or too much waits; the sender has to try again.
        """
        if self.fill >= 1:
            raise Unavailable(
                f"{self.waiting:,} messages wait on this relay for the hub, and it takes no more until the hub is "
                "back. Send it again later.",
                retry_after=60.0,
            )
        body = message.model_dump_json().encode()
        row = _Row(message.id, message.source, sameness, iso(message.received_at), body)
        new: bool = await self._file.write(self._put, row)
        self.filled.set()
        return new

    async def next(self, *, most: int, most_bytes: int) -> list[LanMessage]:
        """What leaves next, the oldest first; at least one message if any waits. Raises ``Unavailable``."""
        self.filled.clear()
        bodies = await self._file.query(lambda connection: _oldest(connection, most, most_bytes))
        if bodies:
            self.filled.set()
        return [LanMessage.model_validate_json(body) for body in bodies]

    async def forget(self, ids: Sequence[tuple[str, str | None]]) -> None:
        """The hub has these; or will never take them (``why``), and then they are set aside. Raises ``Unavailable``."""
        if ids:
            await self._file.write(self._forget, tuple(ids))

    async def close(self) -> None:
        """Let the file go."""
        self._file.release()


def _prepare(connection: sqlite3.Connection) -> _Tally:
    for statement in _SCHEMA:
        connection.execute(statement)
    count, size = connection.execute("SELECT count(*), coalesce(sum(length(body)), 0) FROM waiting").fetchone()
    return _Tally(count, size + count * ROW_BYTES)


def _oldest(connection: sqlite3.Connection, most: int, most_bytes: int) -> list[bytes]:
    bodies: list[bytes] = []
    size = 0
    cursor = connection.execute("SELECT body FROM waiting ORDER BY seq LIMIT ?", (most,))
    for (body,) in cursor:
        size += len(body)
        if bodies and size > most_bytes:
            break
        bodies.append(body)
    cursor.close()
    return bodies
