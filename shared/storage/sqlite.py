"""The embedded document store: SQLite, one table per container, group commit."""

from __future__ import annotations

import itertools
import secrets
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

from shared import json_text
from shared.clock import Clock, iso
from shared.errors import InvalidInput, NotFound
from shared.sqlite_crew import AREAS
from shared.sqlite_file import SqliteFile
from shared.storage.changes import MAX_BATCH
from shared.storage.names import check_id
from shared.storage.port import (
    BatchOperation,
    Create,
    Delete,
    Document,
    Page,
    PartitionKey,
    Patch,
    PatchOperation,
    Replace,
    Stored,
)
from shared.storage.query import Bucket, BucketQuery, Query
from shared.storage.sqlite_buckets import compile_buckets
from shared.storage.sqlite_cache import ELSEWHERE, DocumentCache
from shared.storage.sqlite_changes import Change, Place, Row, Step, creation_of, step_of, upsert_step
from shared.storage.sqlite_names import partition_text
from shared.storage.sqlite_query import PageStatements, compile_query, continuation_of
from shared.storage.sqlite_schema import HOUR, Table, create_tables
from shared.storage.sqlite_writes import DocumentWrites, fetch
from shared.topology import topology

__all__ = ["SqliteStore"]

PURGE = 200
"""Expired rows per container and quiet moment."""


