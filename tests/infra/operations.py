"""What an operator makes of known values."""

from __future__ import annotations

from collections.abc import Sequence

from tests.infra.problem import Place
from tests.infra.values import OfKind, Outcome, Scalar

__all__ = ["operated"]

_TRUTH = ("==", "!=", "=~", "!~", "<", ">", "<=", ">=", "&&", "||", "!")


def operated(at: Place, operator: str, sides: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes of one combination of operands."""
    first = sides[0]
    match operator:
        case "post!":
            return [] if isinstance(first, Scalar) and first.value is None else [first]
        case "??":
            if not isinstance(first, Scalar):
                return [first, sides[1]] if isinstance(first, OfKind) else [first]
            return [sides[1]] if first.value is None else [first]
    known = [side.value for side in sides if isinstance(side, Scalar)]
    kind = "bool" if operator in _TRUTH else "int"
    truths = [value for value in known if isinstance(value, bool)]
    if operator == "&&" and False in truths:
        return [Scalar(at, False)]
    if operator == "||" and True in truths:
        return [Scalar(at, True)]
    if len(known) < len(sides):
        return [OfKind(at, kind)]
    return _calculated(at, operator, known, kind)


def _calculated(at: Place, operator: str, known: list[str | int | float | bool | None], kind: str) -> list[Outcome]:
    match operator, known:
        case "!", [bool(value)]:
            return [Scalar(at, not value)]
        case "-", [int(value)]:
            return [Scalar(at, -value)]
        case (("==" | "!="), [left, right]):
            return [Scalar(at, (type(left) is type(right) and left == right) == (operator == "=="))]
        case (("&&" | "||"), [bool(left), bool(right)]):
            return [Scalar(at, (left and right) if operator == "&&" else (left or right))]
        case _, [int(left), int(right)]:
            return _numbers(at, operator, left, right) or [OfKind(at, kind)]
    return [OfKind(at, kind)]


def _numbers(at: Place, operator: str, left: int, right: int) -> list[Outcome]:
    match operator:
        case "<":
            return [Scalar(at, left < right)]
        case ">":
            return [Scalar(at, left > right)]
        case "<=":
            return [Scalar(at, left <= right)]
        case ">=":
            return [Scalar(at, left >= right)]
        case "+":
            return [Scalar(at, left + right)]
        case "-":
            return [Scalar(at, left - right)]
        case "*":
            return [Scalar(at, left * right)]
        case "/" if right:
            return [Scalar(at, left // right)]
        case "%" if right:
            return [Scalar(at, left % right)]
    return []
