"""Many writes in one transaction with a handful of statements.

The documents that the waiting changes touch are fetched with one statement per container, the changes are decided in
Python one after the other, and what came out is written with multi-row statements. So a hundred callers cost about
as many hand-overs between threads as one, and a change that fails leaves nothing behind without a savepoint.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from shared.errors import OvenbridgeError
from shared.sqlite_threads import Wake
from shared.storage.port import Stored
from shared.storage.sqlite_cache import ELSEWHERE, DocumentCache
from shared.storage.sqlite_changes import Change, Creation, Place, Row
from shared.storage.sqlite_schema import Table, purge_hour

__all__ = ["DocumentWrites", "fetch"]

CHUNK = 128
"""Rows per statement."""

FIXED = 6
"""Columns before those of the indexed properties: pk, id, etag, expires_at, body, purge."""

NEW = -1
"""In place of a set of changed columns: the row is not there yet."""

Line = list[Any]

Item = Change | Creation | None


class DocumentWrites:
    """The store's :class:`shared.sqlite_file.Work`."""

    def __init__(self, cache: DocumentCache, tell: Callable[[Iterable[Place]], None] | None = None) -> None:
        self._cache = cache
        self._tell = tell
        """Hears what changed, where other processes need to know; ``None``: nobody does."""
        self._written: list[tuple[Place, Row | None]] = []

    def apply(self, connection: sqlite3.Connection, items: Sequence[Item]) -> list[Any]:
        """Decide all changes in order, write the result. ``None`` as item checks that writing works."""
        before = self._before(connection, items)
        after: dict[Place, Row | None] = dict(before)
        outcomes = [_outcome(item, after) for item in items]
        self._written = [(place, row) for place, row in after.items() if before[place] is not row]
        _write(connection, self._written, before)
        _delete(connection, [place for place, row in self._written if row is None])
        if None in items:
            connection.execute("PRAGMA user_version = 1")  # dirties a page, so that the commit really writes
        return outcomes

    def committed(self) -> Iterable[Wake]:
        """Readers see it from now on."""
        self._cache.committed(self._written)
        if self._tell is not None:
            self._tell([place for place, _ in self._written])
        return ()

    def _before(
        self, connection: sqlite3.Connection, items: Sequence[Change | Creation | None]
    ) -> dict[Place, Row | None]:
        rows: dict[Place, Row | None] = {}
        unknown: list[Place] = []
        for change in items:
            if change is None:
                continue
            for place in change.places():
                if place not in rows:
                    row = rows[place] = self._cache.get(place)
                    if row is None or row is ELSEWHERE:
                        rows[place] = None
                        unknown.append(place)
        if unknown:
            rows.update(fetch(connection, unknown))
        return rows


def _outcome(item: Item, state: dict[Place, Row | None]) -> Any:
    if isinstance(item, Change):
        return _decide(item, state)
    return None if item is None else _make(item, state)


def _make(creation: Creation, state: dict[Place, Row | None]) -> list[bool]:
    """Which of them were not there yet."""
    fresh: list[bool] = []
    now = creation.now
    for place, row in creation.made:
        before = state[place]
        made = before is None or (before.expires_at is not None and before.expires_at <= now)
        if made:
            state[place] = row(now)
        fresh.append(made)
    return fresh


def _decide(change: Change, state: dict[Place, Row | None]) -> list[Stored | None] | OvenbridgeError:
    undo: list[tuple[Place, Row | None]] = []
    results: list[Stored | None] = []
    now = change.now
    try:
        for place, rule in change.steps:
            before = alive = state[place]
            if before is not None and before.expires_at is not None and before.expires_at <= now:
                alive = None
            after = rule(alive, now)
            undo.append((place, before))
            state[place] = after
            results.append(None if after is None else after.hand_over())
    except OvenbridgeError as err:
        for place, before in reversed(undo):
            state[place] = before
        return err
    return results


