"""From the parser's nodes to expressions.

The grammar lets a lambda and ``!`` bind more tightly than a dot: ``x => x.name`` arrives as ``(x => x).name`` and
``!a.b`` as ``(!a).b``. Between brackets it takes ``call(x)`` for two elements, ``call`` and ``(x)``. All three are put
right here.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tree_sitter import Node

from tests.infra import syntax
from tests.infra.parsing import elements, parse
from tests.infra.problem import Place

__all__ = ["Expressions"]

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class Expressions:
    """Reads the expressions of one file."""

    def __init__(self, path: str, nested: Callable[[Node], syntax.Resource]) -> None:
        self._path = path
        self._nested = nested

    def read(self, node: Node) -> syntax.Expression:
        """The expression that this node stands for."""
        place = Place(self._path, node.start_point.row + 1)
        parts = [child for child in node.named_children if child.type not in ("comment", "diagnostic_comment")]
        match node.type:
            case "string":
                return self._text(node, place)
            case "number":
                return syntax.Number(place, int(_source(node)))
            case "boolean":
                return syntax.Truth(place, _source(node) == "true")
            case "null":
                return syntax.Null(place)
            case "identifier" | "primitive_type":  # `string`, `int` and `bool` are functions, too
                return syntax.Name(place, _source(node))
            case "object":
                return self._object(parts, place)
            case "array":
                return syntax.Array(place, tuple(self._element(pieces) for pieces in elements(node)))
            case "for_statement":
                return self._loop(parts, place)
            case "lambda_expression":
                return self._lambda(parts, place)
            case "parenthesized_expression" if len(parts) == 1:
                return self.read(parts[0])
            case "resource_expression":
                return syntax.Child(place, self.read(parts[0]), _source(parts[-1]))
        return self._compound(node, parts, place)

    def _element(self, pieces: list[Node]) -> syntax.Expression:
        if len(pieces) == 1:
            return self.read(pieces[0])
        text = "".join(_source(piece) for piece in pieces)
        again = parse("\n" * pieces[0].start_point.row + f"var it = {text}")
        return self.read(again.named_children[-1].named_children[-1])

    def _compound(self, node: Node, parts: list[Node], place: Place) -> syntax.Expression:
        match node.type, parts:
            case "unary_expression", [operand]:
                return syntax.Operation(place, node.children[0].type, (self.read(operand),))
            case "nullable_type", [operand]:
                return _lifted(self.read(operand), lambda it: syntax.Operation(place, "post!", (it,)))
            case "binary_expression", [left, right]:
                operator = next(child.type for child in node.children if not child.is_named)
                second = self.read(right)
                return _lifted(
                    self.read(left), lambda it: syntax.Operation(place, operator, (it, second)), prefix=False
                )
            case "ternary_expression", [condition, yes, no]:
                first, second = self.read(yes), self.read(no)
                return _lifted(self.read(condition), lambda it: syntax.Choice(place, it, first, second), prefix=False)
            case "member_expression", [of, name]:
                safe, sure = (any(child.type == sign for child in node.children) for sign in (".?", "!"))
                return _lifted(self.read(of), lambda it: syntax.Member(place, _sure(it, sure), _source(name), safe))
            case "subscript_expression", [of, index]:
                safe, sure = (any(child.type == sign for child in node.children) for sign in ("?", "!"))
                inner = self.read(index)
                return _lifted(self.read(of), lambda it: syntax.Index(place, _sure(it, sure), inner, safe))
            case "call_expression", [of, arguments]:
                given = tuple(self.read(part) for part in arguments.named_children if part.type != "comment")
                return _lifted(self.read(of), lambda it: _call(place, it, given))
        return syntax.Unreadable(place)

    def _text(self, node: Node, place: Place) -> syntax.Text:
        parts: list[str | syntax.Expression] = []
        several = node.children[0].type == "'''"
        for child in node.children:
            if child.type == "interpolation" and child.named_children:
                parts.append(self.read(child.named_children[0]))
            elif child.type == "escape_sequence":
                parts.append(_unescaped(_source(child)))
            elif child.type == "string_content":
                parts.append(re.sub(r"^\r?\n", "", _source(child)) if several else _source(child))
        return syntax.Text(place, tuple(parts))

    def _object(self, parts: list[Node], place: Place) -> syntax.Object:
        entries: list[syntax.Entry] = []
        nested: list[syntax.Resource] = []
        for part in parts:
            inside = [child for child in part.named_children if child.type != "comment"]
            if part.type != "object_property" or not inside:
                continue
            if inside[0].type == "resource_declaration":
                nested.append(self._nested(inside[0]))
            elif len(inside) > 1:
                entries.append(self._entry(inside[0], inside[-1]))
        return syntax.Object(place, tuple(entries), tuple(nested))

    def _entry(self, key: Node, value: Node) -> syntax.Entry:
        place = Place(self._path, key.start_point.row + 1)
        if key.type != "string":
            return syntax.Entry(place, _source(key), None, self.read(value))
        text = self._text(key, place)
        return syntax.Entry(place, text.plain, text if text.plain is None else None, self.read(value))

    def _loop(self, parts: list[Node], place: Place) -> syntax.Expression:
        if len(parts) < 3:
            return syntax.Unreadable(place)
        names = [_source(child) for child in parts[0].named_children] or [_source(parts[0])]
        body, condition = parts[-1], None
        if body.type == "if_statement":
            condition, body = self.read(body.named_children[0]), body.named_children[-1]
        index = names[1] if len(names) > 1 else None
        return syntax.Loop(place, names[0], index, self.read(parts[1]), condition, self.read(body))

    def _lambda(self, parts: list[Node], place: Place) -> syntax.Expression:
        if len(parts) < 2:
            return syntax.Unreadable(place)
        names = parts[0].named_children if parts[0].type == "parenthesized_expression" else [parts[0]]
        return syntax.Lambda(place, tuple(_source(name) for name in names), self.read(parts[-1]))


def _lifted(
    inner: syntax.Expression, build: Callable[[syntax.Expression], syntax.Expression], *, prefix: bool = True
) -> syntax.Expression:
    """``build(inner)``, with a lambda (and, under a dot, a leading operator) moved back to the outside."""
    if isinstance(inner, syntax.Lambda):
        return syntax.Lambda(inner.at, inner.parameters, _lifted(inner.body, build, prefix=prefix))
    if prefix and isinstance(inner, syntax.Operation) and len(inner.operands) == 1 and inner.operator in ("!", "-"):
        return syntax.Operation(inner.at, inner.operator, (_lifted(inner.operands[0], build),))
    return build(inner)


def _sure(expression: syntax.Expression, sure: bool) -> syntax.Expression:
    return syntax.Operation(expression.at, "post!", (expression,)) if sure else expression


def _call(place: Place, target: syntax.Expression, given: tuple[syntax.Expression, ...]) -> syntax.Expression:
    match target:
        case syntax.Name(name=name):
            return syntax.Call(place, name, given)
        case syntax.Member(of=syntax.Name(name="sys" | "az"), name=name):
            return syntax.Call(place, name, given)
        case syntax.Member(of=of, name=name):
            return syntax.Call(place, name, given, of)
    return syntax.Unreadable(place)


def _unescaped(sequence: str) -> str:
    if sequence.startswith("\\u{"):
        return chr(int(sequence[3:-1], 16))
    return _ESCAPES.get(sequence[1:], sequence[1:])


def _source(node: Node) -> str:
    return (node.text or b"").decode()
