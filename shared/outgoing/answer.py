"""What a target answered."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["OutgoingAnswer", "unpacked"]


class OutgoingAnswer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """Names in any case (case-insensitive mapping)."""
    body: bytes
    """At most ``max_answer_bytes`` of it, gzip and deflate undone."""
    elapsed_ms: float
    """From the call to the last byte read."""
    truncated: bool = False
    """There was more than ``max_answer_bytes``; the connection was dropped."""


def unpacked(encoding: str, body: bytes, truncated: bool, limit: int) -> tuple[bytes, bool]:
    """Undo gzip or deflate, which was not asked for, up to ``limit`` bytes: a bomb stays small."""
    windows = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}.get(encoding.strip().lower(), ())
    for bits in windows:
        unpacker = zlib.decompressobj(bits)
        try:
            unpacked = unpacker.decompress(body, limit)
        except zlib.error:
            continue
        return unpacked, truncated or bool(unpacker.unconsumed_tail)
    return body, truncated
