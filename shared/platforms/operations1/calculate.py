"""Calculating from numbers, without ``eval``: simpleeval walks the expression, and our bounds stand around it.

Every value is a finite float: no text, no list, no big integer can come to be, so nothing grows but the exponent, and
that ends in a sentence. Length, parts and nesting are bounded before anything is calculated.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import simpleeval

__all__ = ["FUNCTIONS", "CannotCalculate", "calculate", "names_in"]

MAX_LENGTH = 500
MAX_PARTS = 200
MAX_NESTING = 30
MAX_EXPONENT = 64

_ALLOWED = (
    ast.Expression,
    ast.Expr,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.IfExp,
    ast.Call,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
)


class CannotCalculate(ValueError):
    """It cannot be calculated; a sentence for people."""


def _round(value: float, digits: float = 0) -> float:
    if not 0 <= digits <= 10:
        raise CannotCalculate("round takes 0 to 10 digits.")
    return float(round(value, int(digits)))


def _mean(*values: float) -> float:
    return sum(values) / len(values)


FUNCTIONS: Mapping[str, Callable[..., float]] = {
    "abs": abs,
    "avg": _mean,
    "ceil": math.ceil,
    "floor": math.floor,
    "max": max,
    "min": min,
    "round": _round,
    "sqrt": math.sqrt,
}
"""What an expression may call."""


def names_in(expression: str) -> set[str]:
    """The names that an expression needs values for. Raises ``CannotCalculate``: it is none, or too large."""
    tree = _parsed(expression)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}


def calculate(expression: str, values: Mapping[str, float]) -> float:
    """The value of an expression. Raises ``CannotCalculate``: why not, for people."""
    tree = _parsed(expression)
    try:
        result = _evaluator(values).eval(expression, tree)
    except CannotCalculate:
        raise
    except ZeroDivisionError as err:
        raise CannotCalculate("It divides by zero.") from err
    except (OverflowError, MemoryError) as err:
        raise CannotCalculate("The result is too large.") from err
    except Exception as err:
        # simpleeval's own errors, and whatever an operator makes of its numbers: none of them is ours to let through.
        raise CannotCalculate(f"{type(err).__name__}: {str(err)[:200]}") from err
    return _number(result)


def _parsed(expression: str) -> ast.stmt:
    if len(expression) > MAX_LENGTH:
        raise CannotCalculate(f"An expression has at most {MAX_LENGTH} characters.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `1is 2` and the like are refused below
            body = ast.parse(expression.strip()).body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as err:
        raise CannotCalculate("It is no expression such as (gross - tare) / 1000.") from err
    if len(body) != 1 or not isinstance(body[0], ast.Expr):
        raise CannotCalculate("Write one expression, such as (gross - tare) / 1000.")
    _bounded(body[0])
    return body[0]


def _bounded(tree: ast.stmt) -> None:
    parts, level, depth = 0, [tree], 0
    while level:
        depth += 1
        below: list[Any] = []
        for node in level:
            parts += 1
            _known(node)
            below.extend(ast.iter_child_nodes(node))
        if parts > MAX_PARTS or depth > MAX_NESTING:
            raise CannotCalculate("This expression has too many parts.")
        level = below


def _known(node: Any) -> None:
    if not isinstance(node, _ALLOWED):
        raise CannotCalculate(f"{type(node).__name__} has no place in a calculation.")
    if isinstance(node, ast.Constant):
        if not isinstance(node.value, int | float):
            raise CannotCalculate("Only numbers are calculated with.")
        _number(node.value)
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            raise CannotCalculate(f"There are the functions {', '.join(sorted(FUNCTIONS))}.")
        if node.keywords or not node.args:
            raise CannotCalculate(f"{node.func.id} takes numbers in parentheses.")


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as err:
        raise CannotCalculate("The result is too large, or no number.") from err
    if not math.isfinite(number):
        raise CannotCalculate("The result is too large.")
    return number


def _evaluator(values: Mapping[str, float]) -> simpleeval.SimpleEval:
    import simpleeval

    def bounded(work: Callable[..., Any]) -> Callable[..., float]:
        def done(*given: Any) -> float:
            return _number(work(*(_number(one) for one in given)))

        return done

    def power(base: float, exponent: float) -> float:
        if abs(exponent) > MAX_EXPONENT:
            raise CannotCalculate(f"An exponent lies between -{MAX_EXPONENT} and {MAX_EXPONENT}.")
        return math.pow(base, exponent)

    operators: dict[type[ast.AST], Callable[..., Any]] = {
        ast.Add: bounded(lambda a, b: a + b),
        ast.Sub: bounded(lambda a, b: a - b),
        ast.Mult: bounded(lambda a, b: a * b),
        ast.Div: bounded(lambda a, b: a / b),
        ast.FloorDiv: bounded(lambda a, b: a // b),
        ast.Mod: bounded(lambda a, b: a % b),
        ast.Pow: bounded(power),
        ast.USub: bounded(lambda a: -a),
        ast.UAdd: bounded(lambda a: a),
        ast.Not: lambda a: not a,
        ast.Gt: lambda a, b: a > b,
        ast.GtE: lambda a, b: a >= b,
        ast.Lt: lambda a, b: a < b,
        ast.LtE: lambda a, b: a <= b,
        ast.Eq: lambda a, b: a == b,
        ast.NotEq: lambda a, b: a != b,
    }
    functions = {name: bounded(work) for name, work in FUNCTIONS.items()}
    return simpleeval.SimpleEval(operators=operators, functions=functions, names=dict(values))
