"""What a write does to a document, decided in plain Python: the same rules for one operation and for a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from shared import json_text
from shared.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from shared.storage.changes import apply_change, body_of, checked_changes, lifetime_of, same
from shared.storage.names import check_id, path_keys
from shared.storage.port import (
    BatchOperation,
    Create,
    Delete,
    Document,
    Patch,
    Replace,
    Stored,
)
from shared.storage.sqlite_names import partition_text
from shared.storage.sqlite_schema import Table

__all__ = ["Change", "Creation", "Place", "Row", "Rule", "creation_of", "step_of", "upsert_step"]

Place = tuple[Table, str, str]
"""Table, partition in text form, id."""


class Row:
    """A document as it stands in its table. Never changed once it is decided on."""

    __slots__ = ("body", "columns", "document", "etag", "expires_at", "generation")

    def __init__(
        self, etag: str, expires_at: int | None, body: bytes, document: Document | None, columns: list[Any] | None
    ) -> None:
        self.etag = etag
        self.expires_at = expires_at
        """Microseconds since the epoch; ``None``: never."""
        self.body = body
        self.document = document
        self.columns = columns
        """Values of the indexed properties; ``None``: not looked at yet."""
        self.generation = 0
        """How often other processes had changed it when it was seen on disk."""

    def parsed(self) -> Document:
        """The document; a private one for whoever asks."""
        document: Document = json_text.load(self.body) if self.document is None else self.document
        return document

    def hand_over(self) -> Stored:
        """The document goes to its caller and is not kept: he may change it, our copy is the bytes."""
        document = self.parsed()
        self.document = None
        return Stored(document, self.etag)


Rule = Callable[[Row | None, int], Row | None]
"""From the row that is there (never an expired one) and the time in microseconds to the row that shall be there."""

Step = tuple[Place, Rule]


class Change:
    """Steps in one partition, all or none, at one time (microseconds)."""

    __slots__ = ("now", "steps")

    def __init__(self, steps: Sequence[Step], now: int) -> None:
        self.steps = steps
        self.now = now

    def places(self) -> list[Place]:
        """What it touches."""
        return [place for place, _ in self.steps]


class Creation:
    """Documents that are made if they are not there yet, each for itself, at one time (microseconds)."""

    __slots__ = ("made", "now")

    def __init__(self, made: Sequence[tuple[Place, Callable[[int], Row]]], now: int) -> None:
        self.made = made
        self.now = now

    def places(self) -> list[Place]:
        """What it touches."""
        return [place for place, _ in self.made]


def creation_of(table: Table, documents: Sequence[Document], now: int, new_etag: Callable[[], str]) -> Creation:
    """Nobody is given these documents back, so that none of them is parsed.

    Raises:
        InvalidInput: one of them can never be stored.
    """
    return Creation([_written(table, None, document, new_etag, keep=False) for document in documents], now)


def step_of(table: Table, partition: str | None, operation: BatchOperation, new_etag: Callable[[], str]) -> Step:
    """The step of one operation; checks everything that can be checked before the store is asked.
    ``partition`` is ``None`` where the document says it.

    Raises:
        InvalidInput: it can never work.
    """
    if isinstance(operation, Create):
        return _create(table, partition, operation.document, new_etag)
    if isinstance(operation, Replace):
        return _replace(table, partition, operation, new_etag)
    if isinstance(operation, Patch) and partition is not None:
        return _patch(table, partition, operation, new_etag)
    if isinstance(operation, Delete) and partition is not None:
        return _delete(table, partition, operation)
    raise InvalidInput(f"{type(operation).__name__} is no operation of a batch.", field="operations")


def upsert_step(table: Table, document: Document, new_etag: Callable[[], str]) -> Step:
    """Create or replace."""
    place, row = _written(table, None, document, new_etag)
    return place, lambda current, now: row(now)


def _written(
    table: Table, partition: str | None, document: Document, new_etag: Callable[[], str], *, keep: bool = True
) -> tuple[Place, Callable[[int], Row]]:
    body = body_of(document)
    name = check_id(document.get("id"))
    own = partition_text(table, tuple([document.get(level) for level in table.spec.partition_key]))  # type: ignore[misc]
    if partition is not None and own != partition:
        raise InvalidInput("The document's partition key is not the partition of this call.", field="partition")
    if not keep and all(type(document.get(level)) in _PLAIN for level in table.properties):
        return (table, own, name), _row_maker(table, body, document, new_etag, keep=False)
    normal: Document = json_text.load(body)
    return (table, own, name), _row_maker(table, body, normal, new_etag, keep=keep)


_PLAIN = frozenset({str, int, bool, type(None)})
"""Stand in a column as they stand in the document; of everything else the JSON form decides."""


def _row_maker(
    table: Table, body: bytes, document: Document, new_etag: Callable[[], str], *, keep: bool = True
) -> Callable[[int], Row]:
    lifetime = lifetime_of(table.spec, document)
    columns = table.values(document)
    kept = document if keep else None
    return lambda now: Row(new_etag(), None if lifetime is None else now + lifetime * 1_000_000, body, kept, columns)


def _create(table: Table, partition: str | None, document: Document, new_etag: Callable[[], str]) -> Step:
    place, row = _written(table, partition, document, new_etag)

    def rule(current: Row | None, now: int) -> Row:
        if current is not None:
            raise Conflict(f"{table.spec.name} has a document {place[2]} already.")
        return row(now)

    return place, rule


def _existing(place: Place, current: Row | None, etag: str | None) -> Row:
    if current is None:
        raise NotFound(f"{place[0].spec.name} has no document {place[2]}.")
    if etag is not None and etag != current.etag:
        raise PreconditionFailed(f"{place[2]} in {place[0].spec.name} was changed in the meantime; read it again.")
    return current


def _replace(table: Table, partition: str | None, operation: Replace, new_etag: Callable[[], str]) -> Step:
    place, row = _written(table, partition, operation.document, new_etag)

    def rule(current: Row | None, now: int) -> Row:
        _existing(place, current, operation.etag)
        return row(now)

    return place, rule


def _delete(table: Table, partition: str, operation: Delete) -> Step:
    place = (table, partition, check_id(operation.id))

    def rule(current: Row | None, now: int) -> None:
        _existing(place, current, operation.etag)

    return place, rule


def _patch(table: Table, partition: str, operation: Patch, new_etag: Callable[[], str]) -> Step:
    place = (table, partition, check_id(operation.id))
    changes = checked_changes(table.spec, operation.operations)
    when = [(path_keys(path), path, value) for path, value in operation.when.items()] if operation.when else ()

    def rule(current: Row | None, now: int) -> Row:
        existing = _existing(place, current, operation.etag)
        document: Document = json_text.load(existing.body)
        if existing.columns is None:  # so that only the indexes that change are written
            existing.columns = table.values(document)
        if when:
            _check_when(place, document, when)
        for keys, change in changes:
            apply_change(document, keys, change)
        return _row_maker(table, body_of(document), document, new_etag)(now)

    return place, rule


def _check_when(place: Place, document: Document, when: Sequence[tuple[Sequence[str], str, Any]]) -> None:
    for keys, path, expected in when:
        value: Any = document
        for key in keys:
            value = value.get(key, _MISSING) if isinstance(value, dict) else _MISSING
        if not same(value, expected):
            raise PreconditionFailed(f"{path} of {place[2]} in {place[0].spec.name} has another value by now.")


_MISSING: Any = object()
