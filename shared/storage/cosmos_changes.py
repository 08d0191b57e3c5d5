"""Our writes in Cosmos's terms, and how to tell afterwards whether one was done. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared import json_text
from shared.errors import InvalidInput
from shared.storage.changes import Changes, apply_change, body_of, checked_changes, lifetime_of, same
from shared.storage.cosmos_query import property_sql, quoted
from shared.storage.names import check_id, partition_of, path_keys
from shared.storage.port import (
    BatchOperation,
    Create,
    Delete,
    Document,
    Increment,
    PartitionKey,
    Patch,
    PatchOperation,
    Replace,
    SetPath,
    Stored,
)
from shared.topology import ContainerSpec

__all__ = ["Deed", "NewDocument", "deed_of", "etag_from_wire", "etag_to_wire", "new_document", "stored_from_wire"]

SYSTEM = ("_rid", "_self", "_etag", "_attachments", "_ts", "_lsn")
"""Properties that Cosmos adds to a document."""


# Documents and etags -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A checked document, as it goes out."""

    document: Document
    id: str
    partition: PartitionKey


def new_document(spec: ContainerSpec, document: Document, partition: PartitionKey | None = None) -> NewDocument:
    """A copy in plain JSON (times are text).

    Raises:
        InvalidInput: it cannot be stored, or does not belong into ``partition``.
    """
    body = body_of(document)
    name = check_id(document.get("id"))
    own = partition_of(spec, document)
    if partition is not None and own != partition:
        raise InvalidInput("The document's partition key is not the partition of this call.", field="partition")
    lifetime_of(spec, document)
    plain: Document = json_text.load(body)
    for system in SYSTEM:
        plain.pop(system, None)
    if plain.get("ttl", 0) is None:
        del plain["ttl"]  # Cosmos takes no null here; to us it means: as the container says
    return NewDocument(plain, name, own)


def stored_from_wire(raw: Mapping[str, Any]) -> Stored:
    """A document as Cosmos gives it, without what Cosmos added."""
    return Stored({name: raw[name] for name in raw if name not in SYSTEM}, etag_from_wire(raw.get("_etag")))


def etag_from_wire(etag: Any) -> str:
    """Ours has no quotes: it becomes part of other texts."""
    return str(etag or "").strip('"')


def etag_to_wire(etag: str) -> str:
    """With the quotes. A caller's nonsense becomes an etag that fits nothing, and never a header of its own."""
    return f'"{etag}"' if len(etag) <= 256 and etag.isascii() and etag.isprintable() and '"' not in etag else '"-"'


# Patches -------------------------------------------------------------------------------------------------------------


def patch_operations(changes: Changes) -> list[dict[str, Any]]:
    """Operations in Cosmos's words. ``incr`` begins at 0 where the property is absent, as ours does."""
    wire: list[dict[str, Any]] = []
    for keys, change in changes:
        path = "/" + "/".join(keys)
        if isinstance(change, SetPath):
            wire.append({"op": "set", "path": path, "value": change.value})
        elif isinstance(change, Increment):
            wire.append({"op": "incr", "path": path, "value": change.by})
        else:
            wire.append({"op": "remove", "path": path})
    return wire


def predicate_of(when: Mapping[str, Any]) -> str | None:
    """The condition of a patch. It takes no parameters: values are written as literals.

    Raises:
        InvalidInput: a path or a value is none.
    """
    if not when:
        return None
    parts = [f"{property_sql(path_keys(path))} = {_literal(value, path)}" for path, value in when.items()]
    return "FROM c WHERE " + " AND ".join(parts)


def _literal(value: Any, path: str) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_literal(item, path) for item in value) + "]"
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return "{" + ", ".join(f"{quoted(key)}: {_literal(item, path)}" for key, item in value.items()) + "}"
    raise InvalidInput("The value that a patch waits for is no JSON.", field=path)


def _evidence(changes: Changes) -> list[tuple[Sequence[str], Any]]:
    """What must stand in the document after the patch, as far as its operations say it by themselves."""
    known: dict[tuple[str, ...], Any] = {}
    for keys, change in changes:
        path = tuple(keys)
        for other in [k for k in known if k[: len(path)] == path or path[: len(k)] == k]:
            del known[other]
        if isinstance(change, SetPath):
            known[path] = change.value
    return list(known.items())


