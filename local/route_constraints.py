"""The inline constraints of ASP.NET Core routes (``{id:int}``, ``{id:length(32)}``), as the Functions host reads them.

Contract: Microsoft.AspNetCore.Routing ``RouteOptions.ConstraintMap``; texts are compared culture-free.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation

__all__ = ["Constraint", "UnknownConstraint", "constraint"]

Constraint = Callable[[str], bool]
"""Does the text of a route value satisfy it?"""

_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,30}\s*")
_NUMBER = re.compile(r"\s*[+-]?[0-9][0-9,]*(\.[0-9]*)?[+-]?\s*|\s*[+-]?\.[0-9]+\s*")
_FLOAT = re.compile(r"\s*[+-]?([0-9][0-9,]*(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*|NaN|[+-]?Infinity|∞|-∞")
_GUID = re.compile(
    r"[0-9a-f]{32}|([({]?)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}[)}]?", re.IGNORECASE
)
_ALPHA = re.compile(r"[a-z]*", re.IGNORECASE | re.ASCII)
_DATES = (
    "%m/%d/%Y",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%Y/%m/%d",
)


class UnknownConstraint(ValueError):
    """The host knows no constraint of this name, or its arguments are wrong: it would fail to build the route."""


def _integer(low: int, high: int) -> Constraint:
    def check(text: str) -> bool:
        return _INTEGER.fullmatch(text) is not None and low <= int(text) <= high

    return check


def _decimal(text: str) -> bool:
    if _NUMBER.fullmatch(text) is None:
        return False
    try:
        return abs(Decimal(text.replace(",", "").strip().rstrip("+-"))) < Decimal(2) ** 96
    except InvalidOperation:
        return False


def _guid(text: str) -> bool:
    text = text.strip()
    if _GUID.fullmatch(text) is None or (text[0] in "({") != (text[-1] in ")}"):
        return False
    if text[0] in "({" and {"(": ")", "{": "}"}[text[0]] != text[-1]:
        return False
    uuid.UUID(text.strip("(){}"))
    return True


def _datetime(text: str) -> bool:
    """ISO 8601 and the usual invariant forms; .NET's parser takes a few more."""
    text = text.strip()
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return any(_parses(text, form) for form in _DATES)
    return True


def _parses(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)  # noqa: DTZ007 - only whether it is a date at all
    except ValueError:
        return False
    return True


_PLAIN: dict[str, Constraint] = {
    "int": _integer(-(2**31), 2**31 - 1),
    "long": _integer(-(2**63), 2**63 - 1),
    "bool": lambda text: text.strip().lower() in ("true", "false"),
    "guid": _guid,
    "alpha": lambda text: _ALPHA.fullmatch(text) is not None,
    "decimal": _decimal,
    "double": lambda text: _FLOAT.fullmatch(text) is not None,
    "float": lambda text: _FLOAT.fullmatch(text) is not None,
    "datetime": _datetime,
    "required": lambda text: text != "",
}


def _number_argument(name: str, text: str) -> int:
    if _INTEGER.fullmatch(text) is None:
        raise UnknownConstraint(f"{name}({text}) needs whole numbers")
    return int(text)


def _length(low: int, high: int) -> Constraint:
    return lambda text: low <= len(text) <= high


def _between(low: int, high: int) -> Constraint:
    is_long = _PLAIN["long"]
    return lambda text: is_long(text) and low <= int(text) <= high


def _with_arguments(name: str, given: str) -> Constraint:
    if name == "regex":
        try:
            pattern = re.compile(given, re.IGNORECASE)
        except re.error as err:
            raise UnknownConstraint(f"regex({given}) is no regular expression: {err}") from err
        return lambda text: pattern.search(text) is not None
    numbers = [_number_argument(name, part) for part in given.split(",")]
    longest = 2**31 - 1
    match name, numbers:
        case "length", [exact]:
            return _length(exact, exact)
        case "length", [low, high]:
            return _length(low, high)
        case "minlength", [low]:
            return _length(low, longest)
        case "maxlength", [high]:
            return _length(0, high)
        case "min", [low]:
            return _between(low, 2**63 - 1)
        case "max", [high]:
            return _between(-(2**63), high)
        case "range", [low, high]:
            return _between(low, high)
        case _:
            raise UnknownConstraint(f"there is no route constraint {name} with {len(numbers)} argument(s)")


def constraint(text: str) -> Constraint:
    """The check behind ``int``, ``length(32)``, ``regex(^[a-z]+$)``.

    Raises:
        UnknownConstraint: the host has none of that name, or not with these arguments.
    """
    name, bracket, given = text.partition("(")
    name = name.strip().lower()
    if bracket and given.endswith(")"):
        return _with_arguments(name, given[:-1])
    if name in _PLAIN and not bracket:
        return _PLAIN[name]
    raise UnknownConstraint(f"there is no route constraint `{text}`")
