"""The embedded document store: SQLite, one table per container, group commit."""

from __future__ import annotations

import itertools
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from shared.clock import Clock, iso
from shared.errors import InvalidInput, NotFound
from shared.sqlite_file import SqliteFile
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
from shared.storage.sqlite_changes import Row, Step, check_id, partition_text, step_of, upsert_step
from shared.storage.sqlite_query import compile_buckets, compile_query, continuation_of
from shared.storage.sqlite_schema import Table, create_tables
from shared.storage.sqlite_writes import Change, DocumentWrites, Place, fetch
from shared.topology import topology

__all__ = ["SqliteStore"]

MAX_BATCH = 100


class SqliteStore:
    """Documents in one SQLite file. Implements :class:`shared.storage.port.DocumentStore`."""

    def __init__(self, file: SqliteFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._tables = {name: Table.of(spec) for name, spec in topology().containers.items()}
        self._writes = DocumentWrites()
        self._etags = itertools.count(1)
        self._run = secrets.token_hex(4)
        self._closed = False
        file.prepare(lambda connection: create_tables(connection, list(self._tables.values())))
        file.retain()
        file.when_idle(self._purge)

    # Writing -----------------------------------------------------------------------------------------------------

    async def create(self, container: str, document: Document) -> Stored:
        """See the port."""
        return await self._one(container, self._key_of(container, document), Create(document))

    async def replace(self, container: str, document: Document, *, etag: str | None = None) -> Stored:
        """See the port."""
        return await self._one(container, self._key_of(container, document), Replace(document, etag))

    async def upsert(self, container: str, document: Document) -> Stored:
        """See the port."""
        table = self._table(container)
        partition = self._key_of(container, document)
        stored = await self._change(table, partition, [upsert_step(table, partition, document, self._new_etag)])
        assert stored[0] is not None  # noqa: S101 - an upsert leaves a document
        return stored[0]

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
        key = partition_text(self._table(container), partition)
        return await self._one(container, key, Patch(id, operations, etag, when or {}))

    async def delete(self, container: str, partition: PartitionKey, id: str, *, etag: str | None = None) -> None:
        """See the port."""
        table = self._table(container)
        key = partition_text(table, partition)
        await self._change(table, key, [step_of(table, key, Delete(id, etag), self._new_etag)])

    async def batch(
        self, container: str, partition: PartitionKey, operations: Sequence[BatchOperation]
    ) -> list[Stored | None]:
        """See the port."""
        if not 1 <= len(operations) <= MAX_BATCH:
            raise InvalidInput(f"A batch has 1 to {MAX_BATCH} operations.", field="operations")
        table = self._table(container)
        key = partition_text(table, partition)
        steps = [step_of(table, key, operation, self._new_etag) for operation in operations]
        return await self._change(table, key, steps)

    async def _one(self, container: str, partition: str, operation: Create | Replace | Patch) -> Stored:
        table = self._table(container)
        stored = (await self._change(table, partition, [step_of(table, partition, operation, self._new_etag)]))[0]
        assert stored is not None  # noqa: S101 - none of these deletes
        return stored

    async def _change(self, table: Table, partition: str, steps: list[Step]) -> list[Stored | None]:
        change = Change(table, partition, steps, self._now())
        result: list[Stored | None] = await self._file.write(self._writes, change)
        return result

    # Reading -----------------------------------------------------------------------------------------------------

    async def read(self, container: str, partition: PartitionKey, id: str) -> Stored:
        """See the port."""
        table = self._table(container)
        place = Place(table, partition_text(table, partition), check_id(id))
        row: Row | None = await self._file.read(_look, place)
        if row is None or (row.expires_at is not None and row.expires_at <= self._now()):
            raise NotFound(f"{container} has no document {id}.")
        return row.stored()

    async def query(self, container: str, query: Query, *, partition: PartitionKey | None = None) -> Page:
        """See the port."""
        table = self._table(container)
        statement = compile_query(table, query, partition, self._now())
        rows = await self._file.query(lambda c: c.execute(statement.sql, statement.values).fetchall())
        more = len(rows) > query.limit
        rows = rows[: query.limit]
        items = [Row(row[0], None, row[1], None, None).stored() for row in rows]
        if query.select is not None:
            keep = {*query.select, "id", *table.spec.partition_key}
            items = [Stored({k: v for k, v in i.document.items() if k in keep}, i.etag) for i in items]
        return Page(items, continuation_of(statement.fingerprint, list(rows[-1][2:])) if more else None)

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

    def _key_of(self, container: str, document: Document) -> str:
        table = self._table(container)
        if not isinstance(document, dict):
            raise InvalidInput("A document is a JSON object.", field="document")
        return partition_text(table, tuple(document.get(name) for name in table.spec.partition_key))  # type: ignore[misc]

    def _new_etag(self) -> str:
        return f"{self._run}-{next(self._etags):x}"

    def _now(self) -> int:
        return int(self._clock.now().timestamp() * 1_000_000)

    def _purge(self, connection: sqlite3.Connection) -> bool:
        now = self._now()
        more = False
        for table in self._tables.values():
            gone = connection.execute(
                f'DELETE FROM "{table.name}" WHERE number IN '  # noqa: S608 - our own name
                f'(SELECT number FROM "{table.name}" WHERE expires_at <= ? LIMIT 200)',
                (now,),
            )
            more = more or gone.rowcount == 200
        return more


def _look(connection: sqlite3.Connection, places: Sequence[Place]) -> list[Row | None]:
    rows = fetch(connection, places)
    return [rows.get(place) for place in places]
