"""A tree to functions: every expression becomes a closure over the row it is asked about.

A row is a dictionary from alias to value. Under the key ``GROUP`` it holds the rows of its group, where aggregates are
computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from tests.wire.cosmos.sql.functions import AGGREGATES, FUNCTIONS, like_pattern
from tests.wire.cosmos.sql.lexer import query_error
from tests.wire.cosmos.sql.moments import moment_text, ticks_of_epoch
from tests.wire.cosmos.sql.syntax import (
    ArrayLiteral,
    Between,
    Binary,
    Call,
    Expr,
    In,
    Like,
    Literal,
    Member,
    Name,
    ObjectLiteral,
    Parameter,
    Query,
    Subquery,
    Ternary,
    Unary,
)
from tests.wire.cosmos.sql.values import UNDEFINED, Undefined, compare, equal, is_number, sort_key

__all__ = ["GROUP", "Compiler", "Row", "Value"]

Row = dict[str, Any]
Value = Callable[[Row], Any]
GROUP = "\0group"


class Compiler:
    """Expressions to closures, with the parameters of one call."""

    def __init__(
        self,
        parameters: Mapping[str, Any],
        now: Callable[[], float],
        subquery: Callable[[Query, Compiler], Callable[[Row], list[Any]]],
        aliases: frozenset[str] = frozenset(),
    ) -> None:
        self.parameters, self.now, self.subquery, self.aliases = parameters, now, subquery, aliases

    def within(self, aliases: frozenset[str]) -> Compiler:
        """The same with more aliases known."""
        return Compiler(self.parameters, self.now, self.subquery, self.aliases | aliases)

    def __call__(self, node: Expr) -> Value:
        """The closure of an expression. Raises 400 for what cannot be resolved."""
        return _COMPILE[type(node)](self, node)

    def constant(self, node: Expr) -> Any:
        """The value of an expression that names no document."""
        return Compiler(self.parameters, self.now, self.subquery)(node)({})

    # leaves

    def _literal(self, node: Literal) -> Value:
        value = node.value
        return lambda row: value

    def _parameter(self, node: Parameter) -> Value:
        if node.name not in self.parameters:
            raise _unresolved(node.name, node)
        value = self.parameters[node.name]
        return lambda row: value

    def _name(self, node: Name) -> Value:
        if node.name not in self.aliases:
            raise _unresolved(node.name, node)
        name = node.name
        return lambda row: row.get(name, UNDEFINED)

    def _member(self, node: Member) -> Value:
        base = self(node.base)
        if isinstance(node.key, Literal) and isinstance(node.key.value, str):
            name = node.key.value

            def named(row: Row) -> Any:
                value = base(row)
                return value.get(name, UNDEFINED) if type(value) is dict else UNDEFINED

            return named
        key = self(node.key)
        return lambda row: _index(base(row), key(row))

    # operators

    def _unary(self, node: Unary) -> Value:
        operand = self(node.operand)
        if node.operator == "NOT":
            return lambda row: _not(operand(row))
        if node.operator == "-":
            return lambda row: -v if is_number(v := operand(row)) else UNDEFINED
        if node.operator == "~":
            return lambda row: ~int(v) if is_number(v := operand(row)) else UNDEFINED
        return lambda row: v if is_number(v := operand(row)) else UNDEFINED

    def _binary(self, node: Binary) -> Value:
        left, right = self(node.left), self(node.right)
        if node.operator == "AND":
            return _and(left, right)
        if node.operator == "OR":
            return _or(left, right)
        if node.operator == "??":
            return lambda row: right(row) if isinstance(v := left(row), Undefined) or v is None else v
        if node.operator == "=":
            return lambda row: equal(left(row), right(row))
        if node.operator == "!=":
            return lambda row: _not(equal(left(row), right(row)))
        if node.operator in _ORDERS:
            holds = _ORDERS[node.operator]
            return lambda row: UNDEFINED if (c := compare(left(row), right(row))) is None else holds(c)
        apply = _ARITHMETIC[node.operator]
        return lambda row: apply(left(row), right(row))

    def _between(self, node: Between) -> Value:
        operand, low, high = self(node.operand), self(node.low), self(node.high)

        def between(row: Row) -> Any:
            value = operand(row)
            above, below = compare(value, low(row)), compare(value, high(row))
            return UNDEFINED if above is None or below is None else above >= 0 >= below

        return between

    def _in(self, node: In) -> Value:
        operand, choices = self(node.operand), [self(choice) for choice in node.choices]

        def among(row: Row) -> Any:
            value = operand(row)
            if isinstance(value, Undefined):
                return UNDEFINED
            return any(equal(value, choice(row)) is True for choice in choices)

        return among

    def _like(self, node: Like) -> Value:
        operand, pattern = self(node.operand), self(node.pattern)
        escape = self(node.escape) if node.escape else None

        def like(row: Row) -> Any:
            value, wanted, mark = operand(row), pattern(row), escape(row) if escape else None
            if not isinstance(value, str) or not isinstance(wanted, str):
                return UNDEFINED
            return like_pattern(wanted, mark if isinstance(mark, str) else None).fullmatch(value) is not None

        return like

    def _ternary(self, node: Ternary) -> Value:
        test, yes, no = self(node.test), self(node.yes), self(node.no)
        return lambda row: yes(row) if test(row) is True else no(row)

    # made things

    def _object(self, node: ObjectLiteral) -> Value:
        entries = [(name, self(expr)) for name, expr in node.entries]
        return lambda row: {n: v for n, value in entries if not isinstance(v := value(row), Undefined)}

    def _array(self, node: ArrayLiteral) -> Value:
        items = [self(item) for item in node.items]
        return lambda row: [v for item in items if not isinstance(v := item(row), Undefined)]

    def _subquery(self, node: Subquery) -> Value:
        run = self.subquery(node.query, self)
        if node.kind == "exists":
            return lambda row: bool(run(row))
        if node.kind == "array":
            return run
        return lambda row: v[0] if (v := run(row)) else UNDEFINED

    # calls

    def _call(self, node: Call) -> Value:
        if node.name in AGGREGATES:
            return self._aggregate(node)
        clock = self._clock(node.name)
        if clock is not None:
            return clock
        known = FUNCTIONS.get(node.name)
        if known is None:
            raise query_error(
                "SC2005", f"'{node.name}' is not a recognized built-in function name.", node.span.start, node.span.end
            )
        fewest, most, function = known
        if not fewest <= len(node.arguments) <= most:
            expected = fewest if fewest == most else f"{fewest} to {most}"
            raise query_error(
                "SC2050", f"The {node.name} function requires {expected} argument(s).", node.span.start, node.span.end
            )
        arguments = [self(argument) for argument in node.arguments]
        if len(arguments) == 1:
            (only,) = arguments
            return lambda row: function(only(row))
        return lambda row: function(*[argument(row) for argument in arguments])

    def _clock(self, name: str) -> Value | None:
        moment = self.now()
        if name in ("GETCURRENTDATETIME", "GETCURRENTDATETIMESTATIC"):
            text = moment_text(ticks_of_epoch(moment))
            return lambda row: text
        if name in ("GETCURRENTTIMESTAMP", "GETCURRENTTIMESTAMPSTATIC"):
            return lambda row: int(moment * 1000)
        return None

    def _aggregate(self, node: Call) -> Value:
        if len(node.arguments) != 1:
            raise query_error("SC2050", f"The {node.name} function requires 1 argument(s).", *_ends(node))
        if any(isinstance(inner, Call) and inner.name in AGGREGATES for inner in node.arguments):
            raise query_error("SC2104", "An aggregate cannot be taken of an aggregate.")
        (argument,) = (self(argument) for argument in node.arguments)
        gather = _GATHER[node.name]

        def aggregate(row: Row) -> Any:
            values = (argument(one) for one in row[GROUP])
            return gather([value for value in values if not isinstance(value, Undefined)])

        return aggregate


def _ends(node: Expr) -> tuple[int, int]:
    return node.span.start, node.span.end


def _unresolved(name: str, node: Expr) -> Exception:
    return query_error("SC2001", f"Identifier '{name}' could not be resolved.", *_ends(node))


def _index(value: Any, key: Any) -> Any:
    if isinstance(value, dict) and isinstance(key, str):
        return value.get(key, UNDEFINED)
    if isinstance(value, list) and is_number(key) and float(key).is_integer() and 0 <= key < len(value):
        return value[int(key)]
    return UNDEFINED


def _not(value: Any) -> Any:
    return not value if isinstance(value, bool) else UNDEFINED


def _and(left: Value, right: Value) -> Value:
    def both(row: Row) -> Any:
        first = left(row)
        if first is False:
            return False
        second = right(row)
        if second is False:
            return False
        return True if first is True and second is True else UNDEFINED

    return both


def _or(left: Value, right: Value) -> Value:
    def either(row: Row) -> Any:
        first = left(row)
        if first is True:
            return True
        second = right(row)
        if second is True:
            return True
        return False if first is False and second is False else UNDEFINED

    return either


_ORDERS: dict[str, Callable[[int], bool]] = {
    "<": lambda c: c < 0,
    "<=": lambda c: c <= 0,
    ">": lambda c: c > 0,
    ">=": lambda c: c >= 0,
}


def _calculate(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def calculated(left: Any, right: Any) -> Any:
        if not is_number(left) or not is_number(right):
            return UNDEFINED
        try:
            result = function(left, right)
        except (ZeroDivisionError, OverflowError, ValueError):
            return UNDEFINED
        if isinstance(result, float):
            if not math.isfinite(result):
                return UNDEFINED
            return int(result) if result.is_integer() and abs(result) < 2**53 else result
        return result

    return calculated


def _joined(left: Any, right: Any) -> Any:
    return left + right if isinstance(left, str) and isinstance(right, str) else UNDEFINED


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": _calculate(lambda a, b: a + b),
    "-": _calculate(lambda a, b: a - b),
    "*": _calculate(lambda a, b: a * b),
    "/": _calculate(lambda a, b: a / b),
    "%": _calculate(math.fmod),
    "&": _calculate(lambda a, b: int(a) & int(b)),
    "|": _calculate(lambda a, b: int(a) | int(b)),
    "^": _calculate(lambda a, b: int(a) ^ int(b)),
    "<<": _calculate(lambda a, b: int(a) << int(b)),
    ">>": _calculate(lambda a, b: int(a) >> int(b)),
    ">>>": _calculate(lambda a, b: (int(a) & 0xFFFFFFFF) >> int(b)),
    "||": _joined,
}


def _sum(values: list[Any]) -> Any:
    return _tidy(math.fsum(values)) if values and all(is_number(v) for v in values) else UNDEFINED


def _average(values: list[Any]) -> Any:
    return _tidy(math.fsum(values) / len(values)) if values and all(is_number(v) for v in values) else UNDEFINED


def _tidy(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _extreme(choose: Callable[..., Any]) -> Callable[[list[Any]], Any]:
    def found(values: list[Any]) -> Any:
        if not values or any(isinstance(v, list | dict) for v in values):
            return UNDEFINED
        return choose(values, key=sort_key)

    return found


_GATHER: dict[str, Callable[[list[Any]], Any]] = {
    "COUNT": len,
    "SUM": _sum,
    "AVG": _average,
    "MIN": _extreme(min),
    "MAX": _extreme(max),
}

_COMPILE: dict[type, Callable[[Compiler, Any], Value]] = {
    Literal: Compiler._literal,
    Parameter: Compiler._parameter,
    Name: Compiler._name,
    Member: Compiler._member,
    Unary: Compiler._unary,
    Binary: Compiler._binary,
    Between: Compiler._between,
    In: Compiler._in,
    Like: Compiler._like,
    Ternary: Compiler._ternary,
    Call: Compiler._call,
    ObjectLiteral: Compiler._object,
    ArrayLiteral: Compiler._array,
    Subquery: Compiler._subquery,
}
