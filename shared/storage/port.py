"""The document store port. Two implementations: ``cosmos.py`` (Azure) and ``sqlite.py`` (embedded).

One contract suite (``tests/contract/test_document_store.py``) runs on both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from shared.storage.query import Bucket, BucketQuery, Query

__all__ = [
    "BatchOperation",
    "Create",
    "Delete",
    "Document",
    "DocumentStore",
    "Increment",
    "Page",
    "PartitionKey",
    "Patch",
    "PatchOperation",
    "RemovePath",
    "Replace",
    "SetPath",
    "Stored",
    "every",
]

Document = dict[str, Any]
"""A JSON object with ``id`` and the container's partition key properties at the top level."""

PartitionKey = tuple[str, ...]
"""The values of the partition key, in the order of the topology. A query may give a prefix of it."""


class Stored(NamedTuple):
    """A document as it stands in the store. Treat ``document`` as read-only: it may be shared."""

    document: Document
    etag: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a query."""

    items: list[Stored]
    continuation: str | None
    """Give it to the next query; ``None``: that was all."""


class SetPath(NamedTuple):
    """Set a property (created if absent). ``path`` is dotted; its parents must exist."""

    path: str
    value: Any


@dataclass(frozen=True, slots=True)
class Increment:
    """Add to a number (absent counts as 0). ``by`` lies between -2**53 and 2**53.

    When the answer of a patch is lost and nothing in it tells whether it was done (only increments, no ``SetPath``),
    ``Unavailable`` is raised: it may have been counted."""

    path: str
    by: int | float = 1


@dataclass(frozen=True, slots=True)
class RemovePath:
    """Remove a property that exists."""

    path: str


PatchOperation = SetPath | Increment | RemovePath


@dataclass(frozen=True, slots=True)
class Create:
    """In a batch: create, or fail the whole batch with ``Conflict``."""

    document: Document


@dataclass(frozen=True, slots=True)
class Replace:
    """In a batch: replace, or fail with ``NotFound`` or ``PreconditionFailed``."""

    document: Document
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """In a batch: patch, or fail with ``NotFound`` or ``PreconditionFailed``."""

    id: str
    operations: Sequence[PatchOperation]
    etag: str | None = None
    when: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delete:
    """In a batch: delete, or fail with ``NotFound`` or ``PreconditionFailed``."""

    id: str
    etag: str | None = None


BatchOperation = Create | Replace | Patch | Delete


class DocumentStore(Protocol):
    """Documents in containers. A write has happened - durably - when its call returns.

    Every method may raise ``Unavailable`` (the backend is away or throttles us).
    """

    async def create(self, container: str, document: Document) -> Stored:
        """Create. Raises ``Conflict`` when the id exists in that partition: for deterministic ids that means
        "done already". Raises ``InvalidInput`` for an id with ``/ \\ ? #``, over 255 characters, ``.`` or ``..``,
        or a missing partition key."""
        ...

    async def create_each(self, container: str, documents: Sequence[Document]) -> list[bool]:
        """Create several, each by itself, in whatever partitions: ``True`` where it was created, ``False`` where the
        id existed already (see ``create``). At most 100.

        Raises ``Unavailable`` when one of them could not be written; the others may have been."""
        ...

    async def read(self, container: str, partition: PartitionKey, id: str) -> Stored:
        """A point read. Raises ``NotFound``."""
        ...

    async def replace(self, container: str, document: Document, *, etag: str | None = None) -> Stored:
        """Replace the whole document. Raises ``NotFound``, ``PreconditionFailed`` (the etag is stale)."""
        ...

    async def upsert(self, container: str, document: Document) -> Stored:
        """Create or replace, last writer wins."""
        ...

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
        """Change some properties (at most 10), atomically. ``when`` maps a dotted path to the value it must have.
        Raises ``NotFound``; ``PreconditionFailed`` when the etag is stale or ``when`` does not hold."""
        ...

    async def delete(self, container: str, partition: PartitionKey, id: str, *, etag: str | None = None) -> None:
        """Delete. Raises ``NotFound``, ``PreconditionFailed``."""
        ...

    async def query(self, container: str, query: Query, *, partition: PartitionKey | None = None) -> Page:
        """One page. ``partition`` may be the full key, a prefix of it, or ``None`` for all. Expired documents
        never appear. A page is full or the last, except after a long search; go on while there is a continuation.
        Raises ``InvalidInput`` for a continuation that is not ours, and for ``order_by`` over partitions that are not
        named (see ``Query``)."""
        ...

    async def buckets(self, container: str, query: BucketQuery, *, partition: PartitionKey) -> list[Bucket]:
        """Minimum, maximum, average and count per series and bucket inside one partition (or a prefix of a
        hierarchical key), ordered by time, then series. Empty buckets are left out."""
        ...

    async def batch(
        self, container: str, partition: PartitionKey, operations: Sequence[BatchOperation]
    ) -> list[Stored | None]:
        """Up to 100 operations in one partition, all or none. The error of the first that fails is raised."""
        ...

    async def check(self) -> None:
        """Can we read and write? Returns, or raises ``Unavailable`` with what to do. For the readiness probe."""
        ...

    async def close(self) -> None:
        """Let go of files and connections. Never needed for durability."""
        ...


async def every(
    store: DocumentStore, container: str, query: Query, *, partition: PartitionKey | None = None, at_most: int = 100_000
) -> AsyncIterator[Stored]:
    """All documents of a query, page after page, ``at_most`` so many."""
    given = 0
    continuation: str | None = query.continuation
    while True:
        page = await store.query(
            container,
            Query(query.where, query.order_by, query.descending, query.limit, continuation, query.select),
            partition=partition,
        )
        for item in page.items:
            if given >= at_most:
                return
            given += 1
            yield item
        continuation = page.continuation
        if continuation is None:
            return
