"""Building the document."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from functions.surface import Surface, surface_of
from infra.openapi.reading import Reading, read_handler
from local.functions import HttpFunction
from shared.version import VERSION

__all__ = ["document"]

Json = dict[str, Any]
REF = "#/components/schemas/"
PROBLEM = "Problem"

_DESCRIPTION = """\
Ovenbridge reads ovens and shop-floor machines, watches them, and tells work-instruction platforms, MES systems, flows
and auditors.

Every answer is JSON; an error is a problem document (RFC 9457) whose `detail` says what to do and whose `problems` name
the fields. Times are UTC, ISO 8601 with `Z`; temperatures are degrees Celsius. Lists are paged: pass `continuation`
back until it is null. Every answer carries `X-Correlation-Id`.
"""

_TEXTS: Mapping[int, str] = {
    200: "Done.",
    201: "Made. `Location` names it.",
    202: "Taken; the work goes on.",
    204: "Done; there is nothing to say.",
    304: "Unchanged since the etag in `If-None-Match`.",
    400: "Something in the call is wrong; `problems` names the fields.",
    401: "Nobody, or a caller that is not known.",
    403: "The caller is known and may not do this.",
    404: "There is nothing here.",
    409: "It does not go together with what is there.",
    411: "The body came without a length.",
    412: "Somebody else changed it: the etag is stale.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "It is understood and cannot be done.",
    429: "Too much at once. `Retry-After` says when to come again.",
    502: "A device or platform behind this failed; `detail` says how.",
    503: "Not now. `Retry-After` says when to come again.",
    504: "A relay or device did not answer in time.",
}

_HEADERS: Mapping[str, tuple[str, str]] = {
    "if-match": ("If-Match", "The etag that is expected; the call is refused with 412 when it is another one."),
    "if-none-match": ("If-None-Match", "The etag that is known; 304 while nothing is new."),
    "idempotency-key": ("Idempotency-Key", "1 to 255 visible characters: the same call twice is the same as once."),
}

_TAGS: Mapping[str, str] = {
    "access": "API tokens: who may call.",
    "alert_rules": "When an alert is raised, and what is done then.",
    "alerts": "What is wrong, and who has seen to it.",
    "anchors": "Where the audit log is anchored.",
    "audit": "What was done, by whom, provably unchanged.",
    "batches": "What was baked, when, in which oven.",
    "connections": "Connections to platforms.",
    "control": "Remote control.",
    "credential_sets": "Credentials that many machines share.",
    "deliveries": "What subscribers were told, and what is still to be told.",
    "discovery": "What a machine offers, and which certificate is trusted.",
    "equipment": "Machines and how they are read.",
    "external_requests": "What a worker's instruction asks.",
    "force_bridge": "Callbacks and events for FORCE Bridge clients, unchanged.",
    "force_bridge_tokens": "Access tokens for FORCE Bridge clients.",
    "force_bridge_work": "Our registrations at FORCE Bridge servers.",
    "health": "Is it alive, and can it work.",
    "hooks": "What calls in, and the inbox.",
    "iot": "A machine's connection, live values and history.",
    "metrics": "Counted and measured.",
    "relays": "Relays in plants.",
    "tasks": "What people are to do.",
}


@dataclass(frozen=True)
class _Operation:
    function: HttpFunction
    surface: Surface
    reading: Reading
    method: str

    @property
    def has_body(self) -> bool:
        return self.method in ("POST", "PUT", "PATCH")


def document(functions: Iterable[HttpFunction]) -> Json:
    """The description of these functions."""
    operations = sorted(_operations(functions), key=lambda o: (o.function.route, o.method))
    models = sorted({m for o in operations for m in _models(o)}, key=lambda m: m.__name__)
    names, schemas = _schemas(models)
    paths: dict[str, Json] = {}
    for operation in operations:
        path = "/" + re.sub(r"\{\*?(\w+)[^}]*\}", r"{\1}", operation.function.route)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, names)
    used = {o.surface.module for o in operations}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ovenbridge",
            "version": VERSION,
            "summary": "A hub between bakery equipment and the platforms that instruct and record the work.",
            "description": _DESCRIPTION,
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": _TAGS.get(name, _title(name))} for name in sorted(used)],
        "paths": paths,
        "components": {
            "schemas": dict(sorted({**schemas, PROBLEM: _problem()}.items())),
            "responses": {str(status): _refusal(status) for status in sorted(_TEXTS) if status >= 400},
            "securitySchemes": {
                "apiToken": {"type": "http", "scheme": "bearer", "description": "An API token: `ob_...`."},
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same token."},
                "functionKey": {"type": "apiKey", "in": "header", "name": "x-functions-key"},
            },
        },
    }


def _operations(functions: Iterable[HttpFunction]) -> Iterator[_Operation]:
    for function in functions:
        surface = surface_of(function.handler)
        reading = read_handler(surface.handler)
        for method in sorted(function.methods or {"GET"}):
            yield _Operation(function, surface, reading, method)


def _models(operation: _Operation) -> Iterator[type[BaseModel]]:
    for model in (operation.reading.body, operation.reading.query):
        if model is not None:
            yield model
    yield from operation.surface.answers.values()


def _schemas(models: Sequence[type[BaseModel]]) -> tuple[dict[type[BaseModel], str], dict[str, Json]]:
    for model in models:
        model.model_rebuild()
    references, definitions = models_json_schema([(m, "validation") for m in models], ref_template=REF + "{model}")
    names: dict[type[BaseModel], str] = {}
    for (source, _), reference in references.items():
        if issubclass(source, BaseModel):
            names[source] = str(reference["$ref"]).removeprefix(REF)
    return names, {name: _tidy(schema) for name, schema in definitions.get("$defs", {}).items()}


def _tidy(schema: Any) -> Any:
    """Without the titles that pydantic makes of every name, and without defaults that only say: nothing given."""
    if isinstance(schema, dict):
        return {key: _tidy(value) for key, value in schema.items() if not _is_noise(key, value)}
    return [_tidy(item) for item in schema] if isinstance(schema, list) else schema


def _is_noise(key: str, value: Any) -> bool:
    return (key == "title" and isinstance(value, str)) or (key == "default" and value in (None, ""))


def _operation(o: _Operation, names: Mapping[type[BaseModel], str]) -> Json:
    sentences = inspect.cleandoc(o.surface.handler.__doc__ or "").strip()
    summary, _, rest = sentences.partition("\n\n")
    said: Json = {
        "operationId": o.function.name,
        "tags": [o.surface.module],
        "summary": _first_sentence(summary),
        "description": f"{' '.join(summary.split())}\n\n{rest}".strip() + _who(o.surface),
    }
    parameters = [*_path_parameters(o.function.route), *_query_parameters(o.reading.query), *_header_parameters(o)]
    if parameters:
        said["parameters"] = parameters
    if o.has_body and (o.reading.body is not None or o.reading.raw_body):
        schema: Json = {} if o.reading.body is None else {"$ref": REF + names[o.reading.body]}
        content = {"application/json": {"schema": schema}}
        said["requestBody"] = {"required": not o.reading.body_optional, "content": content}
    said["responses"] = {str(status): _response(status, o, names) for status in sorted(_statuses(o))}
    said["security"] = _security(o)
    return said


def _first_sentence(text: str) -> str:
    line = " ".join(text.split())
    return re.split(r"(?<=[.:?]) ", line, maxsplit=1)[0].rstrip(".:")


def _who(surface: Surface) -> str:
    return f"\n\nRole: {surface.role}." if surface.role else ""


def _security(o: _Operation) -> list[Json]:
    if o.function.auth_level == "function":
        return [{"functionKey": []}]
    return [{"apiToken": []}, {"apiKey": []}] if o.surface.role else []


def _path_parameters(route: str) -> Iterator[Json]:
    for name, constraints in re.findall(r"\{\*?(\w+)([^}]*)\}", route):
        schema: Json = {"type": "string", "minLength": 1}
        for word, number in re.findall(r"(minlength|maxlength|length)\((\d+)\)", constraints):
            if word in ("minlength", "length"):
                schema["minLength"] = int(number)
            if word in ("maxlength", "length"):
                schema["maxLength"] = int(number)
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(model: type[BaseModel] | None) -> Iterator[Json]:
    if model is None:
        return
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    for name, field in schema.get("properties", {}).items():
        parameter: Json = {"name": name, "in": "query", "required": name in schema.get("required", [])}
        if description := field.get("description"):
            parameter["description"] = description
        plain = {k: v for k, v in _resolved(field, definitions).items() if k != "description"}
        parameter["schema"] = _tidy(_not_null(plain))
        yield parameter


def _resolved(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _resolved(definitions[schema["$ref"].rpartition("/")[2]], definitions)
        return {key: _resolved(value, definitions) for key, value in schema.items()}
    return [_resolved(item, definitions) for item in schema] if isinstance(schema, list) else schema


def _not_null(schema: Json) -> Json:
    """A query has no null: what may be left out is left out."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    if "anyOf" not in schema:
        return schema
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    return {**rest, **choices[0]} if len(choices) == 1 else {**rest, "anyOf": choices}


