"""An ordered stretch of one partition, and several of them as one.

Cosmos orders by the property alone. Documents with equal values are brought into the order of their ids here: those
that came whole are sorted, and a group that the page cuts in two is asked for again, by id. That second query is needed
only where a page ends inside such a group.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from shared.storage.changes import same
from shared.storage.cosmos_query import Binder, Statement, conditions, head, property_sql
from shared.storage.names import path_keys
from shared.storage.port import Document, PartitionKey
from shared.storage.query import Equals, In, IsDefined, Query, Range
from shared.topology import ContainerSpec

__all__ = ["ABSENT", "Fetch", "Lane", "Place", "Row", "merged"]


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT: Any = _Absent()
"""In place of the value of a property that is not there."""

Fetch = Callable[[PartitionKey, Statement, int], Awaitable[list[Document]]]
"""Runs a statement in a partition; all its rows, at most so many."""


@dataclass(frozen=True, slots=True)
class Place:
    """Behind which document to go on."""

    value: Any
    id: str
    whole: bool = False
    """No document with this value follows: all have been given."""
    at: bool = False
    """The document with this very id has not been given (it belongs to another partition)."""


@dataclass(frozen=True, slots=True)
class Row:
    """A document in its place in the order."""

    value: Any
    id: str
    document: Document


@dataclass(frozen=True, slots=True)
class Part:
    """What a stage gave."""

    rows: list[Row]
    whole: bool
    """The last of them ends its group of equal values."""
    more: bool
    """There are more in this stage."""


Stage = Callable[[int], Awaitable[Part]]
"""A query with an end of its own; takes how many rows are wanted (0: only whether there are any)."""

MAX_ROUNDS = 10
"""Others may delete what we are about to ask for; then a step gives less, and another is made."""

AT_ONCE = 10
"""Partitions that are asked side by side."""


class Lane:
    """The documents of one partition, in order, from a place on."""

    def __init__(self, spec: ContainerSpec, query: Query, key: PartitionKey, fetch: Fetch, after: Place | None) -> None:
        assert query.order_by is not None  # noqa: S101 - the caller's promise
        self.key = key
        self.rows: list[Row] = []
        self.ended = False
        """There is nothing behind ``rows``."""
        self._spec, self._query, self._fetch, self._after = spec, query, fetch, after
        fixed = dict(zip(spec.partition_key, key, strict=True))
        self._constant = fixed.get(query.order_by, "") if query.order_by in (*fixed, "id") else None
        self._path = path_keys(query.order_by)
        self._present = any(_means_present(c, query.order_by) for c in query.where)

    @property
    def last(self) -> Place | None:
        """Where it stands: behind the last of ``rows``."""
        return self._after

    async def read(self, wanted: int) -> None:
        """Append so many rows, fewer at the end."""
        missing = wanted
        for _ in range(MAX_ROUNDS):
            found, more = await self._step(missing)
            self.rows += found
            missing -= len(found)
            self.ended = not more
            if self.ended or missing <= 0:
                return

    async def _step(self, wanted: int) -> tuple[list[Row], bool]:
        found: list[Row] = []
        whole = more = False
        for stage in self._stages():
            part = await stage(wanted - len(found))
            found += part.rows
            if part.rows or not found:
                whole = part.whole
            if part.more:
                more = True
                break
        if found:
            self._after = Place(found[-1].value, found[-1].id, whole)
        return found, more

    def _stages(self) -> list[Stage]:
        after, descending = self._after, self._query.descending
        if self._constant is not None:
            return [lambda n: self._group(self._constant, after, n)]
        if after is None:
            return [lambda n: self._by_value(None, n)]
        stages: list[Stage] = []
        if not after.whole:
            stages.append(lambda n: self._group(after.value, after, n))
        if after.value is ABSENT:
            if not descending:
                stages.append(lambda n: self._by_value(f"IS_DEFINED({self._place})", n))
            return stages
        stages.append(lambda n: self._by_value((after.value,), n))
        if descending and not self._present:
            stages.append(lambda n: self._group(ABSENT, None, n))
        return stages

    @property
    def _place(self) -> str:
        return property_sql(self._path)

    async def _by_value(self, start: str | tuple[Any] | None, wanted: int) -> Part:
        """Ordered by the value: from the beginning, under a condition, or strictly behind a value."""
        bind = Binder()
        parts = conditions(bind, self._query.where, self._spec, self.key)
        if isinstance(start, tuple):
            parts.append(f"{self._place} {'<' if self._query.descending else '>'} {bind.name(start[0])}")
        elif start is not None:
            parts.append(start)
        rows = await self._run(bind, parts, self._place, wanted + 1)
        more = len(rows) > wanted
        if more and wanted and _alike(rows[wanted - 1].value, rows[wanted].value):
            return await self._cut(rows, wanted)
        return Part(self._by_id(rows[:wanted]), True, more)

    async def _cut(self, rows: list[Row], wanted: int) -> Part:
        """The page ends inside a group of equal values: ask for the group by id."""
        value = rows[wanted].value
        before = [row for row in rows if not _alike(row.value, value)]
        group = await self._group(value, None, wanted - len(before))
        return Part([*self._by_id(before), *group.rows], group.whole, True)

    async def _group(self, value: Any, after: Place | None, wanted: int) -> Part:
        """Documents with this value, by id."""
        bind = Binder()
        parts = conditions(bind, self._query.where, self._spec, self.key)
        if self._constant is None:
            absent = f"NOT IS_DEFINED({self._place})"
            parts.append(absent if value is ABSENT else f"{self._place} = {bind.name(value)}")
        if after is not None:
            sign = "<" if self._query.descending else ">"
            parts.append(f"{property_sql(('id',))} {sign}{'=' if after.at else ''} {bind.name(after.id)}")
        rows = await self._run(bind, parts, property_sql(("id",)), wanted + 1)
        more = len(rows) > wanted
        return Part(rows[:wanted], not more, more)

    async def _run(self, bind: Binder, parts: Sequence[str], order: str, top: int) -> list[Row]:
        where = f" WHERE {' AND '.join(parts)}" if parts else ""
        direction = "DESC" if self._query.descending else "ASC"
        text = f"{head(self._spec, self._query, top)}{where} ORDER BY {order} {direction}"
        documents = await self._fetch(self.key, bind.statement(text), top)
        return [Row(self._value_of(document), document["id"], document) for document in documents]

    def _value_of(self, document: Document) -> Any:
        value: Any = document
        for key in self._path:
            value = value.get(key, ABSENT) if isinstance(value, dict) else ABSENT
        return value

    def _by_id(self, rows: Sequence[Row]) -> list[Row]:
        """Equal values in the order of their ids; the groups stay as they came."""
        groups = groupby(rows, key=lambda row: _Same(row.value))
        return [r for _, group in groups for r in sorted(group, key=_id_of, reverse=self._query.descending)]


async def merged(lanes: Sequence[Lane], wanted: int, descending: bool) -> tuple[list[tuple[Lane, Row]], bool]:
    """The next rows of several partitions as one order (value, id, partition), and whether more follow."""
    portion = wanted if len(lanes) == 1 else max(8, -(-2 * wanted // max(1, len(lanes))))
    choose = max if descending else min
    found: list[tuple[Lane, Row]] = []
    while len(found) < wanted:
        empty = [lane for lane in lanes if not lane.rows and not lane.ended]
        for start in range(0, len(empty), AT_ONCE):
            some = empty[start : start + AT_ONCE]
            await asyncio.gather(*(lane.read(min(portion, wanted - len(found))) for lane in some))
        left = [lane for lane in lanes if lane.rows]
        if not left:
            break
        lane = choose(left, key=lambda one: (*_rank(one.rows[0].value), one.rows[0].id, one.key))
        found.append((lane, lane.rows.pop(0)))
    return found, any(lane.rows or not lane.ended for lane in lanes)


def _id_of(row: Row) -> str:
    return row.id


def _means_present(condition: Any, path: str) -> bool:
    if condition.path != path:
        return False
    return isinstance(condition, Equals | In | Range) or (isinstance(condition, IsDefined) and condition.defined)


def _alike(one: Any, other: Any) -> bool:
    return one is other if ABSENT in (one, other) else same(one, other)


class _Same:
    """Groups by JSON's equality."""

    __slots__ = ("value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and _alike(self.value, other.value)


def _rank(value: Any) -> tuple[int, Any]:
    """Cosmos's order of types; inside a type, of values."""
    if isinstance(value, bool):
        return 2, value
    if isinstance(value, int | float):
        return 3, value
    if isinstance(value, str):
        return 4, value
    return (0 if value is ABSENT else 1 if value is None else 5), 0
