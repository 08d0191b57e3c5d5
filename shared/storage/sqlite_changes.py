"""What a write does to a document, decided in plain Python: the same rules for one operation and for a batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from shared import json_text
from shared.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from shared.storage.port import (
    BatchOperation,
    Create,
    Delete,
    Document,
    Increment,
    Patch,
    PatchOperation,
    RemovePath,
    Replace,
    SetPath,
    Stored,
)
from shared.storage.sqlite_names import check_id, partition_text, path_keys
from shared.storage.sqlite_schema import Table

__all__ = ["Change", "Place", "Row", "Rule", "step_of", "upsert_step"]

MAX_PATCHES = 10
MAX_BODY = 2 * 1024 * 1024
"""Bytes of a document, as in Cosmos."""

Place = tuple[Table, str, str]
"""Table, partition in text form, id."""


class Row:
    """A document as it stands in its table. Never changed once it is decided on."""

    __slots__ = ("body", "columns", "document", "etag", "expires_at")

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
    table: Table, partition: str | None, document: Document, new_etag: Callable[[], str]
) -> tuple[Place, Callable[[int], Row]]:
    if not isinstance(document, dict):
        raise InvalidInput("A document is a JSON object.", field="document")
    name = check_id(document.get("id"))
    own = partition_text(table, tuple([document.get(level) for level in table.spec.partition_key]))  # type: ignore[misc]
    if partition is not None and own != partition:
        raise InvalidInput("The document's partition key is not the partition of this call.", field="partition")
    body = _bytes(document)
    normal: Document = json_text.load(body)
    return (table, own, name), _row_maker(table, body, normal, new_etag)


def _row_maker(table: Table, body: bytes, document: Document, new_etag: Callable[[], str]) -> Callable[[int], Row]:
    lifetime = _lifetime(table, document)
    columns = table.values(document)
    return lambda now: Row(new_etag(), None if lifetime is None else now + lifetime, body, document, columns)


def _bytes(document: Document) -> bytes:
    try:
        body = json_text.dump(document)
    except TypeError as err:  # what orjson raises is one
        raise InvalidInput(f"The document is no JSON: {err}.", field="document") from err
    if len(body) > MAX_BODY:
        raise InvalidInput(f"The document has {len(body)} bytes; {MAX_BODY} are allowed.", field="document")
    return body


def _lifetime(table: Table, document: Document) -> int | None:
    """Microseconds it lives, ``None``: for ever."""
    if table.spec.ttl_seconds is None:
        return None
    ttl = document.get("ttl")
    if ttl is None:
        return table.spec.ttl_seconds * 1_000_000
    if isinstance(ttl, bool) or not isinstance(ttl, int) or not (ttl == -1 or 1 <= ttl < 2**31):
        raise InvalidInput("ttl is a whole number of seconds, at least 1, or -1 for ever.", field="ttl")
    return None if ttl == -1 else ttl * 1_000_000


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
    changes = _checked_changes(table, operation.operations)
    when = [(path_keys(path), path, value) for path, value in operation.when.items()] if operation.when else ()

    def rule(current: Row | None, now: int) -> Row:
        existing = _existing(place, current, operation.etag)
        document: Document = json_text.load(existing.body)
        if existing.columns is None:  # so that only the indexes that change are written
            existing.columns = table.values(document)
        if when:
            _check_when(place, document, when)
        for keys, change in changes:
            _apply_change(document, keys, change)
        return _row_maker(table, _bytes(document), document, new_etag)(now)

    return place, rule


Changes = list[tuple[Sequence[str], PatchOperation]]


def _checked_changes(table: Table, operations: Sequence[PatchOperation]) -> Changes:
    if not 1 <= len(operations) <= MAX_PATCHES:
        raise InvalidInput(f"A patch has 1 to {MAX_PATCHES} operations.", field="operations")
    changes: Changes = []
    for operation in operations:
        keys = path_keys(operation.path)
        if keys[0] == "id" or keys[0] in table.spec.partition_key:
            raise InvalidInput(f"{keys[0]} names the document and cannot be changed.", field=operation.path)
        changes.append((keys, _checked_change(operation)))
    return changes


def _checked_change(operation: PatchOperation) -> PatchOperation:
    if isinstance(operation, SetPath):
        value = operation.value
        if value is None or type(value) in (str, int, bool):
            return operation
        try:  # plain JSON from here on: times become text, what is no JSON is refused
            return SetPath(operation.path, orjson.loads(json_text.dump(value)))
        except TypeError as err:
            raise InvalidInput(f"The value of {operation.path} is no JSON: {err}.", field=operation.path) from err
    if isinstance(operation, Increment):
        by = operation.by
        if isinstance(by, bool) or not isinstance(by, int | float) or not math.isfinite(by):
            raise InvalidInput("An increment adds a number.", field=operation.path)
        return operation
    if isinstance(operation, RemovePath):
        return operation
    raise InvalidInput(f"{type(operation).__name__} is no patch operation.", field="operations")


def _check_when(place: Place, document: Document, when: Sequence[tuple[Sequence[str], str, Any]]) -> None:
    for keys, path, expected in when:
        value: Any = document
        for key in keys:
            value = value.get(key, _MISSING) if isinstance(value, dict) else _MISSING
        if not _same(value, expected):
            raise PreconditionFailed(f"{path} of {place[2]} in {place[0].spec.name} has another value by now.")


_MISSING: Any = object()


def _same(value: Any, expected: Any) -> bool:
    """Equality as JSON has it: ``true`` is not 1, 1 is 1.0."""
    if isinstance(value, bool) or isinstance(expected, bool):
        return value is expected
    if isinstance(value, Mapping) and isinstance(expected, Mapping):
        return value.keys() == expected.keys() and all(_same(value[k], expected[k]) for k in value)
    if isinstance(value, list) and isinstance(expected, list | tuple):
        return len(value) == len(expected) and all(_same(a, b) for a, b in zip(value, expected, strict=True))
    return bool(value == expected)


def _apply_change(document: Document, keys: Sequence[str], operation: PatchOperation) -> None:
    holder: Any = document
    for key in keys[:-1]:
        holder = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(holder, dict):
        raise InvalidInput(f"{operation.path}: its parent is not there, or is no object.", field=operation.path)
    last = keys[-1]
    if isinstance(operation, SetPath):
        holder[last] = operation.value
    elif isinstance(operation, Increment):
        holder[last] = _sum(holder.get(last, 0), operation)
    elif last in holder:
        del holder[last]
    else:
        raise InvalidInput(f"{operation.path} is not there, so it cannot be removed.", field=operation.path)


def _sum(number: Any, operation: Increment) -> int | float:
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InvalidInput(f"{operation.path} is no number.", field=operation.path)
    total = number + operation.by
    if not (math.isfinite(total) if isinstance(total, float) else -(2**63) <= total < 2**63):
        raise InvalidInput(f"{operation.path} would become too large a number.", field=operation.path)
    return total
