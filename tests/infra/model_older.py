"""Models of older packages: ``_attribute_map``, ``_validation``, ``_subtype_map``, enums in the docstring."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

from tests.infra.model_types import EnumType, Field, FieldType, ListType, MapType, Model, ModelType, Simple

if TYPE_CHECKING:
    from tests.infra.wheels import Package

__all__ = ["older"]

_SIMPLE = {
    "str": "string", "int": "int", "long": "int", "float": "number", "decimal": "number", "bool": "bool",
    "duration": "duration", "object": "any", "iso-8601": "string", "rfc-1123": "string", "bytearray": "string",
    "date": "string", "time": "string",
}  # fmt: skip
_ENUM = re.compile(r":vartype (\w+): (?:list\[)?str or\s+~[\w.]+\.(\w+)")


def older(package: Package, node: ast.ClassDef, model: Model) -> None:
    """Add what this class says to the model."""
    said = {name: _literal(node, name) for name in ("_attribute_map", "_validation", "_subtype_map")}
    enums = dict(_ENUM.findall(ast.get_docstring(node) or ""))
    wire = {name: str(entry["key"]) for name, entry in said["_attribute_map"].items()}
    for name, entry in said["_attribute_map"].items():
        rules = said["_validation"].get(name, {})
        if not wire[name]:
            model.open = True
            continue
        kind = _type(package, str(entry["type"]), enums.get(name, ""))
        path = [part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", wire[name])]
        _put(model, path, kind, required=bool(rules.get("required")), read_only=bool(rules.get("readonly")))
    for name, values in said["_subtype_map"].items():
        model.discriminator = wire.get(name, name).replace("\\.", ".")
        model.subtypes = {value: _model_type(package, own) for value, own in values.items()}


def _model_type(package: Package, name: str) -> ModelType:
    return ModelType(name, lambda: package.model(name))


def _put(model: Model, path: list[str], kind: FieldType, *, required: bool, read_only: bool) -> None:
    """A key with dots means objects within objects: ``properties.severity``."""
    first, *rest = path
    if not rest:
        model.fields[first] = Field(first, kind, required and not read_only, read_only)
        return
    there = model.fields.get(first)
    inner = there.type.read() if there is not None and isinstance(there.type, ModelType) else None
    own = f"{model.name}.{first}"
    if inner is None or inner.name != own:  # of a base: not ours to add to
        inner = Model(own, dict(inner.fields) if inner else {})
    found = inner
    must = (there is not None and there.required) or (required and not read_only)
    model.fields[first] = Field(first, ModelType(found.name, lambda: found), must)
    _put(found, rest, kind, required=required, read_only=read_only)


def _type(package: Package, written: str, enum: str) -> FieldType:
    if written.startswith("["):
        return ListType(_type(package, written[1:-1], enum))
    if written.startswith("{"):
        return MapType(_type(package, written[1:-1], enum))
    if enum and isinstance(found := package.type_named(enum), EnumType):
        return found
    return Simple(_SIMPLE[written]) if written in _SIMPLE else package.type_named(written) or Simple("any")


def _literal(node: ast.ClassDef, name: str) -> dict[str, Any]:
    for item in node.body:
        target = (
            item.targets[0]
            if isinstance(item, ast.Assign)
            else item.target
            if isinstance(item, ast.AnnAssign)
            else None
        )
        if isinstance(target, ast.Name) and target.id == name and isinstance(item, ast.Assign | ast.AnnAssign):
            found = ast.literal_eval(item.value) if item.value is not None else {}
            return found if isinstance(found, dict) else {}
    return {}
