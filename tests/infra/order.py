"""What binds to what, where the parser's grammar has it wrong."""

from __future__ import annotations

from collections.abc import Callable

from tests.infra import syntax

__all__ = ["Order"]

_STRENGTH = {
    sign: strength
    for strength, signs in enumerate(
        (("??",), ("||",), ("&&",), ("==", "!=", "=~", "!~"), ("<", ">", "<=", ">="), ("+", "-"), ("*", "/", "%"))
    )
    for sign in signs
}
Build = Callable[[syntax.Expression], syntax.Expression]


class Order:
    """Builds expressions so that a dot takes only what is next to it, and stronger operators come first."""

    def __init__(self) -> None:
        self._closed: dict[int, syntax.Expression] = {}

    def closed(self, expression: syntax.Expression) -> syntax.Expression:
        """This one stands in parentheses: nothing outside takes a part of it."""
        self._closed[id(expression)] = expression
        return expression

    def postfix(self, inner: syntax.Expression, build: Build) -> syntax.Expression:
        """``build`` (a dot, an index, a call) on the last operand of ``inner``."""
        if id(inner) in self._closed:
            return build(inner)
        match inner:
            case syntax.Lambda(at=at, parameters=parameters, body=body):
                return syntax.Lambda(at, parameters, self.postfix(body, build))
            case syntax.Choice(at=at, condition=condition, yes=yes, no=no):
                return syntax.Choice(at, condition, yes, self.postfix(no, build))
            case syntax.Operation(at=at, operator=operator, operands=(left, right)):
                return syntax.Operation(at, operator, (left, self.postfix(right, build)))
            case syntax.Operation(at=at, operator="!" | "-" as operator, operands=(operand,)):
                return syntax.Operation(at, operator, (self.postfix(operand, build),))
        return build(inner)

    def binary(self, left: syntax.Expression, operator: str, right: syntax.Expression) -> syntax.Expression:
        """``left operator right``."""
        if id(left) not in self._closed:
            match left:
                case syntax.Lambda(at=at, parameters=parameters, body=body):
                    return syntax.Lambda(at, parameters, self.binary(body, operator, right))
                case syntax.Choice(at=at, condition=condition, yes=yes, no=no):
                    return syntax.Choice(at, condition, yes, self.binary(no, operator, right))
                case syntax.Operation(at=at, operator=weaker, operands=(first, second)) if _STRENGTH.get(
                    weaker, 0
                ) < _STRENGTH.get(operator, 0):
                    return syntax.Operation(at, weaker, (first, self.binary(second, operator, right)))
        return syntax.Operation(left.at, operator, (left, right))

    def ternary(self, condition: syntax.Expression, yes: syntax.Expression, no: syntax.Expression) -> syntax.Expression:
        """``condition ? yes : no``."""
        if id(condition) not in self._closed:
            match condition:
                case syntax.Lambda(at=at, parameters=parameters, body=body):
                    return syntax.Lambda(at, parameters, self.ternary(body, yes, no))
                case syntax.Choice(at=at, condition=first, yes=one, no=other):
                    return syntax.Choice(at, first, one, self.ternary(other, yes, no))
        return syntax.Choice(condition.at, condition, yes, no)
