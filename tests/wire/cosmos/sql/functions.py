"""The built-in functions: name -> (fewest arguments, most, what it does). A wrong type gives undefined."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import orjson

from tests.wire.cosmos.sql.moments import MOMENT_FUNCTIONS
from tests.wire.cosmos.sql.values import UNDEFINED, Undefined, is_number, same

__all__ = ["AGGREGATES", "FUNCTIONS", "like_pattern"]

AGGREGATES = frozenset({"COUNT", "SUM", "MIN", "MAX", "AVG"})


def _text(function: Callable[..., Any]) -> Callable[..., Any]:
    """Undefined unless every argument is text."""

    def guarded(*arguments: Any) -> Any:
        return function(*arguments) if all(isinstance(a, str) for a in arguments) else UNDEFINED

    return guarded


def _number(function: Callable[..., Any]) -> Callable[..., Any]:
    """Undefined unless every argument is a number and the result is one."""

    def guarded(*arguments: Any) -> Any:
        if not all(is_number(a) for a in arguments):
            return UNDEFINED
        try:
            result = function(*arguments)
        except (ValueError, OverflowError, ZeroDivisionError):
            return UNDEFINED
        if isinstance(result, float) and not math.isfinite(result):
            return UNDEFINED
        return int(result) if isinstance(result, float) and result.is_integer() and abs(result) < 2**53 else result

    return guarded


def _caseless(test: Callable[[str, str], bool]) -> Callable[..., Any]:
    """A test of two texts with a third argument: ignore case?"""

    def guarded(whole: Any, part: Any, ignore: Any = False) -> Any:
        if not isinstance(whole, str) or not isinstance(part, str) or not isinstance(ignore, bool):
            return UNDEFINED
        return test(whole.lower(), part.lower()) if ignore else test(whole, part)

    return guarded


def _is(test: Callable[[Any], bool]) -> Callable[[Any], Any]:
    return lambda value: UNDEFINED if isinstance(value, Undefined) else test(value)


def _is_integer(value: Any) -> bool:
    return is_number(value) and float(value).is_integer()


def array_contains(array: Any, wanted: Any, partial: Any = False) -> Any:
    """Is it among the elements? ``partial``: an object counts when it has all that is wanted."""
    if not isinstance(array, list) or isinstance(wanted, Undefined):
        return UNDEFINED
    if partial is True and isinstance(wanted, dict):
        return any(
            isinstance(entry, dict) and all(name in entry and same(entry[name], v) for name, v in wanted.items())
            for entry in array
        )
    return any(same(entry, wanted) for entry in array)


def _among(array: Any, *wanted: Any, needed: Callable[[list[bool]], bool]) -> Any:
    return needed([array_contains(array, w) is True for w in wanted]) if isinstance(array, list) else UNDEFINED


def _slice(array: Any, start: Any, length: Any = None) -> Any:
    if not isinstance(array, list) or not _is_integer(start) or not (length is None or _is_integer(length)):
        return UNDEFINED
    begin = max(0, len(array) + int(start)) if start < 0 else int(start)
    return array[begin:] if length is None else array[begin : begin + max(0, int(length))]


def _concat_arrays(*arrays: Any) -> Any:
    return [e for array in arrays for e in array] if all(isinstance(a, list) for a in arrays) else UNDEFINED


def _distinct(array: list[Any]) -> list[Any]:
    found: list[Any] = []
    for entry in array:
        if not any(same(entry, other) for other in found):
            found.append(entry)
    return found


def _sets(left: Any, right: Any, *, keep: Callable[[list[Any], list[Any]], list[Any]]) -> Any:
    return _distinct(keep(left, right)) if isinstance(left, list) and isinstance(right, list) else UNDEFINED


def _substring(text: Any, start: Any, length: Any) -> Any:
    if not isinstance(text, str) or not _is_integer(start) or not _is_integer(length):
        return UNDEFINED
    begin = max(0, int(start))
    return text[begin : begin + max(0, int(length))]


def _side(text: Any, count: Any, *, left: bool) -> Any:
    if not isinstance(text, str) or not _is_integer(count):
        return UNDEFINED
    size = max(0, int(count))
    return text[:size] if left else text[max(0, len(text) - size) :]


def _replicate(text: Any, count: Any) -> Any:
    return text * int(count) if isinstance(text, str) and _is_integer(count) and 0 <= count <= 10_000 else UNDEFINED


def _to_string(value: Any) -> Any:
    if isinstance(value, Undefined):
        return UNDEFINED
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _parse(kind: Callable[[Any], bool]) -> Callable[[Any], Any]:
    def parsed(text: Any) -> Any:
        try:
            value = orjson.loads(text) if isinstance(text, str) else UNDEFINED
        except orjson.JSONDecodeError:
            return UNDEFINED
        return value if not isinstance(value, Undefined) and kind(value) else UNDEFINED

    return parsed


def _regex(text: Any, pattern: Any, modifiers: Any = "") -> Any:
    if not isinstance(text, str) or not isinstance(pattern, str) or not isinstance(modifiers, str):
        return UNDEFINED
    flags = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}
    chosen = re.NOFLAG
    for modifier in modifiers:
        if modifier not in flags:
            return UNDEFINED
        chosen |= flags[modifier]
    try:
        return re.search(pattern, text, chosen) is not None
    except re.error:
        return UNDEFINED


def _object_to_array(value: Any) -> Any:
    return [{"k": k, "v": v} for k, v in value.items()] if isinstance(value, dict) else UNDEFINED


def _round(value: float) -> float:
    """Half away from zero, not to the even neighbour as Python has it."""
    return math.copysign(math.floor(abs(value) + 0.5), value)


def _choices(inside: str) -> str:
    """``a-z_`` as the inside of a set: a minus between two is a range, anything else stands for itself."""
    return re.sub(r"(.)-(.)|(.)", _choice, inside, flags=re.DOTALL)


def _choice(match: re.Match[str]) -> str:
    low, high, alone = match.groups()
    return re.escape(alone) if alone is not None else f"{re.escape(low)}-{re.escape(high)}"


def like_pattern(pattern: str, escape: str | None) -> re.Pattern[str]:
    """A LIKE pattern (``%``, ``_``, ``[a-z]``, ``[^a]``) as a regular expression."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        if escape is not None and character == escape and at + 1 < len(pattern):
            at += 1
            parts.append(re.escape(pattern[at]))
        elif character == "[" and (end := pattern.find("]", at + 2)) > 0 and pattern[at + 1 : end] != "^":
            inside = pattern[at + 1 : end]
            negated = "^" if inside.startswith("^") else ""
            parts.append(f"[{negated}{_choices(inside[len(negated) :])}]")
            at = end
        else:
            parts.append({"%": ".*", "_": "."}.get(character, re.escape(character)))
        at += 1
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error:  # a range that runs backwards
        return re.compile("(?!)")


