"""JSON in and out: one place that knows the library and the limits."""

from __future__ import annotations

from typing import Any

import orjson

from shared.errors import InvalidInput

__all__ = ["canonical", "dump", "load", "load_foreign"]

_CURLY = ("\N{LEFT DOUBLE QUOTATION MARK}".encode(), "\N{RIGHT DOUBLE QUOTATION MARK}".encode())
MAX_DEPTH = 100
"""Deeper nesting than this is refused in what callers send."""


def dump(value: Any) -> bytes:
    """Compact UTF-8 JSON. Times as ISO 8601 with ``Z``."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC)


def canonical(value: Any) -> bytes:
    """The same bytes for the same value, whatever the order of keys: what hashes are made over."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC)


def load(data: bytes | str) -> Any:
    """Parse JSON of our own making."""
    return orjson.loads(data)


def load_foreign(data: bytes) -> Any:
    """Parse JSON that somebody sent us.

    Raises:
        InvalidInput: it is no JSON, no UTF-8, or nested deeper than ``MAX_DEPTH``.
    """
    if not data:
        raise InvalidInput("The body is empty; send a JSON document.", field="body")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as err:
        curly = " It holds curly quotation marks, as copying from a document leaves behind; JSON wants straight ones."
        hint = curly if any(mark in data for mark in _CURLY) else ""
        raise InvalidInput(
            f"The body is no valid JSON: {err.msg} at line {err.lineno}, column {err.colno}.{hint}", field="body"
        ) from err
    if _deeper_than(value, MAX_DEPTH):
        raise InvalidInput(f"The body is nested deeper than {MAX_DEPTH} levels.", field="body")
    return value


def _deeper_than(value: Any, limit: int) -> bool:
    level: list[Any] = [value]
    for _ in range(limit):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(v for v in item.values() if isinstance(v, dict | list))
            elif isinstance(item, list):
                below.extend(v for v in item if isinstance(v, dict | list))
        if not below:
            return False
        level = below
    return True
