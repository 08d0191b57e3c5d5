"""Many writes in one transaction with a handful of statements.

All documents that the waiting changes touch are fetched with one statement per container, the changes are decided in
Python one after the other, and what came out is written with multi-row statements. So a hundred callers cost about
as many hand-overs between threads as one, and a change that fails leaves nothing behind without a savepoint.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from shared.errors import OvenbridgeError
from shared.sqlite_file import Wake
from shared.storage.port import Stored
from shared.storage.sqlite_changes import Row, Step
from shared.storage.sqlite_schema import Table

__all__ = ["Change", "DocumentWrites", "Place", "fetch"]

CHUNK = 64
"""Rows per statement; smaller rests use powers of two, so that few statements are ever prepared."""


class Place(NamedTuple):
    """Where a document stands."""

    table: Table
    partition: str
    id: str


class Change:
    """Steps in one partition, all or none, at one time (microseconds)."""

    __slots__ = ("now", "partition", "steps", "table")

    def __init__(self, table: Table, partition: str, steps: Sequence[Step], now: int) -> None:
        self.table = table
        self.partition = partition
        self.steps = steps
        self.now = now


class DocumentWrites:
    """The store's :class:`shared.sqlite_file.Work`."""

    def apply(self, connection: sqlite3.Connection, items: Sequence[Change | None]) -> list[Any]:
        """Decide all changes in order, write the result. ``None`` as item checks that writing works."""
        changes = [change for change in items if change is not None]
        rows = fetch(connection, {Place(c.table, c.partition, s.id): None for c in changes for s in c.steps})
        state: dict[Place, Row | None] = dict(rows)
        outcomes = [None if change is None else _decide(change, state) for change in items]
        _write(connection, {place: row for place, row in state.items() if rows.get(place) is not row})
        _delete(connection, [place for place in rows if state[place] is None])
        if len(changes) < len(items):
            connection.execute("CREATE TABLE IF NOT EXISTS readiness (at TEXT)")
            connection.execute("DELETE FROM readiness")
        return outcomes

    def committed(self) -> Iterable[Wake]:
        """Nobody else waits."""
        return ()


def _decide(change: Change, state: dict[Place, Row | None]) -> list[Stored | None] | OvenbridgeError:
    undo: list[tuple[Place, Row | None]] = []
    results: list[Stored | None] = []
    try:
        for step in change.steps:
            place = Place(change.table, change.partition, step.id)
            before = state.get(place)
            alive = before
            if before is not None and before.expires_at is not None and before.expires_at <= change.now:
                alive = None
            after = step.rule(alive, change.now)
            undo.append((place, before))
            state[place] = after
            results.append(None if after is None else after.stored())
    except OvenbridgeError as err:
        for place, before in reversed(undo):
            state[place] = before
        return err
    return results


def fetch(connection: sqlite3.Connection, places: Iterable[Place]) -> dict[Place, Row]:
    """The rows at these places, expired ones too."""
    found: dict[Place, Row] = {}
    for place in places:
        row = connection.execute(
            f'SELECT etag, expires_at, body FROM "{place.table.name}" WHERE pk = ? AND id = ?',  # noqa: S608 - our own name
            (place.partition, place.id),
        ).fetchone()
        if row is not None:
            found[place] = Row(row[0], row[1], row[2], None, None)
    return found


def _write(connection: sqlite3.Connection, rows: dict[Place, Row | None]) -> None:
    by_table: dict[str, tuple[Table, list[list[Any]]]] = {}
    for place, row in rows.items():
        if row is not None:
            values = [place.partition, place.id, row.etag, row.expires_at, row.body, *(row.columns or ())]
            by_table.setdefault(place.table.name, (place.table, []))[1].append(values)
    for table, lines in by_table.values():
        names = ["pk", "id", "etag", "expires_at", "body", *(f'"x_{name}"' for name in table.columns)]
        updates = ", ".join(f"{name} = excluded.{name}" for name in names[2:])
        for chunk in chunks(lines):
            line = "(" + ", ".join("?" * len(names)) + ")"
            connection.execute(
                f'INSERT INTO "{table.name}" ({", ".join(names)}) VALUES {", ".join([line] * len(chunk))} '  # noqa: S608
                f"ON CONFLICT (pk, id) DO UPDATE SET {updates}",
                [value for values in chunk for value in values],
            )


def _delete(connection: sqlite3.Connection, places: Sequence[Place]) -> None:
    for place in places:
        connection.execute(
            f'DELETE FROM "{place.table.name}" WHERE pk = ? AND id = ?',  # noqa: S608 - our own name
            (place.partition, place.id),
        )


def chunks(lines: list[list[Any]]) -> Iterable[list[list[Any]]]:
    """Cut into pieces of ``CHUNK`` and powers of two below."""
    start = 0
    while start < len(lines):
        size = min(CHUNK, 1 << ((len(lines) - start).bit_length() - 1))
        yield lines[start : start + size]
        start += size