def _header_parameters(o: _Operation) -> Iterator[Json]:
    for name, (shown, description) in _HEADERS.items():
        if name in o.reading.headers:
            schema = {"type": "string"}
            yield {"name": shown, "in": "header", "required": False, "description": description, "schema": schema}


def _statuses(o: _Operation) -> set[int]:
    """What it answers, and how it may refuse."""
    found = {s for s in o.reading.statuses if s < 500 or s == 503} | set(o.surface.answers) | {400, 503}
    if o.surface.role or o.reading.identifies or o.function.auth_level == "function":
        found |= {401, 403}
    if "{" in o.function.route:
        found |= {401, 404} if not o.surface.role and o.function.auth_level != "function" else {404}
    if o.has_body or o.method == "DELETE":
        found |= {409, 412}
    if o.has_body:
        found |= {411, 413, 415, 422, 429}
    return found | set(o.surface.refuses)


def _response(status: int, o: _Operation, names: Mapping[type[BaseModel], str]) -> Json:
    if status >= 400 and status not in o.reading.statuses:
        return {"$ref": f"#/components/responses/{status}"}
    said: Json = {"description": _TEXTS.get(status, "As it says.")}
    if status not in (204, 304):
        model = o.surface.answers.get(status)
        schema: Json = {"type": "object"} if model is None else {"$ref": REF + names[model]}
        kinds = o.surface.content_types or ("application/json",)
        said["content"] = {kind: {"schema": schema if kind.endswith("json") else {"type": "string"}} for kind in kinds}
        if status >= 400:
            said["content"]["application/problem+json"] = {"schema": {"$ref": REF + PROBLEM}}
    return said


def _refusal(status: int) -> Json:
    said: Json = {
        "description": _TEXTS[status],
        "content": {"application/problem+json": {"schema": {"$ref": REF + PROBLEM}}},
    }
    if status in (429, 503):
        said["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return said


def _problem() -> Json:
    text = {"type": "string"}
    problem = {"type": "object", "properties": {"field": text, "problem": text}, "required": ["field", "problem"]}
    return {
        "type": "object",
        "description": "What went wrong (RFC 9457).",
        "properties": {
            "type": {**text, "description": "Stable: `urn:ovenbridge:problem:invalid-input`."},
            "title": text,
            "status": {"type": "integer"},
            "detail": {**text, "description": "What to do."},
            "problems": {"type": "array", "items": problem},
            "correlation_id": text,
        },
        "required": ["type", "title", "status", "detail"],
    }


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize() + "."
