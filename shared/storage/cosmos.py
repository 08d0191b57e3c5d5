"""The document store on Azure Cosmos DB."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from shared.azure_connections import AzureConnection
from shared.azure_identity import AzureIdentity
from shared.clock import Clock
from shared.errors import Conflict, InvalidInput, NotFound
from shared.storage.changes import MAX_BATCH
from shared.storage.cosmos_calls import PATIENCE_SECONDS, CosmosCalls, Doubt, Receipt
from shared.storage.cosmos_changes import (
    Deed,
    NewDocument,
    deed_of,
    etag_from_wire,
    etag_to_wire,
    new_document,
    patch_operations,
    stored_from_wire,
)
from shared.storage.cosmos_check import CosmosCheck
from shared.storage.cosmos_client import CosmosAccount
from shared.storage.cosmos_pages import CosmosPages
from shared.storage.names import check_id, check_partition
from shared.storage.port import (
    BatchOperation,
    Delete,
    Document,
    Page,
    PartitionKey,
    Patch,
    PatchOperation,
    Stored,
)
from shared.storage.query import Bucket, BucketQuery, Query
from shared.topology import ContainerSpec, topology

__all__ = ["CosmosStore"]

AT_ONCE = 32
"""Creates that are under way side by side in one ``create_each``."""

SETTLE_SECONDS = 2.0
"""For reading back a write whose answer was lost, beside the patience."""


class CosmosStore:
    """Documents in Cosmos DB. Implements :class:`shared.storage.port.DocumentStore`.

    It never raises when it is made and connects on first use, so that a broken setting is told by the calls.
    """

    def __init__(
        self,
        connection: AzureConnection,
        identity: AzureIdentity,
        *,
        database: str,
        clock: Clock,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """``patience``: seconds that one call may last with all its repetitions."""
        account = CosmosAccount(connection, identity, database=database, read_seconds=patience)
        self._account = account
        self._calls = CosmosCalls(account, patience)
        self._pages = CosmosPages(self._calls)
        self._check = CosmosCheck(self._calls, clock)
        self._specs = topology().containers

    # Writing -----------------------------------------------------------------------------------------------------

    async def create(self, container: str, document: Document) -> Stored:
        """See the port."""
        spec = self._spec(container)
        return await self._create(spec, new_document(spec, document))

    async def create_each(self, container: str, documents: Sequence[Document]) -> list[bool]:
        """See the port."""
        if len(documents) > MAX_BATCH:
            raise InvalidInput(f"At most {MAX_BATCH} documents at a time.", field="documents")
        spec = self._spec(container)
        new = [new_document(spec, document) for document in documents]
        first = {(one.partition, one.id): place for place, one in reversed(list(enumerate(new)))}
        partitions: dict[PartitionKey, list[int]] = {}
        for place in sorted(first.values()):  # whose id comes a second time exists by then
            partitions.setdefault(new[place].partition, []).append(place)
        slots = asyncio.Semaphore(AT_ONCE)
        outcomes = await asyncio.gather(
            *(self._create_some(spec, [new[place] for place in places], slots) for places in partitions.values()),
            return_exceptions=True,
        )
        created = [False] * len(new)
        for places, outcome in zip(partitions.values(), outcomes, strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            for place, made in zip(places, outcome, strict=True):
                created[place] = made
        return created

    async def replace(self, container: str, document: Document, *, etag: str | None = None) -> Stored:
        """See the port."""
        spec = self._spec(container)
        new = new_document(spec, document)
        options = _if_match(etag)

        async def call(proxy: Any, receipt: Receipt) -> Stored:
            await proxy.replace_item(new.id, new.document, response_hook=receipt, no_response=True, **options)
            return await self._written(spec, new, receipt)

        deed = Deed("replace", new.id, new.document, etag=etag)
        return await self._calls.run(spec, "replace", call, id=new.id, doubt=self._doubt(spec, new.partition, deed))

    async def upsert(self, container: str, document: Document) -> Stored:
        """See the port."""
        spec = self._spec(container)
        new = new_document(spec, document)

        async def call(proxy: Any, receipt: Receipt) -> Stored:
            await proxy.upsert_item(new.document, response_hook=receipt, no_response=True)
            return await self._written(spec, new, receipt)

        return await self._calls.run(spec, "upsert", call, id=new.id)

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
        spec = self._spec(container)
        key = check_partition(spec, partition)
        deed = deed_of(spec, key, Patch(id, operations, etag, when or {}))
        options = _if_match(etag) | ({} if deed.predicate is None else {"filter_predicate": deed.predicate})

        async def call(proxy: Any, receipt: Receipt) -> Stored:
            changes = patch_operations(deed.changes or [])
            return stored_from_wire(await proxy.patch_item(id, _wire(key), changes, response_hook=receipt, **options))

        return await self._calls.run(spec, "patch", call, id=id, doubt=self._doubt(spec, key, deed))

    async def delete(self, container: str, partition: PartitionKey, id: str, *, etag: str | None = None) -> None:
        """See the port."""
        spec = self._spec(container)
        key = check_partition(spec, partition)
        deed = deed_of(spec, key, Delete(id, etag))
        options = _if_match(etag)

        async def call(proxy: Any, receipt: Receipt) -> bool:
            await proxy.delete_item(id, _wire(key), response_hook=receipt, **options)
            return True

        async def gone() -> bool | None:
            return await self._now(spec, key, id) is None or None

        await self._calls.run(spec, "delete", call, id=deed.id, doubt=Doubt(gone))

    async def batch(
        self, container: str, partition: PartitionKey, operations: Sequence[BatchOperation]
    ) -> list[Stored | None]:
        """See the port."""
        if not 1 <= len(operations) <= MAX_BATCH:
            raise InvalidInput(f"A batch has 1 to {MAX_BATCH} operations.", field="operations")
        spec = self._spec(container)
        key = check_partition(spec, partition)
        deeds = [deed_of(spec, key, operation) for operation in operations]
        return await self._batch(spec, key, deeds)

    # Reading -----------------------------------------------------------------------------------------------------

    async def read(self, container: str, partition: PartitionKey, id: str) -> Stored:
        """See the port."""
        spec = self._spec(container)
        return await self._read(spec, check_partition(spec, partition), check_id(id))

    async def query(self, container: str, query: Query, *, partition: PartitionKey | None = None) -> Page:
        """See the port."""
        return await self._pages.page(self._spec(container), query, partition)

    async def buckets(self, container: str, query: BucketQuery, *, partition: PartitionKey) -> list[Bucket]:
        """See the port."""
        return await self._pages.buckets(self._spec(container), query, partition)

    async def check(self) -> None:
        """See the port."""
        await self._check.run(self._specs.values())

    async def close(self) -> None:
        """See the port."""
        await self._account.close()

    # Inside ------------------------------------------------------------------------------------------------------

    def _spec(self, container: str) -> ContainerSpec:
        try:
            return self._specs[container]
        except KeyError:
            raise InvalidInput(
                f"There is no container {container}; infra/topology.json names them.", field="container"
            ) from None

    async def _read(self, spec: ContainerSpec, key: PartitionKey, id: str, *, patience: float | None = None) -> Stored:
        async def call(proxy: Any, receipt: Receipt) -> Stored:
            return stored_from_wire(await proxy.read_item(id, _wire(key), response_hook=receipt))

        return await self._calls.run(spec, "read", call, id=id, patience=patience)

    async def _create(self, spec: ContainerSpec, new: NewDocument) -> Stored:
        async def call(proxy: Any, receipt: Receipt) -> Stored:
            await proxy.create_item(new.document, response_hook=receipt, no_response=True)
            return await self._written(spec, new, receipt)

        doubt = self._doubt(spec, new.partition, Deed("create", new.id, new.document))
        return await self._calls.run(spec, "create", call, id=new.id, doubt=doubt)

    async def _written(self, spec: ContainerSpec, new: NewDocument, receipt: Receipt) -> Stored:
        """What was written comes back without its body: we have it, and parsing it again would be half of the work."""
        etag = receipt.headers.get("etag")
        if not etag:
            return await self._read(spec, new.partition, new.id)
        return Stored(new.document, etag_from_wire(etag))

    async def _create_some(self, spec: ContainerSpec, new: list[NewDocument], slots: asyncio.Semaphore) -> list[bool]:
        """In one partition: all at once, or, when one of them is there, each by itself."""
        async with slots:
            if len(new) > 1:
                try:
                    await self._batch(spec, new[0].partition, [Deed("create", n.id, n.document) for n in new])
                except (Conflict, InvalidInput):  # invalid: together they are too large
                    return [await self._is_new(spec, one) for one in new]
                return [True] * len(new)
            return [await self._is_new(spec, one) for one in new]

    async def _is_new(self, spec: ContainerSpec, new: NewDocument) -> bool:
        try:
            await self._create(spec, new)
        except Conflict:
            return False
        return True

    async def _batch(self, spec: ContainerSpec, key: PartitionKey, deeds: Sequence[Deed]) -> list[Stored | None]:
        async def call(proxy: Any, receipt: Receipt) -> list[Stored | None]:
            operations = [deed.wire() for deed in deeds]
            results = await proxy.execute_item_batch(operations, _wire(key), response_hook=receipt)
            return [_result(deed, result) for deed, result in zip(deeds, results, strict=True)]

        doubt = Doubt(
            lambda: self._batch_done(spec, key, deeds),
            repeatable=any(deed.guarded for deed in deeds) or not any(deed.counts for deed in deeds),
            tells=any(deed.tells for deed in deeds),
        )
        name = deeds[0].id if len(deeds) == 1 else "one of the batch"
        return await self._calls.run(spec, "batch", call, id=name, doubt=doubt)

    # After a lost answer -----------------------------------------------------------------------------------------

    def _doubt(self, spec: ContainerSpec, key: PartitionKey, deed: Deed) -> Doubt[Stored]:
        async def settle() -> Stored | None:
            now = await self._now(spec, key, deed.id)
            return now if now is not None and deed.seems_done(now.document) else None

        return Doubt(settle, repeatable=not deed.counts, tells=deed.tells)

    async def _now(self, spec: ContainerSpec, key: PartitionKey, id: str) -> Stored | None:
        try:
            return await self._read(spec, key, id, patience=SETTLE_SECONDS)
        except NotFound:
            return None

    async def _batch_done(
        self, spec: ContainerSpec, key: PartitionKey, deeds: Sequence[Deed]
    ) -> list[Stored | None] | None:
        """All or none of it was done: what each document must look like at the end tells."""
        ends: dict[str, Deed] = {}
        for deed in deeds:
            before = ends.get(deed.id)
            known = deed.after(before.document if before is not None else None)
            ends[deed.id] = deed if known is None else Deed("replace", deed.id, known)
        now = dict(zip(ends, await asyncio.gather(*(self._now(spec, key, name) for name in ends)), strict=True))
        for name, deed in ends.items():
            found = now[name]
            if deed.tells and not deed.seems_done(None if found is None else found.document):
                return None
        return [None if deed.kind == "delete" else now[deed.id] for deed in deeds]


def _wire(key: PartitionKey) -> str | list[str]:
    return key[0] if len(key) == 1 else list(key)


def _if_match(etag: str | None) -> dict[str, Any]:
    if etag is None:
        return {}
    from azure.core import MatchConditions

    return {"etag": etag_to_wire(etag), "match_condition": MatchConditions.IfNotModified}


def _result(deed: Deed, result: Mapping[str, Any]) -> Stored | None:
    if deed.kind == "delete":
        return None
    if deed.document is not None:
        return Stored(deed.document, etag_from_wire(result.get("eTag")))
    return stored_from_wire(result["resourceBody"])
