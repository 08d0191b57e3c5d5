"""Partition keys: out of a document, out of a header, and hashed to the place where they live.

A key is a tuple of components, one for each level, each as its canonical JSON text; ``{}`` stands for "the document has
none". The hash is the one of version 2 keys (MurmurHash3, 128 bits, x64 form, over a type byte and the value), which
the SDK computes too when it asks for a prefix of a hierarchical key; a test holds the two against each other.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from tests.wire.cosmos.protocol import bad_request

__all__ = [
    "UNDEFINED_COMPONENT",
    "Key",
    "KeyRange",
    "effective_key",
    "key_from_document",
    "key_from_header",
    "key_paths",
    "ranges",
]

Key = tuple[str, ...]

UNDEFINED_COMPONENT = "{}"
_MASK = (1 << 64) - 1
_C1, _C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
_TYPE_BYTE = {"{}": 0x00, "null": 0x01, "false": 0x02, "true": 0x03}


@dataclass(frozen=True, slots=True)
class KeyRange:
    """One physical partition: the hashes from ``low`` inclusive to ``high`` exclusive."""

    id: str
    low: str
    high: str

    def holds(self, hashed: str) -> bool:
        """Does the key with this hash live here?"""
        return self.low <= hashed < self.high


@lru_cache(maxsize=16)
def ranges(count: int) -> tuple[KeyRange, ...]:
    """So many physical partitions of about equal width. Hashes begin with 00 to 3F."""
    edges = ["", *(f"{64 * n // count:02X}" for n in range(1, count)), "FF"]
    return tuple(KeyRange(str(n), edges[n], edges[n + 1]) for n in range(count))


def key_paths(definition: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """``/meta/site`` -> ``("meta", "site")`` for each level of a key definition. Raises 400."""
    paths = definition.get("paths")
    if not isinstance(paths, list) or not paths or not all(isinstance(p, str) and p.startswith("/") for p in paths):
        raise bad_request("The partition key definition is invalid: give its paths, each beginning with a slash.")
    kind = definition.get("kind", "Hash")
    if kind not in ("Hash", "MultiHash") or (kind == "Hash" and len(paths) != 1) or len(paths) > 3:
        raise bad_request(f"The partition key definition is invalid: kind {kind} with {len(paths)} paths.")
    if kind == "MultiHash" and definition.get("version", 1) != 2:
        raise bad_request("The partition key definition is invalid: MultiHash needs version 2.")
    return tuple(tuple(part.strip('"') for part in path.strip("/").split("/")) for path in paths)


def component(value: Any) -> str:
    """One level of a key. Raises 400 for an object or an array."""
    if value == {} and isinstance(value, dict):
        return UNDEFINED_COMPONENT
    if isinstance(value, dict | list):
        raise bad_request("Partition key provided is invalid: it must be text, a number, a boolean or null.")
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = int(value) if abs(value) < 2**53 and float(value).is_integer() else float(value)
    if isinstance(value, str) and len(value.encode()) > 2048:
        raise bad_request("Partition key value must be smaller than 2048 bytes.")
    return orjson.dumps(value).decode()


def key_from_document(document: Mapping[str, Any], paths: Sequence[Sequence[str]]) -> Key:
    """The key that a document carries."""
    return tuple(component(_at(document, path)) for path in paths)


def _at(document: Any, path: Sequence[str]) -> Any:
    for part in path:
        if not isinstance(document, dict) or part not in document:
            return {}
        document = document[part]
    return document


def key_from_header(text: str, levels: int) -> Key:
    """The key of the header, perhaps only a prefix of it. Raises 400."""
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"Partition key {text} is invalid.") from error
    if not isinstance(values, list) or len(values) > levels:
        raise bad_request(f"Partition key {text} is invalid: it needs to be an array of {levels} values.")
    return tuple(component(value) for value in values)


def _rotate(value: int, by: int) -> int:
    return ((value << by) | (value >> (64 - by))) & _MASK


def _mix(value: int) -> int:
    value ^= value >> 33
    value = (value * 0xFF51AFD7ED558CCD) & _MASK
    value ^= value >> 33
    value = (value * 0xC4CEB9FE1A85EC53) & _MASK
    return value ^ (value >> 33)


def _scramble(k1: int, k2: int) -> tuple[int, int]:
    return (
        (_rotate((k1 * _C1) & _MASK, 31) * _C2) & _MASK,
        (_rotate((k2 * _C2) & _MASK, 33) * _C1) & _MASK,
    )


def murmur128(data: bytes) -> bytes:
    """MurmurHash3 x64 128, seed 0, low half first."""
    h1 = h2 = 0
    whole = len(data) // 16 * 16
    for offset in range(0, whole, 16):
        k1, k2 = _scramble(*struct.unpack_from("<QQ", data, offset))
        h1 = ((_rotate(h1 ^ k1, 27) + h2) * 5 + 0x52DCE729) & _MASK
        h2 = ((_rotate(h2 ^ k2, 31) + h1) * 5 + 0x38495AB5) & _MASK
    tail = data[whole:]
    if tail:
        k1, k2 = _scramble(*struct.unpack("<QQ", tail.ljust(16, b"\0")))
        h1 ^= k1
        h2 ^= k2
    h1 ^= len(data)
    h2 ^= len(data)
    h1 = (h1 + h2) & _MASK
    h2 = (h2 + h1) & _MASK
    h1, h2 = _mix(h1), _mix(h2)
    h1 = (h1 + h2) & _MASK
    h2 = (h2 + h1) & _MASK
    return struct.pack("<QQ", h1, h2)


def _hash_input(text: str) -> bytes:
    if text in _TYPE_BYTE:
        return bytes([_TYPE_BYTE[text]])
    value = orjson.loads(text)
    if isinstance(value, str):
        return b"\x08" + value.encode() + b"\xff"
    return b"\x05" + struct.pack("<d", float(value))


@lru_cache(maxsize=65_536)
def _hash_component(text: str) -> str:
    hashed = bytearray(reversed(murmur128(_hash_input(text))))
    hashed[0] &= 0x3F
    return hashed.hex().upper()


def effective_key(key: Key) -> str:
    """Where a key lives, as upper-case hex: the hashes of its levels one after the other."""
    return "".join(_hash_component(text) for text in key)
