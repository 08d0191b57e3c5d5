"""Reading many documents: pages in order, pages without, and sums by bucket."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from shared.clock import iso
from shared.errors import InvalidInput
from shared.storage.cosmos_calls import CosmosCalls, Receipt
from shared.storage.cosmos_changes import stored_from_wire
from shared.storage.cosmos_continuation import fingerprint, pack, unpack
from shared.storage.cosmos_order import ABSENT, Lane, Place, merged
from shared.storage.cosmos_query import Binder, Statement, bucket_statement, check_limit, conditions, head
from shared.storage.names import check_prefix
from shared.storage.port import Document, Page, PartitionKey, Stored
from shared.storage.query import Bucket, BucketQuery, Query
from shared.storage.scope import check_order, fixed_key, ordered_partitions
from shared.topology import ContainerSpec

__all__ = ["CosmosPages"]

MAX_PAGES = 50
"""Requests for one page of ours: Cosmos may answer a part, or nothing yet. Then the page is given as it is."""

BUCKET_ROWS = 5_000
"""Rows that are asked for at once; Cosmos sends at most 4 MB."""

MAX_BUCKET_ROWS = 1_000_000

Slice = tuple[list[Document], str | None]
"""Rows, and Cosmos's own continuation."""


class CosmosPages:
    """Queries of the store."""

    def __init__(self, calls: CosmosCalls) -> None:
        self._calls = calls

    async def page(self, spec: ContainerSpec, query: Query, partition: PartitionKey | None) -> Page:
        """See the port."""
        check_limit(query.limit)
        key = fixed_key(spec, query.where, partition)
        whose = fingerprint(spec, query, partition)
        if query.order_by is not None:
            check_order(spec, query.order_by)
            keys = ordered_partitions(spec, query.where, partition, key)
            return await self._ordered(spec, query, keys, whose)
        return await self._unordered(spec, query, key, whose)

    async def _unordered(self, spec: ContainerSpec, query: Query, key: PartitionKey, whose: str) -> Page:
        bind = Binder()
        parts = conditions(bind, query.where, spec, key)
        statement = bind.statement(head(spec, query) + (f" WHERE {' AND '.join(parts)}" if parts else ""))
        token = None if query.continuation is None else _text(unpack(whose, query.continuation))
        found: list[Document] = []
        for _ in range(MAX_PAGES):
            rows, token = await self._slice(spec, key, statement, query.limit - len(found), token)
            found += rows
            if token is None or len(found) >= query.limit:
                break
        return Page([_given(spec, query, row) for row in found], None if token is None else pack(whose, token))

    async def _ordered(self, spec: ContainerSpec, query: Query, keys: tuple[PartitionKey, ...], whose: str) -> Page:
        async def fetch(key: PartitionKey, statement: Statement, top: int) -> list[Document]:
            rows: list[Document] = []
            token: str | None = None
            for _ in range(MAX_PAGES):
                some, token = await self._slice(spec, key, statement, top - len(rows), token)
                rows += some
                if token is None or len(rows) >= top:
                    break
            return rows

        after = None if query.continuation is None else _place(unpack(whose, query.continuation))
        lanes = [Lane(spec, query, key, fetch, place) for key, place in _starts(spec, query, keys, after)]
        rows, more = await merged(lanes, query.limit, query.descending)
        items = [_given(spec, query, row.document) for _, row in rows]
        if not more or not rows:
            return Page(items, None)
        lane, last = rows[-1]
        whole = len(lanes) == 1 and lane.last is not None and lane.last.whole
        value = [] if last.value is ABSENT else [last.value]
        return Page(items, pack(whose, [value, last.id, whole, lane.key[-1]]))

    async def buckets(self, spec: ContainerSpec, query: BucketQuery, partition: PartitionKey) -> list[Bucket]:
        """See the port."""
        statement = bucket_statement(query)
        key = check_prefix(spec, partition)
        sums = _Sums(query)
        token: str | None = None
        while True:
            rows, token = await self._slice(spec, key, statement, BUCKET_ROWS, token)
            sums.add(rows)
            if token is None:
                return sums.buckets()
            if sums.rows > MAX_BUCKET_ROWS:
                raise InvalidInput(
                    f"More than {MAX_BUCKET_ROWS} documents lie between start and end; ask for a shorter time.",
                    field="end",
                )

    async def _slice(
        self, spec: ContainerSpec, key: PartitionKey, statement: Statement, wanted: int, token: str | None
    ) -> Slice:
        """One page of Cosmos's."""
        scope: dict[str, Any] = {}
        if key:  # a whole key, or the beginning of a hierarchical one; without any, all partitions
            scope["partition_key"] = key[0] if len(spec.partition_key) == 1 else list(key)

        async def call(proxy: Any, receipt: Receipt) -> Slice:
            paged = proxy.query_items(
                statement.text,
                parameters=statement.parameters,
                max_item_count=wanted,
                response_hook=receipt,
                **scope,
            )
            try:
                rows = [row async for row in await anext(paged.by_page(token))]
            except StopAsyncIteration:
                rows = []
            except ValueError as err:
                if token is None:
                    raise
                raise InvalidInput(
                    "The continuation is no longer valid; ask without it.", field="continuation"
                ) from err
            # Not the pager's token: that comes from a variable which all requests of the client share. These headers
            # are of this very answer.
            return rows, receipt.headers.get("x-ms-continuation") or None

        return await self._calls.run(spec, "query", call)


