"""What is written to the spool's file, in its writer thread: storing with the cap, forgetting, dropping what is old.

Counters are changed only once the transaction is on disk (``committed``), so that they never tell of what was undone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, NamedTuple

from shared.sqlite_threads import Wake

__all__ = ["ALARM", "HISTORY", "ROW_BYTES", "Acknowledge", "Lane", "Put", "Ranges", "Row", "Tally", "Trim"]

Lane = Literal[0, 1]
ALARM: Lane = 0
HISTORY: Lane = 1

ROW_BYTES = 150
"""What a row needs beside its body: names, index, page slack. Measured on readings of eight signals."""
SLACK = 0.02
"""So much of the cap is freed at once when it is reached, so that not every reading drops another."""
REFUSED_KEPT = 1_000
STEP = 1_000

_INSERT = "INSERT OR IGNORE INTO waiting (lane, equipment, id, at, body) VALUES (?, ?, ?, ?, ?)"
TOGETHER = 50
"""Rows of one statement. Between two statements a thread gives the GIL away and has to get it back from a loop that may
be busy: one by one, 200 rows cost the loop a hundred changes of hands."""
_INSERT_TOGETHER = _INSERT + ", (?, ?, ?, ?, ?)" * (TOGETHER - 1)
_COUNT_SPAN = "SELECT count(*), coalesce(sum(length(body)), 0) FROM waiting WHERE lane = ? AND seq BETWEEN ? AND ?"
_DELETE_SPAN = "DELETE FROM waiting WHERE lane = ? AND seq BETWEEN ? AND ?"
_REFUSE_SPAN = (
    "INSERT OR IGNORE INTO refused (seq, at, why, body) "
    "SELECT seq, at, ?, body FROM waiting WHERE lane = ? AND seq BETWEEN ? AND ?"
)
_FORGET_REFUSED = "DELETE FROM refused WHERE seq <= (SELECT seq FROM refused ORDER BY seq DESC LIMIT 1 OFFSET ?)"


class Row(NamedTuple):
    """A reading to be stored."""

    lane: Lane
    equipment_id: str
    id: str
    at: str
    body: bytes


@dataclass
class Tally:
    """What is in the file, kept in memory."""

    readings: int
    bytes: int
    lost_total: int
    lost_unreported: int
    refused_total: int


@dataclass
class Ranges:
    """Up to which number each lane is on its way to the hub."""

    _until: dict[Lane, int] = field(default_factory=dict)

    def hold(self, lane: Lane, last_seq: int) -> None:
        """These must not be dropped: the hub may have them already."""
        self._until[lane] = last_seq

    def release(self, lane: Lane) -> None:
        """Nothing is on its way."""
        self._until.pop(lane, None)

    def until(self, lane: Lane) -> int:
        """0: nothing is on its way."""
        return self._until.get(lane, 0)


@dataclass
class _Change:
    readings: int = 0
    bytes: int = 0
    lost: int = 0
    reported: int = 0
    refused: int = 0


class _SpoolWork:
    """A change to the file and to the tally."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._change = _Change()

    def committed(self) -> Iterable[Wake]:
        """It is on disk: count it."""
        change, self._change = self._change, _Change()
        tally = self._tally
        tally.readings += change.readings
        tally.bytes += change.bytes
        tally.lost_total += change.lost
        tally.lost_unreported += change.lost - change.reported
        tally.refused_total += change.refused
        return ()

    def _drop(self, connection: sqlite3.Connection, rows: list[tuple[int, int]]) -> None:
        """Drop these rows ``(seq, size)`` of the history, the oldest there are beside those on their way."""
        if not rows:
            return
        connection.execute(
            "DELETE FROM waiting WHERE lane = 1 AND seq BETWEEN ? AND ?",
            (rows[0][0], rows[-1][0]),
        )
        self._change.readings -= len(rows)
        self._change.bytes -= sum(size + ROW_BYTES for _, size in rows)
        self._lose(connection, len(rows))

    def _lose(self, connection: sqlite3.Connection, count: int) -> None:
        self._change.lost += count
        connection.execute(
            "UPDATE tally SET value = value + ? WHERE name IN ('lost_total', 'lost_unreported')", (count,)
        )


