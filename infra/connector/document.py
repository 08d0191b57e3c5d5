"""Building ``apiDefinition.swagger.json``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from functions.surface import surface_of
from infra.connector.operations import ACTIONS, POLLED, Action, Polled
from infra.connector.schemas import answer_schema, body_schema, fields_schema, parameter
from infra.openapi.reading import read_handler
from local.functions import HttpFunction
from shared.platforms.power_automate.answers import SubscriptionRow
from shared.platforms.power_automate.forms import PollAsked, Subscribe
from shared.platforms.power_automate.triggers import ANYTHING, TRIGGERS, Trigger
from shared.version import VERSION

__all__ = ["definition"]

Json = dict[str, Any]
HOST = "ovenbridge.example.com"
"""Stands in for every customer's own; the connection says which (policy ``dynamichosturl``)."""
SUBSCRIBE = "subscribe_flow"
SUBSCRIBE_ANY = "subscribe_flow_to_anything"
WHO = ("x-ms-workflow-name", "x-ms-environment-id")
"""Headers by which the platform tells which flow it is."""

_DESCRIPTION = (
    "Ovenbridge connects bakery ovens and shop-floor machines. Start flows when an oven raises an alert, loses its "
    "connection or ends a batch; ask what an oven says now and what it said before; acknowledge alerts, make tasks and "
    "raise events."
)
_ERRORS = {
    "type": "object",
    "properties": {
        "status": {
            "type": "integer",
            "format": "int32",
            "x-ms-summary": "Status",
            "description": "The number of the error.",
        },
        "detail": {
            "type": "string",
            "x-ms-summary": "Detail",
            "description": "What is wrong and what to do, in one sentence.",
        },
    },
}


def definition(functions: Iterable[HttpFunction], security: Json) -> Json:
    """The definition. ``security``: ``securityDefinitions``, one of them."""
    known = {function.name: function for function in functions}
    paths: dict[str, Json] = {}
    for path, method, operation in _operations(known):
        there = paths.setdefault(path, {})
        if method in there:
            raise ValueError(f"{method} {path} stands in the connector twice")
        there[method] = operation
    return {
        "swagger": "2.0",
        "info": {
            "title": "Ovenbridge",
            "description": _DESCRIPTION,
            "version": VERSION,
            "contact": {"name": "Ovenbridge", "url": f"https://{HOST}/", "email": f"support@{HOST}"},
        },
        "host": HOST,
        "basePath": "/",
        "schemes": ["https"],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "paths": {path: paths[path] for path in sorted(paths)},
        "definitions": {"Error": _ERRORS},
        "securityDefinitions": security,
        "security": [{name: []} for name in security],
        "x-ms-connector-metadata": [
            {"propertyName": "Website", "propertyValue": f"https://{HOST}/"},
            {"propertyName": "Privacy policy", "propertyValue": f"https://{HOST}/privacy"},
            {"propertyName": "Categories", "propertyValue": "IT Operations;Productivity"},
        ],
    }


def _operations(known: Mapping[str, HttpFunction]) -> Iterator[tuple[str, str, Json]]:
    for trigger in TRIGGERS.values():
        function = known[SUBSCRIBE_ANY if trigger is ANYTHING else SUBSCRIBE]
        yield _path(function).replace("{trigger}", trigger.key), "post", _trigger(trigger)
    for polled in POLLED:
        yield _path(known[polled.function]).replace("{trigger}", polled.trigger), "get", _polled(polled)
    for action in ACTIONS:
        function = known[action.function]
        (method,) = function.methods or ("GET",)
        yield _path(function), method.lower(), _action(action, function, method)


def _path(function: HttpFunction) -> str:
    return "/" + re.sub(r"\{\*?(\w+)[^}]*\}", r"{\1}", function.route)


def _refused() -> Json:
    return {
        "description": "It was refused; the detail says why and what to do.",
        "schema": {"$ref": "#/definitions/Error"},
    }