def _holds(document: Document, evidence: Sequence[tuple[Sequence[str], Any]]) -> bool:
    for keys, expected in evidence:
        value: Any = document
        for key in keys:
            value = value.get(key, ...) if isinstance(value, dict) else ...
        if value is ... or not same(value, expected):
            return False
    return True


# One write, with what is needed to send it, and to recognise it ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deed:
    """One operation, checked. Each call of :meth:`wire` gives a new one: the SDK takes its argument apart."""

    kind: str
    id: str
    document: Document | None = None
    changes: Changes | None = None
    predicate: str | None = None
    etag: str | None = None
    guarded: bool = False
    """Once done, it cannot be done again: it takes away what it asks for."""

    @property
    def counts(self) -> bool:
        """Done twice, it would do more than once."""
        return not self.guarded and any(isinstance(change, Increment) for _, change in self.changes or ())

    @property
    def tells(self) -> bool:
        """Afterwards the document itself says whether it was done."""
        return self.changes is None or bool(_evidence(self.changes))

    def wire(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """As an operation of the SDK's batch."""
        options: dict[str, Any] = {} if self.etag is None else {"if_match_etag": etag_to_wire(self.etag)}
        if self.kind == "create":
            return "create", (self.document,), options
        if self.kind == "replace":
            return "replace", (self.id, self.document), options
        if self.kind == "delete":
            return "delete", (self.id,), options
        if self.predicate is not None:
            options["filter_predicate"] = self.predicate
        return "patch", (self.id, patch_operations(self.changes or [])), options

    def after(self, before: Document | None) -> Document | None:
        """The document that this leaves, from what an earlier operation of the batch left; ``None``: unknown."""
        if self.document is not None:
            return self.document
        if before is None or self.changes is None:
            return None
        after: Document = json_text.load(json_text.dump(before))
        for keys, change in self.changes:
            apply_change(after, keys, change)
        return after

    def seems_done(self, now: Document | None) -> bool:
        """Does the document look as this would have left it? ``None``: there is none."""
        if self.kind == "delete":
            return now is None
        if now is None:
            return False
        if self.document is not None:
            return same(now, self.document)
        evidence = _evidence(self.changes or [])
        return bool(evidence) and _holds(now, evidence)


def deed_of(spec: ContainerSpec, partition: PartitionKey | None, operation: BatchOperation) -> Deed:
    """Check an operation. ``partition`` is ``None`` where the document says it.

    Raises:
        InvalidInput: it can never work.
    """
    if isinstance(operation, Create):
        new = new_document(spec, operation.document, partition)
        return Deed("create", new.id, new.document, guarded=True)
    if isinstance(operation, Replace):
        new = new_document(spec, operation.document, partition)
        return Deed("replace", new.id, new.document, etag=operation.etag, guarded=operation.etag is not None)
    if isinstance(operation, Patch):
        changes = checked_changes(spec, operation.operations)
        _check_ttl(spec, operation.operations)
        predicate = predicate_of(operation.when)
        guarded = operation.etag is not None or any(_ends(changes, *asked) for asked in operation.when.items())
        return Deed("patch", check_id(operation.id), None, changes, predicate, operation.etag, guarded)
    if isinstance(operation, Delete):
        return Deed("delete", check_id(operation.id), etag=operation.etag, guarded=True)
    raise InvalidInput(f"{type(operation).__name__} is no operation of a batch.", field="operations")


def _ends(changes: Changes, path: str, expected: Any) -> bool:
    """Does the patch itself put an end to this condition?"""
    wanted = path_keys(path)
    left: bool | None = None
    for keys, change in changes:
        if tuple(keys) == wanted:
            left = isinstance(change, SetPath) and same(change.value, expected)
    return left is False


def _check_ttl(spec: ContainerSpec, operations: Sequence[PatchOperation]) -> None:
    for operation in operations:
        if isinstance(operation, SetPath) and operation.path == "ttl":
            lifetime_of(spec, {"ttl": operation.value})
