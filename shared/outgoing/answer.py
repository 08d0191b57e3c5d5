"""What a target answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["OutgoingAnswer"]


@dataclass(frozen=True, slots=True)
class OutgoingAnswer:
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
