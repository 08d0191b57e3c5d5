"""What a write does to a document, decided in plain Python: the same words for one operation and for a batch."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    PartitionKey,
    Patch,
    PatchOperation,
    RemovePath,
    Replace,
    SetPath,
    Stored,
)
from shared.storage.sqlite_schema import SEPARATOR, Table

__all__ = ["Row", "Step", "check_id", "partition_text", "path_keys", "step_of", "upsert_step"]

MAX_PATCHES = 10
MAX_ID = 255
MAX_BODY = 2 * 1024 * 1024
"""Bytes of a document, as in Cosmos."""

_FORBIDDEN = re.compile(r"[/\\?#\x00-\x1f]")
_KEY = re.compile(r"[A-Za-z0-9_:@$+-]{1,128}")


class Row:
    """A document as it stands in its table."""

    __slots__ = ("body", "columns", "document", "etag", "expires_at")

    def __init__(
        self, etag: str, expires_at: int | None, body: bytes, document: Document | None, columns: list[Any] | None
    ) -> None:
        self.etag = etag
        self.expires_at = expires_at
        self.body = body
        self.document = document
        self.columns = columns

    def stored(self) -> Stored:
        """As callers see it."""
        document: Document = json_text.load(self.body) if self.document is None else self.document
        return Stored(document, self.etag)


Rule = Callable[[Row | None, int], Row | None]
"""From the row that is there (never an expired one) and the time in microseconds to the row that shall be there."""


@dataclass(slots=True)
class Step:
    """One operation on one id."""

    id: str
    rule: Rule


def check_id(value: object) -> str:
    """An id that every store can hold.

    Raises:
        InvalidInput: it is none.
    """
    if not isinstance(value, str) or not value or len(value) > MAX_ID or _FORBIDDEN.search(value):
        raise InvalidInput(
            f"An id is a text of 1 to {MAX_ID} characters without / \\ ? # and control characters.", field="id"
        )
    return value


def partition_text(table: Table, partition: PartitionKey, *, prefix: bool = False) -> str:
    """The key in its text form.

    Raises:
        InvalidInput: too few or too many levels, or a level that is no text.
    """
    levels = table.spec.partition_key
    if len(partition) > len(levels) or (len(partition) < len(levels) and not prefix) or not partition:
        raise InvalidInput(
            f"The partition key of {table.spec.name} has {len(levels)} level(s): {', '.join(levels)}.",
            field=levels[0],
        )
    for name, value in zip(levels, partition, strict=False):
        if not isinstance(value, str) or not value or len(value) > 1024 or SEPARATOR in value:
            raise InvalidInput(f"{name} is part of the partition key and must be a text, not empty.", field=name)
    return SEPARATOR.join(partition)


def path_keys(path: str) -> list[str]:
    """The keys of a dotted path.

    Raises:
        InvalidInput: it is no path.
    """
    keys = path.split(".") if isinstance(path, str) else []
    if not keys or len(keys) > 16 or not all(_KEY.fullmatch(key) for key in keys):
        raise InvalidInput(
            "A path is made of names of letters, digits and _ : @ $ + - joined by dots, such as target.origin.",
            field="path",
        )
    return keys


def step_of(table: Table, partition: str, operation: BatchOperation, new_etag: Callable[[], str]) -> Step:
    """The step of one operation; checks everything that can be checked before the store is asked.

    Raises:
        InvalidInput: it can never work.
    """
    if isinstance(operation, Create):
        return _create(table, partition, operation.document, new_etag)
    if isinstance(operation, Replace):
        return _replace(table, partition, operation.document, operation.etag, new_etag)
    if isinstance(operation, Patch):
        return _patch(table, operation, new_etag)
    if isinstance(operation, Delete):
        return _delete(table, operation)
    raise InvalidInput(f"{type(operation).__name__} is no operation of a batch.", field="operations")


def _written(
    table: Table, partition: str | None, document: Document, new_etag: Callable[[], str]
) -> tuple[str, Callable[[int], Row]]:
    id = check_id(document.get("id"))
    own = partition_text(table, tuple(document.get(name) for name in table.spec.partition_key))  # type: ignore[misc]
    if partition is not None and own != partition:
        raise InvalidInput("The document's partition key is not the partition of this call.", field="partition")
    body, document = _normal(document)
    lifetime = _lifetime(table, document)
    columns = table.values(document)
    etag = new_etag()

    def row(now: int) -> Row:
        return Row(etag, None if lifetime is None else now + lifetime, body, document, columns)

    return id, row


def _normal(document: Document) -> tuple[bytes, Document]:
    """The bytes, and a private copy that holds exactly what they say."""
    try:
        body = json_text.dump(document)
    except (TypeError, orjson.JSONEncodeError) as err:
        raise InvalidInput(f"The document is no JSON: {err}.", field="document") from err
    if len(body) > MAX_BODY:
        raise InvalidInput(f"The document has {len(body)} bytes; {MAX_BODY} are allowed.", field="document")
    normal: Document = json_text.load(body)
    return body, normal


def _lifetime(table: Table, document: Document) -> int | None:
    """Microseconds it lives, ``None``: for ever."""
    if table.spec.ttl_seconds is None:
        return None
    ttl = document.get("ttl")
    if ttl is None:
        return table.spec.ttl_seconds * 1_000_000
    if isinstance(ttl, bool) or not isinstance(ttl, int) or (ttl < 1 and ttl != -1):
        raise InvalidInput("ttl is a whole number of seconds, at least 1, or -1 for ever.", field="ttl")
    return None if ttl == -1 else ttl * 1_000_000


def _create(table: Table, partition: str, document: Document, new_etag: Callable[[], str]) -> Step:
    id, row = _written(table, partition, document, new_etag)

    def rule(current: Row | None, now: int) -> Row:
        if current is not None:
            raise Conflict(f"{table.spec.name} has a document {id} already.")
        return row(now)

    return Step(id, rule)


def upsert_step(table: Table, partition: str, document: Document, new_etag: Callable[[], str]) -> Step:
    """Create or replace."""
    id, row = _written(table, partition, document, new_etag)
    return Step(id, lambda current, now: row(now))


def _existing(table: Table, id: str, current: Row | None, etag: str | None) -> Row:
    if current is None:
        raise NotFound(f"{table.spec.name} has no document {id}.")
    if etag is not None and etag != current.etag:
        raise PreconditionFailed(f"{id} in {table.spec.name} was changed in the meantime; read it again.")
    return current


def _replace(table: Table, partition: str, document: Document, etag: str | None, new_etag: Callable[[], str]) -> Step:
    id, row = _written(table, partition, document, new_etag)

    def rule(current: Row | None, now: int) -> Row:
        _existing(table, id, current, etag)
        return row(now)

    return Step(id, rule)


def _delete(table: Table, operation: Delete) -> Step:
    id, etag = check_id(operation.id), operation.etag

    def rule(current: Row | None, now: int) -> None:
        _existing(table, id, current, etag)

    return Step(id, rule)


def _patch(table: Table, operation: Patch, new_etag: Callable[[], str]) -> Step:
    id = check_id(operation.id)
    changes = _checked_changes(table, operation.operations)
    when = [(path_keys(path), path, value) for path, value in operation.when.items()]

    def rule(current: Row | None, now: int) -> Row:
        existing = _existing(table, id, current, operation.etag)
        document: Document = json_text.load(existing.body)
        _check_when(table, id, document, when)
        for keys, change in changes:
            _apply_change(document, keys, change)
        body, document = _normal(document)
        lifetime = _lifetime(table, document)
        return Row(new_etag(), None if lifetime is None else now + lifetime, body, document, table.values(document))

    return Step(id, rule)


def _checked_changes(table: Table, operations: Sequence[PatchOperation]) -> list[tuple[list[str], PatchOperation]]:
    if not 1 <= len(operations) <= MAX_PATCHES:
        raise InvalidInput(f"A patch has 1 to {MAX_PATCHES} operations.", field="operations")
    fixed = {"id", *table.spec.partition_key}
    changes: list[tuple[list[str], PatchOperation]] = []
    for operation in operations:
        keys = path_keys(operation.path)
        if keys[0] in fixed:
            raise InvalidInput(f"{keys[0]} names the document and cannot be changed.", field=operation.path)
        if isinstance(operation, Increment) and (
            isinstance(operation.by, bool) or not isinstance(operation.by, int | float)
        ):
            raise InvalidInput("An increment adds a number.", field=operation.path)
        changes.append((keys, operation))
    return changes


def _check_when(table: Table, id: str, document: Document, when: Sequence[tuple[list[str], str, Any]]) -> None:
    for keys, path, expected in when:
        value: Any = document
        for key in keys:
            value = value.get(key, _MISSING) if isinstance(value, dict) else _MISSING
        if not _same(value, expected):
            raise PreconditionFailed(f"{path} of {id} in {table.spec.name} has another value by now.")


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


def _apply_change(document: Document, keys: list[str], operation: PatchOperation) -> None:
    holder: Any = document
    for key in keys[:-1]:
        holder = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(holder, dict):
        raise InvalidInput(f"{operation.path}: its parent is not there, or is no object.", field=operation.path)
    last = keys[-1]
    if isinstance(operation, SetPath):
        holder[last] = copy.deepcopy(operation.value) if isinstance(operation.value, dict | list) else operation.value
    elif isinstance(operation, Increment):
        number = holder.get(last, 0)
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise InvalidInput(f"{operation.path} is no number.", field=operation.path)
        holder[last] = number + operation.by
    elif isinstance(operation, RemovePath):
        if last not in holder:
            raise InvalidInput(f"{operation.path} is not there, so it cannot be removed.", field=operation.path)
        del holder[last]