def _trigger(trigger: Trigger) -> Json:
    fields = ["callback_url", "equipment_id"]
    fields += ["minimum_severity"] if trigger.by_severity else []
    fields += ["site"] + ([] if trigger.event_type is not None else ["event_type"])
    told = {"callback_url": {"x-ms-notification-url": True, "x-ms-visibility": "internal"}}
    body = {
        "name": "body",
        "in": "body",
        "required": True,
        "x-ms-summary": "Which events",
        "description": "Which events start the flow.",
        "schema": body_schema(Subscribe, tuple(fields), told),
    }
    return {
        "operationId": trigger.operation,
        "summary": trigger.summary,
        "description": f"{trigger.description} Needs the role engineer.",
        "x-ms-trigger": "single",
        "x-ms-trigger-hint": "To see it work, save the flow and run the action Send a test notification for it.",
        "x-ms-visibility": "important",
        "x-ms-notification-content": {
            "description": f"What is told {_lower(trigger.summary)}.",
            "schema": fields_schema(trigger.fields),
        },
        "parameters": [body, *(_who(name) for name in WHO)],
        "responses": {
            "201": {
                "description": "The flow is started from now on; the header Location names the subscription.",
                "schema": answer_schema(SubscriptionRow),
                "headers": {"Location": {"type": "string", "description": "Where the subscription is ended."}},
            },
            "default": _refused(),
        },
    }


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def _who(name: str) -> Json:
    schema = {"type": "string", "description": "Filled by the platform."}
    return parameter(name, "header", schema, required=False, extra={"x-ms-visibility": "internal"})


def _polled(polled: Polled) -> Json:
    trigger = TRIGGERS[polled.trigger]
    row = fields_schema(trigger.fields)
    schema: Json = {"type": "array", "items": row}
    if polled.form == "cursor":
        text = {"x-ms-summary": "Cursor", "description": "Where the next asking begins.", "x-ms-visibility": "internal"}
        items = {"type": "array", "items": row, "x-ms-summary": "Events", "description": "What happened, oldest first."}
        schema = {"type": "object", "properties": {"items": items, "cursor": {"type": "string", **text}}}
    answers: Json = {"200": {"description": "This happened.", "schema": schema}}
    if polled.form == "list":
        answers["202"] = {"description": "Nothing new.", "schema": schema}
    return {
        "operationId": polled.operation,
        "summary": polled.summary,
        "description": polled.description,
        "x-ms-trigger": "batch",
        "x-ms-trigger-metadata": {"mode": "polling", "kind": "query"},
        "x-ms-trigger-hint": "The flow starts with what happens after it was switched on.",
        "parameters": list(_poll_parameters(trigger, polled.form)),
        "responses": {**answers, "default": _refused()},
    }


def _poll_parameters(trigger: Trigger, form: str) -> Iterator[Json]:
    for name, schema in PollAsked.model_json_schema()["properties"].items():
        if name == "cursor":
            yield parameter(name, "query", schema, required=False, extra={"x-ms-visibility": "internal"})
        elif name == "form":
            told = {"default": form, "x-ms-visibility": "internal"}
            yield parameter(name, "query", schema, required=True, extra=told)
        elif name != "event_type" or trigger.event_type is None:
            yield parameter(name, "query", schema, required=False)


def _action(action: Action, function: HttpFunction, method: str) -> Json:
    surface = surface_of(function.handler)
    reading = read_handler(surface.handler)
    parameters = [*_path_parameters(function.route)]
    if reading.query is not None:
        schema = reading.query.model_json_schema()
        required = schema.get("required", ())
        for name, part in schema["properties"].items():
            parameters.append(
                parameter(name, "query", {**part, "$defs": schema.get("$defs", {})}, required=name in required)
            )
    if "idempotency-key" in reading.headers:
        parameters.append(_key())
    if method in ("POST", "PATCH") and reading.body is not None and action.fields != ():
        parameters.append(_body(action, reading.body, required=not reading.body_optional))
    said: Json = {"operationId": action.operation, "summary": action.summary, "description": action.description}
    if action.visibility is not None:
        said["x-ms-visibility"] = action.visibility
    if parameters:
        said["parameters"] = parameters
    answers: Json = {}
    for status in sorted(s for s in reading.statuses if s < 300):
        model = surface.answers.get(status) or action.answer
        answers[str(status)] = {"description": "It went well.", **({"schema": answer_schema(model)} if model else {})}
    said["responses"] = {**answers, "default": _refused()}
    return said


def _path_parameters(route: str) -> Iterator[Json]:
    for name in re.findall(r"\{\*?(\w+)[^}]*\}", route):
        yield parameter(name, "path", {"type": "string"}, required=True)


def _key() -> Json:
    words = "A text that names this step, such as an alert ID: the same key twice does it once; empty: each time anew."
    return parameter("Idempotency-Key", "header", {"type": "string", "description": words}, required=False)


def _body(action: Action, model: Any, *, required: bool) -> Json:
    return {
        "name": "body",
        "in": "body",
        "required": required,
        "x-ms-summary": "Values",
        "description": "What to do it with.",
        "schema": body_schema(model, action.fields, {}),
    }