class Put(_SpoolWork):
    """Stores ``(rows, lost)``: readings, and how many were lost before them because the disk was full."""

    def __init__(self, tally: Tally, in_flight: Ranges, max_bytes: int) -> None:
        super().__init__(tally)
        self._in_flight = in_flight
        self._max_bytes = max_bytes

    def apply(self, connection: sqlite3.Connection, items: Sequence[tuple[Sequence[Row], int]]) -> Sequence[Any]:
        """All of them, in order."""
        self._change = _Change()
        rows = [row for item in items for row in item[0]]
        last = connection.execute("SELECT coalesce(max(seq), 0) FROM waiting").fetchone()[0]
        before = connection.total_changes
        _insert(connection, rows)
        if connection.total_changes - before == len(rows):
            count, size = len(rows), sum(len(row.body) for row in rows)
        else:  # some waited already
            count, size = connection.execute(
                "SELECT count(*), coalesce(sum(length(body)), 0) FROM waiting WHERE seq > ?", (last,)
            ).fetchone()
        self._change.readings = count
        self._change.bytes = size + ROW_BYTES * count
        if unstored := sum(item[1] for item in items):
            self._lose(connection, unstored)
        self._keep_below_the_cap(connection)
        return [None] * len(items)

    def _keep_below_the_cap(self, connection: sqlite3.Connection) -> None:
        over = self._tally.bytes + self._change.bytes - self._max_bytes
        if over <= 0:
            return
        to_free = over + int(self._max_bytes * SLACK)
        while to_free > 0:
            oldest = _oldest_history(connection, self._in_flight.until(1))
            chosen: list[tuple[int, int]] = []
            for seq, size, _ in oldest:
                if to_free <= 0:
                    break
                chosen.append((seq, size))
                to_free -= size + ROW_BYTES
            self._drop(connection, chosen)
            if len(oldest) < STEP:
                return


class Acknowledge(_SpoolWork):
    """Forgets ``(lane, first, last, lost, why)``: the hub has these; with ``why``: it refused them."""

    def apply(
        self, connection: sqlite3.Connection, items: Sequence[tuple[Lane, int, int, int, str | None]]
    ) -> Sequence[Any]:
        """All of them, in order."""
        self._change = _Change()
        for lane, first, last, lost, why in items:
            span = (lane, first, last)
            count, size = connection.execute(_COUNT_SPAN, span).fetchone()
            if why is not None:
                connection.execute(_REFUSE_SPAN, (why, *span))
                connection.execute(_FORGET_REFUSED, (REFUSED_KEPT,))
                connection.execute("UPDATE tally SET value = value + ? WHERE name = 'refused_total'", (count,))
                self._change.refused += count
            connection.execute(_DELETE_SPAN, span)
            self._change.readings -= count
            self._change.bytes -= size + count * ROW_BYTES
            if lost:
                self._change.reported += lost
                connection.execute("UPDATE tally SET value = value - ? WHERE name = 'lost_unreported'", (lost,))
        return [None] * len(items)


class Trim(_SpoolWork):
    """Drops the oldest history before a time (the item, as ISO text); answers how many."""

    def __init__(self, tally: Tally, in_flight: Ranges) -> None:
        super().__init__(tally)
        self._in_flight = in_flight

    def apply(self, connection: sqlite3.Connection, items: Sequence[str]) -> Sequence[int]:
        """The latest of the times counts."""
        self._change = _Change()
        before = max(items)
        dropped = 0
        while True:
            oldest = _oldest_history(connection, self._in_flight.until(1))
            old = []
            for seq, size, at in oldest:
                if at >= before:  # from here on they are young enough; readings lie in the order they came
                    break
                old.append((seq, size))
            self._drop(connection, old)
            dropped += len(old)
            if len(old) < STEP:
                return [dropped] + [0] * (len(items) - 1)


def _insert(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    together = len(rows) - len(rows) % TOGETHER
    for first in range(0, together, TOGETHER):
        connection.execute(_INSERT_TOGETHER, tuple(chain.from_iterable(rows[first : first + TOGETHER])))
    connection.executemany(_INSERT, rows[together:])


def _oldest_history(connection: sqlite3.Connection, after: int) -> list[tuple[int, int, str]]:
    return connection.execute(
        "SELECT seq, length(body), at FROM waiting WHERE lane = 1 AND seq > ? ORDER BY seq LIMIT ?", (after, STEP)
    ).fetchall()
