"""From the parser's nodes to expressions.

The grammar lets a dot, an index and a call take everything before them: ``a == b.c`` arrives as ``(a == b).c`` and
``x => x.name`` as ``(x => x).name``; :mod:`tests.infra.order` puts that right. Between brackets it takes ``call(x)``
for two elements, ``call`` and ``(x)``; that is put right here.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tree_sitter import Node

from tests.infra import syntax
from tests.infra.order import Order
from tests.infra.parsing import elements, parse
from tests.infra.problem import Place

__all__ = ["Expressions"]

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class Expressions:
    """Reads the expressions of one file."""

    def __init__(self, path: str, nested: Callable[[Node], syntax.Resource]) -> None:
        self._path = path
        self._nested = nested
        self._order = Order()

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
                return self._order.closed(self.read(parts[0]))
        return self._compound(node, parts, place)

    def _element(self, pieces: list[Node]) -> syntax.Expression:
        if len(pieces) == 1:
            return self.read(pieces[0])
        text = "".join(_source(piece) for piece in pieces)
        again = parse("\n" * pieces[0].start_point.row + f"var it = {text}")
        return self.read(again.named_children[-1].named_children[-1])

    def _compound(self, node: Node, parts: list[Node], place: Place) -> syntax.Expression:
        signs = {child.type for child in node.children if not child.is_named}
        match node.type, parts:
            case "unary_expression", [operand]:
                return syntax.Operation(place, node.children[0].type, (self.read(operand),))
            case "nullable_type", [operand]:
                return self._order.postfix(self.read(operand), _surely)
            case "binary_expression", [left, right]:
                operator = next(child.type for child in node.children if not child.is_named)
                return self._order.binary(self.read(left), operator, self.read(right))
            case "ternary_expression", [condition, yes, no]:
                return self._order.ternary(self.read(condition), self.read(yes), self.read(no))
            case "resource_expression", [of, name]:
                return self._order.postfix(self.read(of), lambda it: syntax.Child(it.at, it, _source(name)))
            case "member_expression", [of, name]:
                sure = "!" in signs
                return self._order.postfix(
                    self.read(of), lambda it: syntax.Member(it.at, _sure(it, sure), _source(name), ".?" in signs)
                )
            case "subscript_expression", [of, index]:
                inner, sure = self.read(index), "!" in signs
                return self._order.postfix(
                    self.read(of), lambda it: syntax.Index(it.at, _sure(it, sure), inner, "?" in signs)
                )
            case "call_expression", [of, arguments]:
                given = tuple(self.read(part) for part in arguments.named_children if part.type != "comment")
                return self._order.postfix(self.read(of), lambda it: _call(it.at, it, given))
        return syntax.Unreadable(place)

    def _text(self, node: Node, place: Place) -> syntax.Text:
        parts: list[str | syntax.Expression] = []
        several = node.children[0].type == "'''"
        source, end = node.text or b"", 0
        for child in node.children:
            start = child.start_byte - node.start_byte
            if gap := source[end:start].decode():  # the grammar leaves `\\$` out
                parts.append(_unescaped(gap))
            end = child.end_byte - node.start_byte
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


def _surely(expression: syntax.Expression) -> syntax.Expression:
    return syntax.Operation(expression.at, "post!", (expression,))


def _sure(expression: syntax.Expression, sure: bool) -> syntax.Expression:
    return _surely(expression) if sure else expression


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
