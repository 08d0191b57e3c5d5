"""From pydantic models to what Swagger 2.0 and the flow designer understand: no unions, no references, titles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from infra.connector.operations import CHOICES, TITLES
from shared.platforms.power_automate.fields import Field, field_of, sentence

__all__ = ["answer_schema", "body_schema", "fields_schema", "parameter", "title_of"]

Json = dict[str, Any]
_KEPT = ("type", "format", "enum", "default", "minimum", "maximum", "minLength", "maxLength", "pattern", "items")
_IMPORTANT = frozenset({"title", "comment", "name", "message", "signal", "bucket", "minutes", "due_at", "assignee"})
_ADVANCED = frozenset({"continuation", "limit", "offset", "data", "kind", "work_order_id", "reference"})
DESCRIPTIONS: Mapping[str, str] = {
    "title": "What is to be done, in one line.",
    "description": "The same at length; empty: nothing.",
    "comment": "A remark for people; at most 2,000 characters.",
    "equipment_id": "The oven it is about; empty: none.",
    "alert_id": "The alert, as a trigger or another step gives it.",
    "work_order_id": "The work order it belongs to; empty: none.",
    "assignee": "Who is to do it; empty: nobody yet.",
    "due_at": "When it is to be done, in UTC; empty: nobody says.",
    "priority": "low, normal, high or urgent.",
    "minutes": "For how many minutes, 1,440 at most.",
}
OF_PATHS: Mapping[str, str] = {
    "equipment_id": "The oven.",
    "alert_id": "The alert, as a trigger or another step gives it.",
    "subscription_id": "The flow that waits for events.",
}


def title_of(name: str) -> str:
    """What a parameter is called on the screen."""
    return TITLES.get(name) or field_of(name, "x").title


def fields_schema(fields: Iterable[Field]) -> Json:
    """The body of a notification."""
    properties: Json = {}
    for field in fields:
        properties[field.name] = {
            "type": field.kind,
            **({"format": "date-time"} if field.is_time else {}),
            **({"format": "double"} if field.kind == "number" else {}),
            **({"format": "int64"} if field.kind == "integer" else {}),
            "x-nullable": True,
            "x-ms-summary": field.title,
            "description": field.description,
            **({"x-ms-visibility": "important"} if field.important else {}),
        }
    return {"type": "object", "properties": properties}


def answer_schema(model: type[BaseModel]) -> Json:
    """What an operation gives."""
    schema = model.model_json_schema()
    return _shown(schema, schema.get("$defs", {}))


def _shown(schema: Json, definitions: Mapping[str, Json]) -> Json:
    plain, nullable = _plain(schema, definitions)
    if plain.get("type") == "array":
        return {"type": "array", "items": _shown(plain["items"], definitions)}
    if "properties" not in plain:
        return {"type": plain.get("type", "object"), **({"x-nullable": True} if nullable else {})}
    properties: Json = {}
    for name, part in plain["properties"].items():
        shown = _shown(part, definitions)
        inner, _ = _plain(part, definitions)
        if name.endswith(("_at", "_until")) or name in ("timestamp", "start"):
            shown["format"] = "date-time"
        if shown["type"] == "number":
            shown["format"] = "double"
        shown["x-ms-summary"] = field_of(name, "x").title
        shown["description"] = sentence(inner.get("description") or part.get("description") or title_of(name))
        properties[name] = shown
    return {"type": "object", "properties": properties}


def body_schema(model: type[BaseModel], only: tuple[str, ...] | None, extra: Mapping[str, Json]) -> Json:
    """What an operation takes. ``extra``: additions by field."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    properties: Json = {}
    for name in schema["properties"] if only is None else only:
        plain, _ = _plain(schema["properties"][name], definitions)
        properties[name] = {
            **{key: plain[key] for key in _KEPT if plain.get(key) is not None},
            "x-ms-summary": title_of(name),
            "description": _description(name, plain),
            **_visibility(name),
            **_choice(name),
            **extra.get(name, {}),
        }
    required = [name for name in schema.get("required", ()) if name in properties]
    return {"type": "object", **({"required": required} if required else {}), "properties": properties}


def parameter(name: str, where: str, schema: Json, *, required: bool, extra: Json | None = None) -> Json:
    """A parameter in path, query or header."""
    plain, _ = _plain(schema, schema.get("$defs", {}))
    said: Json = {
        "name": name,
        "in": where,
        "required": required,
        **{key: plain[key] for key in _KEPT if plain.get(key) is not None},
        "x-ms-summary": title_of(name),
        "description": _description(name, plain),
        **({"x-ms-visibility": "important"} if required else _visibility(name)),
        **_choice(name),
    }
    if where == "path":
        said |= {"description": OF_PATHS[name], "x-ms-url-encoding": "single"}
    return {**said, **(extra or {})}


def _description(name: str, plain: Json) -> str:
    return sentence(plain.get("description") or DESCRIPTIONS.get(name) or title_of(name))


def _visibility(name: str) -> Json:
    if name in _IMPORTANT or name in CHOICES:
        return {"x-ms-visibility": "important"}
    return {"x-ms-visibility": "advanced"} if name in _ADVANCED else {}


def _choice(name: str) -> Json:
    return {"x-ms-dynamic-values": dict(CHOICES[name])} if name in CHOICES else {}


def _plain(schema: Json, definitions: Mapping[str, Json]) -> tuple[Json, bool]:
    """Without union and reference; may it be null?"""
    if "$ref" in schema:
        inner, nullable = _plain(definitions[schema["$ref"].rpartition("/")[2]], definitions)
        return {**inner, **{k: v for k, v in schema.items() if k != "$ref"}}, nullable
    choices = schema.get("anyOf")
    if choices is None:
        return schema, False
    (first, *more) = [choice for choice in choices if choice != {"type": "null"}]
    if more:
        raise ValueError(f"a flow cannot choose between {choices}")
    inner, _ = _plain(first, definitions)
    rest = {k: v for k, v in schema.items() if k != "anyOf"}
    # The description of a referenced type is for developers; the field's own is for people.
    return {**inner, **rest}, len(choices) > 1