class SqliteStore:
    """Documents in one SQLite file. Implements :class:`shared.storage.port.DocumentStore`."""

    def __init__(self, file: SqliteFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._tables = {name: Table.of(spec) for name, spec in topology().containers.items()}
        self._crew = file.crew
        self._signals = {name: AREAS + number for number, name in enumerate(self._tables)}
        alone = self._crew is None
        self._cache = DocumentCache(generation_of=None if alone else self._changed_elsewhere)
        self._writes = DocumentWrites(self._cache, None if alone else self._tell)
        self._etags = itertools.count(1)
        self._run = secrets.token_hex(4)
        self._closed = False
        file.prepare(lambda connection: create_tables(connection, list(self._tables.values())))
        file.retain()
        file.when_idle(self._purge)

    @property
    def file(self) -> SqliteFile:
        """What it writes to, in the order of asking."""
        return self._file

    # Writing -----------------------------------------------------------------------------------------------------

    async def create(self, container: str, document: Document) -> Stored:
        """See the port."""
        return await self._one(step_of(self._table(container), None, Create(document), self._new_etag))

    async def create_each(self, container: str, documents: Sequence[Document]) -> list[bool]:
        """See the port."""
        if len(documents) > MAX_BATCH:
            raise InvalidInput(f"At most {MAX_BATCH} documents at a time.", field="documents")
        creation = creation_of(self._table(container), documents, self._now(), self._new_etag)
        fresh: list[bool] = await self._file.write(self._writes, creation)
        return fresh

    async def replace(self, container: str, document: Document, *, etag: str | None = None) -> Stored:
        """See the port."""
        return await self._one(step_of(self._table(container), None, Replace(document, etag), self._new_etag))

    async def upsert(self, container: str, document: Document) -> Stored:
        """See the port."""
        return await self._one(upsert_step(self._table(container), document, self._new_etag))

    async def patch(
        self,
        container: str,
        partition: PartitionKey,
        id: str,
        operations: Sequence[PatchOperation],
        *,
        etag: str | None = None,
        when: Mapping[str, Any] | None = None,
    ) -> Stored:
        """See the port."""
        table = self._table(container)
        key = partition_text(table, partition)
        return await self._one(step_of(table, key, Patch(id, operations, etag, when or {}), self._new_etag))

    async def delete(self, container: str, partition: PartitionKey, id: str, *, etag: str | None = None) -> None:
        """See the port."""
        table = self._table(container)
        key = partition_text(table, partition)
        await self._change([step_of(table, key, Delete(id, etag), self._new_etag)])

    async def batch(
        self, container: str, partition: PartitionKey, operations: Sequence[BatchOperation]
    ) -> list[Stored | None]:
        """See the port."""
        if not 1 <= len(operations) <= MAX_BATCH:
            raise InvalidInput(f"A batch has 1 to {MAX_BATCH} operations.", field="operations")
        table = self._table(container)
        key = partition_text(table, partition)
        return await self._change([step_of(table, key, operation, self._new_etag) for operation in operations])

    async def _one(self, step: Step) -> Stored:
        stored: Stored | None = (await self._file.write(self._writes, Change([step], self._now())))[0]
        assert stored is not None  # noqa: S101 - none of these deletes
        return stored

    async def _change(self, steps: list[Step]) -> list[Stored | None]:
        result: list[Stored | None] = await self._file.write(self._writes, Change(steps, self._now()))
        return result

    # Reading -----------------------------------------------------------------------------------------------------

    async def read(self, container: str, partition: PartitionKey, id: str) -> Stored:
        """See the port."""
        table = self._table(container)
        place: Place = (table, partition_text(table, partition), check_id(id))
        row = self._cache.get(place)
        if row is None or row is ELSEWHERE:
            row = await self._file.read(self._look, place)
        if row is None or (row.expires_at is not None and row.expires_at <= self._now()):
            raise NotFound(f"{container} has no document {id}.")
        return Stored(json_text.load(row.body), row.etag)

    def _look(self, connection: sqlite3.Connection, places: Sequence[Place]) -> list[Row | None]:
        """In the reader's thread."""
        mark = self._cache.mark()
        # Before the look: what another process changes meanwhile then counts as not seen.
        generations = {} if self._crew is None else {place: self._changed_elsewhere(place) for place in places}
        rows = fetch(connection, places)
        for place in generations.keys() & rows.keys():
            rows[place].generation = generations[place]
        self._cache.fill(rows.items(), mark)
        return [rows.get(place) for place in places]

    async def query(self, container: str, query: Query, *, partition: PartitionKey | None = None) -> Page:
        """See the port."""
        table = self._table(container)
        page = compile_query(table, query, partition, self._now())
        rows = await self._file.query(lambda connection: _rows(connection, page, query.limit + 1))
        more = len(rows) > query.limit
        items = [Stored(json_text.load(row[1]), row[0]) for row in rows[: query.limit]]
        if query.select is not None:
            keep = {*query.select, "id", *table.spec.partition_key}
            items = [Stored({k: v for k, v in i.document.items() if k in keep}, i.etag) for i in items]
        return Page(items, continuation_of(page.fingerprint, rows[query.limit - 1][2:]) if more else None)

    async def buckets(self, container: str, query: BucketQuery, *, partition: PartitionKey) -> list[Bucket]:
        """See the port."""
        statement = compile_buckets(self._table(container), query, partition, self._now())
        rows = await self._file.query(lambda c: c.execute(statement.sql, statement.values).fetchall())
        return [
            Bucket(iso(datetime.fromtimestamp(number * query.seconds, UTC)), series, low, high, average, count)
            for number, series, low, high, average, count in rows
        ]

    async def check(self) -> None:
        """See the port."""
        await self._file.write(self._writes, None)
        await self._file.query(lambda c: c.execute("SELECT 1").fetchone())

    async def close(self) -> None:
        """See the port."""
        if not self._closed:
            self._closed = True
            self._file.release()

    # Inside ------------------------------------------------------------------------------------------------------

    def _table(self, container: str) -> Table:
        try:
            return self._tables[container]
        except KeyError:
            raise InvalidInput(
                f"There is no container {container}; infra/topology.json names them.", field="container"
            ) from None

    def signal(self, container: str) -> None:
        """Let the other processes over this file know that what they remember of this container is outdated."""
        if self._crew is not None:
            self._crew.note(self._signals[container])

    def signals(self, container: str) -> int:
        """A number that grows with every :meth:`signal` of another process; 0 where there is none."""
        return 0 if self._crew is None else self._crew.elsewhere(self._signals[container])

    def _changed_elsewhere(self, place: Place) -> int:
        return 0 if self._crew is None else self._crew.elsewhere(_area(place))

    def _tell(self, places: Iterable[Place]) -> None:
        if self._crew is not None:
            for place in places:
                self._crew.note(_area(place))

    def _new_etag(self) -> str:
        return f"{self._run}-{next(self._etags):x}"

    def _now(self) -> int:
        return round(self._clock.now().timestamp() * 1_000_000)

    def _purge(self, connection: sqlite3.Connection) -> bool:
        """Remove some expired rows. Nobody sees them any more, so this never hurries."""
        hour = self._now() // HOUR
        more = False
        for table in self._tables.values():
            if table.spec.ttl_seconds is None:
                continue
            gone = connection.execute(
                f'DELETE FROM "{table.name}" WHERE number IN '  # noqa: S608 - our own name
                f'(SELECT number FROM "{table.name}" WHERE purge <= ? LIMIT {PURGE})',
                (hour,),
            )
            more = more or gone.rowcount == PURGE
        return more


def _area(place: Place) -> int:
    """The same number in every process, and seldom the same for two documents."""
    return crc32((place[1] + place[2]).encode()) % AREAS


def _rows(connection: sqlite3.Connection, page: PageStatements, wanted: int) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for statement in page.statements:
        rows += connection.execute(statement.sql, [*statement.values, wanted - len(rows)])
        if len(rows) >= wanted:
            break
    return rows
