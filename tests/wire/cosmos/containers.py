"""One container: its documents, and what may be done to each.

An :class:`Item` is never changed, only replaced, so that a snapshot of a partition is a copy of one dictionary.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.wire.cosmos import charges
from tests.wire.cosmos.indexing import DEFAULT_POLICY, IndexingPolicy
from tests.wire.cosmos.partitions import Key, effective_key, key_from_document, key_paths
from tests.wire.cosmos.protocol import CosmosError, bad_request, json_bytes, not_found

__all__ = ["MAX_ITEM_BYTES", "Container", "Item", "Written"]

MAX_ITEM_BYTES = 2 * 1024 * 1024
_MAX_ID_BYTES = 1023
_PURGE_EVERY = 2_000
_SYSTEM = ("_rid", "_self", "_etag", "_attachments", "_ts")

NO_SUCH_ITEM = (
    "Entity with the specified id does not exist in the system. More info: https://aka.ms/cosmosdb-tsg-not-found"
)
KEY_MISMATCH = (
    "PartitionKey extracted from document doesn't match the one specified in the header. "
    "Learn more: https://aka.ms/CosmosDB/sql/errors/wrong-pk-value"
)


@dataclass(frozen=True, slots=True)
class Item:
    """A document as it is stored."""

    number: int
    """The order of creation in the container; a replace keeps it."""
    id: str
    key: Key
    place: str
    """The hash of the key."""
    body: dict[str, Any]
    raw: bytes
    etag: str
    expires: float | None
    terms: int


@dataclass(frozen=True, slots=True)
class Written:
    """What a write gives back."""

    status: int
    item: Item | None
    charge: float


class Container:
    """Documents by partition, under one definition."""

    def __init__(
        self, name: str, rid: str, database_rid: str, definition: Mapping[str, Any], now: Callable[[], float]
    ) -> None:
        """Raises 400 for a definition that says nothing sensible."""
        self.name, self.rid, self._now = name, rid, now
        self.link = f"dbs/{database_rid}/colls/{rid}/"
        self.etag = f'"0000{database_rid[:4]}-{rid[:8]}"'
        self.created = int(now())
        self.partitions: dict[Key, dict[str, Item]] = {}
        self.lsn = 0
        self._numbers = 0
        self.define(definition)

    def define(self, definition: Mapping[str, Any]) -> None:
        """Take a definition over: policy, TTL, unique keys."""
        self.paths = key_paths(definition.get("partitionKey") or {"paths": ["/_partitionKey"]})
        self.policy = IndexingPolicy(definition.get("indexingPolicy") or DEFAULT_POLICY)
        ttl = definition.get("defaultTtl")
        if ttl is not None and (not isinstance(ttl, int) or isinstance(ttl, bool) or ttl == 0 or ttl < -1):
            raise bad_request(f"The input ttl '{ttl}' is invalid. Ensure to provide a nonzero positive integer or -1.")
        self.default_ttl: int | None = ttl
        unique = (definition.get("uniqueKeyPolicy") or {}).get("uniqueKeys", [])
        self.unique = [[tuple(path.strip("/").split("/")) for path in entry["paths"]] for entry in unique]
        self.definition = {
            "indexingPolicy": self.policy.raw,
            "partitionKey": definition.get("partitionKey") or {"paths": ["/_partitionKey"], "kind": "Hash"},
            "conflictResolutionPolicy": {"mode": "LastWriterWins", "conflictResolutionPath": "/_ts"},
            **{name: value for name, value in definition.items() if name not in _SYSTEM and name != "id"},
        }

    def properties(self) -> dict[str, Any]:
        """What reading the container gives."""
        links = {"_docs": "docs/", "_sprocs": "sprocs/", "_triggers": "triggers/", "_udfs": "udfs/"}
        system = {"_rid": self.rid, "_self": self.link, "_etag": self.etag, "_ts": self.created}
        return {"id": self.name, **self.definition, **system, **links, "_conflicts": "conflicts/"}

    # reading

    def find(self, key: Key, id: str) -> Item:
        """The item. Raises 404."""
        item = self.partitions.get(key, {}).get(id)
        if item is None or self._expired(item):
            raise not_found(NO_SUCH_ITEM)
        return item

    def items(self, key: Key | None = None) -> Iterator[Item]:
        """The living items of a partition (of all: in no order that means anything)."""
        chosen = self.partitions.values() if key is None else [self.partitions.get(key, {})]
        for partition in chosen:
            for item in partition.values():
                if item.expires is None or not self._expired(item):
                    yield item

    def _expired(self, item: Item) -> bool:
        return item.expires is not None and item.expires <= self._now()

    def purge(self) -> None:
        """Forget what has expired."""
        for key, partition in list(self.partitions.items()):
            left = {name: item for name, item in partition.items() if not self._expired(item)}
            if left:
                self.partitions[key] = left
            else:
                del self.partitions[key]

    # writing

    def create(self, key: Key | None, document: Any, if_none_match: str | None = None) -> Written:
        """Create. Raises 409 when it is there."""
        body, key = self._checked(document, key)
        if self._present(key, body["id"]) is not None:
            if if_none_match == "*":
                raise _stale()
            raise CosmosError(409, "Conflict", "Entity with the specified id already exists in the system.")
        return self._store(body, key, None)

    def upsert(
        self, key: Key | None, document: Any, if_match: str | None = None, if_none_match: str | None = None
    ) -> Written:
        """Create or replace. An If-Match only counts when the item is there."""
        body, key = self._checked(document, key)
        present = self._present(key, body["id"])
        if present is not None:
            check_match(present, if_match, if_none_match)
        return self._store(body, key, present)

    def replace(self, key: Key, id: str, document: Any, if_match: str | None = None) -> Written:
        """Replace. Raises 404, 412, and 400 when the id or the key would change."""
        body, found_key = self._checked(document, key)
        if body["id"] != id:
            raise bad_request("The input content is invalid because the id in the body differs from the one addressed.")
        item = self.find(found_key, id)
        check_match(item, if_match, None)
        return self._store(body, found_key, item)

    def change(self, item: Item, body: dict[str, Any]) -> Written:
        """Store a patched body over the item it came from."""
        body, key = self._checked(body, item.key)
        return self._store(body, key, item)

    def delete(self, key: Key, id: str, if_match: str | None = None) -> Written:
        """Delete. Raises 404, 412."""
        item = self.find(key, id)
        check_match(item, if_match, None)
        self._remove(item)
        self.lsn += 1
        return Written(204, None, charges.delete(len(item.raw), item.terms))

    def restore(self, key: Key, partition: dict[str, Item]) -> None:
        """Put a partition back as it was."""
        if partition:
            self.partitions[key] = partition
        else:
            self.partitions.pop(key, None)

    def delete_partition(self, key: Key) -> None:
        """Delete every item of a key, or of a prefix of a hierarchical one."""
        for present in [k for k in self.partitions if k[: len(key)] == key]:
            del self.partitions[present]
        self.lsn += 1

    def _checked(self, document: Any, key: Key | None) -> tuple[dict[str, Any], Key]:
        if not isinstance(document, dict):
            raise bad_request("The request payload is invalid. Ensure to provide a valid request payload.")
        _check_id(document)
        found = key_from_document(document, self.paths)
        if key is None:
            raise bad_request("PartitionKey value must be supplied for this operation.")
        if key != found:
            raise bad_request(KEY_MISMATCH, substatus=1001)
        return document, found

    def _present(self, key: Key, id: str) -> Item | None:
        item = self.partitions.get(key, {}).get(id)
        if item is not None and self._expired(item):
            self._remove(item)
            return None
        return item

    def _remove(self, item: Item) -> None:
        partition = self.partitions[item.key]
        del partition[item.id]
        if not partition:
            del self.partitions[item.key]

    def _store(self, document: dict[str, Any], key: Key, over: Item | None) -> Written:
        expires = self._expiry(document)
        self._check_unique(document, key)
        if over is None:
            self._numbers += 1
        number = over.number if over else self._numbers
        self.lsn += 1
        if self.lsn % _PURGE_EVERY == 0:
            self.purge()
        rid = item_rid(self.rid, number)
        etag = f'"{self.lsn:08x}-0000-0700-0000-{int(self._now()) & 0xFFFFFFFF:08x}0000"'
        body = {name: value for name, value in document.items() if name not in _SYSTEM}
        terms = self.policy.terms(body)
        body["_rid"] = rid
        body["_self"] = f"{self.link}docs/{rid}/"
        body["_etag"] = etag
        body["_attachments"] = "attachments/"
        body["_ts"] = int(self._now())
        raw = json_bytes(body)
        if len(raw) > MAX_ITEM_BYTES:
            raise too_large()
        item = Item(number, body["id"], key, effective_key(key), body, raw, etag, expires, terms)
        self.partitions.setdefault(key, {})[item.id] = item
        if over is None:
            return Written(201, item, charges.insert(len(raw), terms))
        return Written(200, item, charges.replace(len(raw), terms))

    def _expiry(self, document: dict[str, Any]) -> float | None:
        own = document.get("ttl")
        if own is not None and (isinstance(own, bool) or not isinstance(own, int) or own == 0 or own < -1):
            raise bad_request(f"The input ttl '{own}' is invalid. Ensure to provide a nonzero positive integer or -1.")
        if self.default_ttl is None:
            return None
        seconds = own if own is not None else self.default_ttl
        return None if seconds == -1 else int(self._now()) + seconds

    def _check_unique(self, document: dict[str, Any], key: Key) -> None:
        for paths in self.unique:
            wanted = key_from_document(document, paths)
            for other in self.items(key):
                if other.id != document["id"] and key_from_document(other.body, paths) == wanted:
                    raise CosmosError(409, "Conflict", "Unique index constraint violation.")


def item_rid(container_rid: str, number: int) -> str:
    """The resource id of a document: the container's with eight bytes more."""
    parent = base64.b64decode(container_rid.replace("-", "/"))
    return base64.b64encode(parent + struct.pack("<Q", number)).decode().replace("/", "-")


def check_match(item: Item, if_match: str | None, if_none_match: str | None) -> None:
    """Raises 412 when a condition on the etag does not hold."""
    if if_match not in (None, "*", item.etag) or if_none_match in ("*", item.etag):
        raise _stale()


def _stale() -> CosmosError:
    return CosmosError(
        412,
        "PreconditionFailed",
        "Operation cannot be performed because one of the specified precondition is not met.",
    )


def too_large() -> CosmosError:
    """A 413."""
    return CosmosError(413, "RequestEntityTooLarge", "Request size is too large")


def _check_id(document: dict[str, Any]) -> None:
    given = document.get("id")
    if given is None:
        raise bad_request("The input content is invalid because the required properties - 'id; ' - are missing")
    if not isinstance(given, str) or not given:
        raise bad_request("One of the specified inputs is invalid: the id must be text that is not empty.")
    if len(given.encode()) > _MAX_ID_BYTES or any(character in given for character in "/\\?#"):
        raise bad_request(f"Document id '{given[:64]}' is invalid: at most 1,023 bytes, without / \\ ? #.")
