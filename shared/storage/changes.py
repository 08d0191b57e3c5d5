"""What a write must be like and what a patch does to a document. The same for every store."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from shared import json_text
from shared.errors import InvalidInput
from shared.storage.names import path_keys
from shared.storage.port import Document, Increment, PatchOperation, RemovePath, SetPath
from shared.topology import ContainerSpec

__all__ = ["MAX_BATCH", "Changes", "apply_change", "body_of", "checked_changes", "lifetime_of", "same"]

MAX_BATCH = 100
MAX_PATCHES = 10
MAX_BODY = 2 * 1024 * 1024
"""Bytes of a document, as in Cosmos."""
MAX_STEP = 2**53
"""Largest increment: beyond it JSON numbers are no longer exact in every store."""

Changes = list[tuple[Sequence[str], PatchOperation]]
"""Checked operations, each with the keys of its path."""


def body_of(document: Document) -> bytes:
    """The document as JSON.

    Raises:
        InvalidInput: it is no JSON object, or too large.
    """
    if not isinstance(document, dict):
        raise InvalidInput("A document is a JSON object.", field="document")
    try:
        body = json_text.dump(document)
    except TypeError as err:  # what orjson raises is one
        raise InvalidInput(f"The document is no JSON: {err}.", field="document") from err
    if len(body) > MAX_BODY:
        raise InvalidInput(f"The document has {len(body)} bytes; {MAX_BODY} are allowed.", field="document")
    return body


def lifetime_of(spec: ContainerSpec, document: Mapping[str, Any]) -> int | None:
    """Seconds it lives from its last write, ``None``: for ever.

    Raises:
        InvalidInput: its ``ttl`` is none.
    """
    if spec.ttl_seconds is None:
        return None
    ttl = document.get("ttl")
    if ttl is None:
        return spec.ttl_seconds
    if isinstance(ttl, bool) or not isinstance(ttl, int) or not (ttl == -1 or 1 <= ttl < 2**31):
        raise InvalidInput("ttl is a whole number of seconds, at least 1, or -1 for ever.", field="ttl")
    return None if ttl == -1 else ttl


def checked_changes(spec: ContainerSpec, operations: Sequence[PatchOperation]) -> Changes:
    """Operations that may work, with plain JSON in them.

    Raises:
        InvalidInput: they can never work.
    """
    if not 1 <= len(operations) <= MAX_PATCHES:
        raise InvalidInput(f"A patch has 1 to {MAX_PATCHES} operations.", field="operations")
    changes: Changes = []
    for operation in operations:
        keys = path_keys(operation.path)
        if keys[0] == "id" or keys[0] in spec.partition_key:
            raise InvalidInput(f"{keys[0]} names the document and cannot be changed.", field=operation.path)
        changes.append((keys, _checked(operation)))
    return changes


def _checked(operation: PatchOperation) -> PatchOperation:
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
        if isinstance(by, bool) or not isinstance(by, int | float) or not math.isfinite(by) or abs(by) > MAX_STEP:
            raise InvalidInput("An increment adds a number between -2^53 and 2^53.", field=operation.path)
        return operation
    if isinstance(operation, RemovePath):
        return operation
    raise InvalidInput(f"{type(operation).__name__} is no patch operation.", field="operations")


def apply_change(document: Document, keys: Sequence[str], operation: PatchOperation) -> None:
    """Change the document in place.

    Raises:
        InvalidInput: it cannot be changed like this.
    """
    holder: Any = document
    for key in keys[:-1]:
        holder = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(holder, dict):
        raise InvalidInput(f"{operation.path}: its parent is not there, or is no object.", field=operation.path)
    last = keys[-1]
    if isinstance(operation, SetPath):
        # A copy: a later operation may change it in the document, and the patch itself may have to be sent again.
        value = operation.value
        holder[last] = orjson.loads(orjson.dumps(value)) if isinstance(value, dict | list) else value
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


def same(value: Any, expected: Any) -> bool:
    """Equality as JSON has it: ``true`` is not 1, 1 is 1.0."""
    if isinstance(value, bool) or isinstance(expected, bool):
        return value is expected
    if isinstance(value, Mapping) and isinstance(expected, Mapping):
        return value.keys() == expected.keys() and all(same(value[k], expected[k]) for k in value)
    if isinstance(value, list) and isinstance(expected, list | tuple):
        return len(value) == len(expected) and all(same(a, b) for a, b in zip(value, expected, strict=True))
    return bool(value == expected)
