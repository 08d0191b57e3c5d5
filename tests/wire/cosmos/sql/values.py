"""The values of the query language: JSON and ``undefined``, with their order and equality."""

from __future__ import annotations

from typing import Any, Final

import orjson

__all__ = ["UNDEFINED", "Undefined", "compare", "equal", "freeze", "is_number", "rank", "same", "sort_key"]


class Undefined:
    """What is not there. Neither true nor false."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "undefined"

    def __bool__(self) -> bool:
        return False


UNDEFINED: Final = Undefined()

_RANKS: dict[type, int] = {
    Undefined: 0,
    type(None): 1,
    bool: 2,
    int: 4,
    float: 4,
    str: 5,
    list: 6,
    dict: 7,
}


def rank(value: Any) -> int:
    """The place of its type in the order: undefined, null, booleans, numbers, text, arrays, objects."""
    return _RANKS[type(value)]


def is_number(value: Any) -> bool:
    """A number, and no boolean."""
    return _RANKS[type(value)] == 4


def same(left: Any, right: Any) -> bool:
    """Deep equality, in which ``1`` and ``true`` differ."""
    if rank(left) != rank(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(value, right[name]) for name, value in left.items())
    return bool(left == right)


def equal(left: Any, right: Any) -> bool | Undefined:
    """``=``: undefined when the types differ, or when either side is."""
    kind = _RANKS[type(left)]
    if kind != _RANKS[type(right)] or kind == 0:
        return UNDEFINED
    return same(left, right) if kind > 5 else left == right


def compare(left: Any, right: Any) -> int | None:
    """Below 0, 0, above 0; ``None`` when the two cannot be compared."""
    kind = _RANKS[type(left)]
    if kind != _RANKS[type(right)] or kind in (0, 6, 7):
        return None
    if kind == 1:
        return 0
    return int(left > right) - int(left < right)


def sort_key(value: Any) -> tuple[int, Any]:
    """What ORDER BY, MIN and MAX go by."""
    kind = _RANKS[type(value)]
    if kind < 2:
        return kind, 0
    return kind, orjson.dumps(value, option=orjson.OPT_SORT_KEYS) if kind > 5 else value


def freeze(value: Any) -> Any:
    """Something hashable that is equal for two values that are the same."""
    kind = _RANKS[type(value)]
    if kind == 6:
        return kind, tuple(freeze(entry) for entry in value)
    if kind == 7:
        return kind, frozenset((name, freeze(entry)) for name, entry in value.items())
    return kind, None if kind == 0 else value
