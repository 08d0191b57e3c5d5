"""From the parser's nodes to types."""

from __future__ import annotations

from tree_sitter import Node

from tests.infra import syntax
from tests.infra.problem import Place

__all__ = ["Types"]


class Types:
    """Reads the types of one file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self, node: Node) -> syntax.Type:
        """The type that this node stands for; ``any`` where the gate cannot tell."""
        place = Place(self._path, node.start_point.row + 1)
        parts = [child for child in node.named_children if child.type != "comment"]
        match node.type, parts:
            case (("type" | "parenthesized_type" | "parenthesized_expression"), [inner]):
                return self.read(inner)
            case "primitive_type", _:
                return syntax.PrimitiveType(place, _source(node))
            case "identifier", _:
                name = _source(node)
                primitive = name in ("string", "int", "bool", "object", "array", "any")
                return syntax.PrimitiveType(place, name) if primitive else syntax.NamedType(place, name)
            case "member_expression", [within, name]:
                return syntax.NamedType(place, _source(name), _source(within))
            case "nullable_type", [inner]:
                optional = any(child.type == "?" for child in node.children)
                return syntax.NullableType(place, self.read(inner)) if optional else self.read(inner)
            case "array_type", [inner]:
                return syntax.ArrayType(place, self.read(inner))
            case "array", _:
                return syntax.PrimitiveType(place, "array")
            case "union_type", _:
                return syntax.UnionType(place, tuple(self.read(part) for part in parts))
            case "object", _:
                return syntax.ObjectType(place, tuple(self._properties(parts)))
        return self._literal(node, place)

    def _properties(self, parts: list[Node]) -> list[syntax.Property]:
        found = []
        for part in parts:
            if part.type != "object_property":
                continue
            place = Place(self._path, part.start_point.row + 1)
            name = _source(part.children[0]).strip("'")
            found.append(syntax.Property(place, name, self.read(part.named_children[-1])))
        return found

    @staticmethod
    def _literal(node: Node, place: Place) -> syntax.Type:
        source = _source(node)
        match node.type:
            case "string":
                return syntax.LiteralType(place, source.strip("'"))
            case "number":
                return syntax.LiteralType(place, int(source))
            case "boolean":
                return syntax.LiteralType(place, source == "true")
            case "null":
                return syntax.LiteralType(place, None)
        return syntax.PrimitiveType(place, "any")


def _source(node: Node) -> str:
    return (node.text or b"").decode()
