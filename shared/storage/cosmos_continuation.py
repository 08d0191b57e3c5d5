"""Where a page ended, as an opaque text that belongs to one query."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import orjson

from shared import json_text
from shared.errors import InvalidInput
from shared.storage.port import PartitionKey
from shared.storage.query import Query
from shared.topology import ContainerSpec

__all__ = ["fingerprint", "pack", "unpack"]


def fingerprint(spec: ContainerSpec, query: Query, partition: PartitionKey | None) -> str:
    """What a continuation of this query is bound to: everything but the page size."""
    select = None if query.select is None else tuple(query.select)
    asked = repr((spec.name, tuple(query.where), query.order_by, query.descending, partition, select))
    return hashlib.sha256(asked.encode()).hexdigest()


def pack(whose: str, place: Any) -> str:
    """The continuation that leads to ``place``."""
    said = json_text.dump(place)
    return base64.urlsafe_b64encode(_sum(whose, said) + said).decode().rstrip("=")


def unpack(whose: str, text: str) -> Any:
    """The place.

    Raises:
        InvalidInput: the continuation is of another query, or has been altered.
    """
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        place = orjson.loads(raw[_BYTES:])
    except ValueError as err:
        raise InvalidInput("The continuation is not one of ours; ask without it.", field="continuation") from err
    if raw[:_BYTES] != _sum(whose, raw[_BYTES:]):
        raise InvalidInput("The continuation belongs to another query; ask without it.", field="continuation")
    return place


_BYTES = 12


def _sum(whose: str, said: bytes) -> bytes:
    return hashlib.sha256(whose.encode() + said).digest()[:_BYTES]
