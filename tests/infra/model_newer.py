"""Models of newer packages: an annotation and ``rest_field(name=..., visibility=...)``."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from tests.infra.model_types import EnumType, Field, FieldType, ListType, MapType, Model, Simple

if TYPE_CHECKING:
    from tests.infra.wheels import Package

__all__ = ["newer"]

_SIMPLE = {
    "str": "string", "bytes": "string", "int": "int", "float": "number", "bool": "bool", "Any": "any", "object": "any",
    "JSON": "any", "datetime.datetime": "string", "datetime.date": "string", "datetime.time": "string",
    "datetime.timedelta": "duration", "decimal.Decimal": "number",
}  # fmt: skip
_TOOLS = ("rest_field", "rest_discriminator")


def newer(package: Package, node: ast.ClassDef, model: Model) -> None:
    """Add what this class says to the model."""
    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        call = item.value
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id not in _TOOLS:
            continue
        said = {keyword.arg: keyword.value for keyword in call.keywords}
        name = _text(said.get("name")) or item.target.id
        optional = isinstance(item.annotation, ast.Subscript) and _name(item.annotation.value) == "Optional"
        visible = said.get("visibility")
        read_only = isinstance(visible, ast.List) and [_text(one) for one in visible.elts] == ["read"]
        kind = _type(package, item.annotation)
        model.fields[name] = Field(name, kind, required=not optional and not read_only, read_only=read_only)
        if call.func.id == "rest_discriminator":
            model.discriminator = name
    model.subtypes = package.subtypes(node.name)


def _type(package: Package, node: ast.expr) -> FieldType:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _type(package, ast.parse(node.value, mode="eval").body)
    name = _name(node)
    if name in _SIMPLE:
        return Simple(_SIMPLE[name])
    if isinstance(node, ast.Attribute):
        return package.type_named(node.attr) or Simple("any")
    if isinstance(node, ast.Subscript):
        inner = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
        return _parametrised(package, _name(node.value), inner)
    return Simple("any")


def _parametrised(package: Package, name: str, inner: list[ast.expr]) -> FieldType:
    match name.lower(), inner:
        case "optional", [only]:
            return _type(package, only)
        case (("list" | "sequence"), [only]):
            return ListType(_type(package, only))
        case (("dict" | "mapping"), [_, value]):
            return MapType(_type(package, value))
        case "union", _:
            kinds = [_type(package, one) for one in inner]
            return next((kind for kind in kinds if isinstance(kind, EnumType)), Simple("any"))
        case "literal", _:
            values = [_literal(package, one) for one in inner]
            return (
                EnumType(tuple(value for value in values if value is not None)) if None not in values else Simple("any")
            )
    return Simple("any")


def _literal(package: Package, node: ast.expr) -> str | int | None:
    """``Literal["Allow"]`` or ``Literal[BackupPolicyType.CONTINUOUS]``."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int):
        return node.value
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return package.enum_member(node.value.id, node.attr)
    return None


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return ""


def _text(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