FUNCTIONS: dict[str, tuple[int, int, Callable[..., Any]]] = {
    "IS_DEFINED": (1, 1, lambda v: not isinstance(v, Undefined)),
    "IS_NULL": (1, 1, _is(lambda v: v is None)),
    "IS_BOOL": (1, 1, _is(lambda v: isinstance(v, bool))),
    "IS_NUMBER": (1, 1, _is(is_number)),
    "IS_INTEGER": (1, 1, _is(_is_integer)),
    "IS_FINITE_NUMBER": (1, 1, _is(is_number)),
    "IS_STRING": (1, 1, _is(lambda v: isinstance(v, str))),
    "IS_ARRAY": (1, 1, _is(lambda v: isinstance(v, list))),
    "IS_OBJECT": (1, 1, _is(lambda v: isinstance(v, dict))),
    "IS_PRIMITIVE": (1, 1, _is(lambda v: not isinstance(v, list | dict))),
    "ABS": (1, 1, _number(abs)),
    "CEILING": (1, 1, _number(math.ceil)),
    "FLOOR": (1, 1, _number(math.floor)),
    "ROUND": (1, 1, _number(_round)),
    "TRUNC": (1, 1, _number(math.trunc)),
    "SIGN": (1, 1, _number(lambda v: (v > 0) - (v < 0))),
    "SQRT": (1, 1, _number(math.sqrt)),
    "SQUARE": (1, 1, _number(lambda v: v * v)),
    "POWER": (2, 2, _number(math.pow)),
    "EXP": (1, 1, _number(math.exp)),
    "LOG": (1, 2, _number(math.log)),
    "LOG10": (1, 1, _number(math.log10)),
    "PI": (0, 0, lambda: math.pi),
    "CONCAT": (2, 64, _text(lambda *parts: "".join(parts))),
    "LENGTH": (1, 1, _text(len)),
    "LOWER": (1, 1, _text(str.lower)),
    "UPPER": (1, 1, _text(str.upper)),
    "TRIM": (1, 1, _text(str.strip)),
    "LTRIM": (1, 1, _text(str.lstrip)),
    "RTRIM": (1, 1, _text(str.rstrip)),
    "REVERSE": (1, 1, _text(lambda v: v[::-1])),
    "REPLACE": (3, 3, _text(lambda text, old, new: text.replace(old, new) if old else text)),
    "REPLICATE": (2, 2, _replicate),
    "LEFT": (2, 2, lambda text, count: _side(text, count, left=True)),
    "RIGHT": (2, 2, lambda text, count: _side(text, count, left=False)),
    "SUBSTRING": (3, 3, _substring),
    "INDEX_OF": (2, 2, _text(str.find)),
    "STARTSWITH": (2, 3, _caseless(str.startswith)),
    "ENDSWITH": (2, 3, _caseless(str.endswith)),
    "CONTAINS": (2, 3, _caseless(lambda whole, part: part in whole)),
    "STRINGEQUALS": (2, 3, _caseless(lambda whole, part: whole == part)),
    "REGEXMATCH": (2, 3, _regex),
    "TOSTRING": (1, 1, _to_string),
    "STRINGTONUMBER": (1, 1, _parse(is_number)),
    "STRINGTOBOOLEAN": (1, 1, _parse(lambda v: isinstance(v, bool))),
    "STRINGTOARRAY": (1, 1, _parse(lambda v: isinstance(v, list))),
    "STRINGTOOBJECT": (1, 1, _parse(lambda v: isinstance(v, dict))),
    "STRINGTONULL": (1, 1, _parse(lambda v: v is None)),
    "ARRAY_CONTAINS": (2, 3, array_contains),
    "ARRAY_CONTAINS_ANY": (2, 64, lambda array, *w: _among(array, *w, needed=any)),
    "ARRAY_CONTAINS_ALL": (2, 64, lambda array, *w: _among(array, *w, needed=all)),
    "ARRAY_LENGTH": (1, 1, lambda v: len(v) if isinstance(v, list) else UNDEFINED),
    "ARRAY_SLICE": (2, 3, _slice),
    "ARRAY_CONCAT": (2, 64, _concat_arrays),
    "SETUNION": (2, 2, lambda a, b: _sets(a, b, keep=lambda x, y: x + y)),
    "SETINTERSECT": (2, 2, lambda a, b: _sets(a, b, keep=lambda x, y: [e for e in x if array_contains(y, e)])),
    "OBJECTTOARRAY": (1, 1, _object_to_array),
    "IIF": (3, 3, lambda test, yes, no: yes if test is True else no),
    **MOMENT_FUNCTIONS,
}