def _given(spec: ContainerSpec, query: Query, row: Document) -> Stored:
    stored = stored_from_wire(row)
    if query.select is not None and query.order_by is not None:
        keep = {*query.select, "id", *spec.partition_key}
        return Stored({k: v for k, v in stored.document.items() if k in keep}, stored.etag)
    return stored


def _text(token: Any) -> str:
    if not isinstance(token, str):
        raise _foreign()
    return token


def _place(said: Any) -> tuple[Place, str]:
    match said:
        case [[] as value, str() as name, bool() as whole, str() as level]:
            return Place(ABSENT, name, whole), level
        case [[value], str() as name, bool() as whole, str() as level]:
            return Place(value, name, whole), level
        case _:
            raise _foreign()


def _foreign() -> InvalidInput:
    return InvalidInput("The continuation is not one of ours; ask without it.", field="continuation")


def _starts(
    spec: ContainerSpec, query: Query, keys: Sequence[PartitionKey], after: tuple[Place, str] | None
) -> Iterator[tuple[PartitionKey, Place | None]]:
    """The partitions that still have something to give, and where each goes on."""
    for key in keys:
        if after is None:
            yield key, None
            continue
        place, level = after
        behind = key[-1] < level if query.descending else key[-1] > level
        if query.order_by != spec.partition_key[-1] or key[-1] == level:
            yield key, Place(place.value, place.id, place.whole, at=behind)
        elif behind:  # the order is that of the partitions: they come one after the other
            yield key, None


class _Sums:
    """Minimum, maximum, sum and count per bucket and series."""

    def __init__(self, query: BucketQuery) -> None:
        self.rows = 0
        self._seconds = query.seconds
        self._names = {f"s{number}": name for number, name in enumerate(query.value_paths)}
        self._cells: dict[tuple[int, str], list[float]] = {}

    def add(self, rows: list[Mapping[str, Any]] | list[Document]) -> None:
        """Take these in."""
        self.rows += len(rows)
        for row in rows:
            bucket = int(datetime.fromisoformat(row["t"]).timestamp() // self._seconds)
            for short, value in row.items():
                if short == "t" or isinstance(value, bool) or not isinstance(value, int | float):
                    continue
                cell = self._cells.get((bucket, short))
                if cell is None:
                    self._cells[bucket, short] = [value, value, value, 1]
                    continue
                if value < cell[0]:
                    cell[0] = value
                elif value > cell[1]:
                    cell[1] = value
                cell[2] += value
                cell[3] += 1

    def buckets(self) -> list[Bucket]:
        """In order of time, then series."""
        named = sorted((bucket, self._names[short], cell) for (bucket, short), cell in self._cells.items())
        return [
            Bucket(iso(datetime.fromtimestamp(bucket * self._seconds, UTC)), name, low, high, total / count, int(count))
            for bucket, name, (low, high, total, count) in named
        ]