def fetch(connection: sqlite3.Connection, places: Sequence[Place]) -> dict[Place, Row]:
    """The rows at these places, expired ones too."""
    found: dict[Place, Row] = {}
    by_table: dict[Table, list[Place]] = {}
    for place in places:
        by_table.setdefault(place[0], []).append(place)
    for table, wanted in by_table.items():
        for start, size in _cuts(len(wanted)):
            part = wanted[start : start + size]
            bound = [text for _, pk, name in part for text in (pk, name)]
            for pk, name, etag, expires_at, body in connection.execute(_select(table.name, size), bound):
                found[table, pk, name] = Row(etag, expires_at, body, None, None)
    return found


def _write(
    connection: sqlite3.Connection, rows: Sequence[tuple[Place, Row | None]], before: dict[Place, Row | None]
) -> None:
    groups: dict[tuple[Table, int], list[Line]] = {}
    for place, row in rows:
        if row is None:
            continue
        table, pk, name = place
        purge = purge_hour(row.expires_at)
        columns = row.columns
        if columns is None:
            columns = row.columns = table.values(row.parsed())
        line = [pk, name, row.etag, row.expires_at, row.body, purge, *columns]
        groups.setdefault((table, _changed(before[place], purge, columns)), []).append(line)
    for (table, changed), lines in groups.items():
        for start, size in _cuts(len(lines)):
            flat = [value for line in lines[start : start + size] for value in line]
            connection.execute(_insert(table.name, table.columns, changed, size), flat)


def _changed(before: Row | None, purge: int | None, columns: Sequence[Any]) -> int:
    """Which of purge and the property columns differ, as bits: an index over the others stays untouched."""
    if before is None:
        return NEW
    bits = 1 if purge_hour(before.expires_at) != purge else 0
    if before.columns is None:
        return bits | ((1 << len(columns)) - 1) << 1
    for position, (old, new) in enumerate(zip(before.columns, columns, strict=True)):
        if old is not new and (old != new or type(old) is not type(new)):
            bits |= 2 << position
    return bits


def _delete(connection: sqlite3.Connection, places: Sequence[Place]) -> None:
    by_table: dict[Table, list[Place]] = {}
    for place in places:
        by_table.setdefault(place[0], []).append(place)
    for table, gone in by_table.items():
        for start, size in _cuts(len(gone)):
            bound = [text for _, pk, name in gone[start : start + size] for text in (pk, name)]
            connection.execute(_remove(table.name, size), bound)


@cache
def _remove(name: str, size: int) -> str:
    """By rowid: SQLite would scan the table for a bare ``(pk, id) IN (VALUES ...)``."""
    listed = ", ".join(["(?, ?)"] * size)
    return (
        f'WITH gone (pk, id) AS (VALUES {listed}) DELETE FROM "{name}" WHERE number IN '  # noqa: S608 - our own name
        f'(SELECT t.number FROM gone AS g CROSS JOIN "{name}" AS t ON t.pk = g.pk AND t.id = g.id)'
    )


@cache
def _select(name: str, size: int) -> str:
    listed = ", ".join(["(?, ?)"] * size)
    return (
        f"WITH wanted (pk, id) AS (VALUES {listed}) SELECT t.pk, t.id, t.etag, t.expires_at, t.body "  # noqa: S608 - our own name
        f'FROM wanted AS w CROSS JOIN "{name}" AS t ON t.pk = w.pk AND t.id = w.id'
    )


@cache
def _insert(name: str, columns: tuple[str, ...], changed: int, size: int) -> str:
    """The row may be gone although it was there before (purged): so never a bare UPDATE."""
    line = "(" + ", ".join("?" * len(columns)) + ")"
    sql = f'INSERT INTO "{name}" ({", ".join(columns)}) VALUES {", ".join([line] * size)}'  # noqa: S608 - our own names
    touched = [*columns[2 : FIXED - 1], *(c for n, c in enumerate(columns[FIXED - 1 :]) if changed >> n & 1)]
    updates = ", ".join(f"{column} = excluded.{column}" for column in touched)
    return f"{sql} ON CONFLICT (pk, id) DO UPDATE SET {updates}"


def _cuts(count: int) -> Iterator[tuple[int, int]]:
    """Pieces (start, size): all of up to 16, else in steps of 16, so that few statements are ever prepared."""
    start = 0
    while start < count:
        rest = count - start
        size = rest if rest <= 16 else min(CHUNK, rest // 16 * 16)
        yield start, size
        start += size
