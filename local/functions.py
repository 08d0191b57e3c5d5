"""The functions of an app, read from its ``FunctionApp`` object."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

__all__ = ["APPS", "Function", "HttpFunction", "OtherFunction", "QueueFunction", "TimerFunction", "load", "read"]

APPS = {"cloud": "function_app", "relay": "relay_app"}
"""The entry modules, both at the root."""


@dataclass(frozen=True, slots=True)
class HttpFunction:
    """A function behind a route."""

    name: str
    handler: Callable[..., Any]
    bindings: Sequence[Mapping[str, Any]]
    argument: str
    """The name of the trigger binding, which is the handler's parameter."""
    route: str
    """With the route prefix, without a slash at the beginning."""
    methods: frozenset[str] | None
    """``None``: all."""
    auth_level: str
    """``anonymous``, ``function`` or ``admin``."""


@dataclass(frozen=True, slots=True)
class QueueFunction:
    """A function behind a Service Bus queue."""

    name: str
    handler: Callable[..., Any]
    bindings: Sequence[Mapping[str, Any]]
    argument: str
    queue: str
    connection: str
    many: bool
    """Cardinality many. The local host serves only cardinality one."""


@dataclass(frozen=True, slots=True)
class TimerFunction:
    """A function behind a schedule."""

    name: str
    handler: Callable[..., Any]
    bindings: Sequence[Mapping[str, Any]]
    argument: str
    schedule: str
    run_on_startup: bool
    use_monitor: bool


@dataclass(frozen=True, slots=True)
class OtherFunction:
    """A function behind a trigger that the local host does not serve."""

    name: str
    handler: Callable[..., Any]
    bindings: Sequence[Mapping[str, Any]]
    argument: str
    trigger: str


Function = HttpFunction | QueueFunction | TimerFunction | OtherFunction


def _text(value: Any) -> str:
    """Enumerations of the SDK as their text."""
    return str(getattr(value, "value", value))


def _http(common: Mapping[str, Any], trigger: Mapping[str, Any], prefix: str) -> HttpFunction:
    methods = trigger.get("methods")
    route = str(trigger.get("route") or common["name"]).strip("/")
    return HttpFunction(
        **common,
        route=f"{prefix}/{route}" if prefix else route,
        methods=frozenset(_text(m).upper() for m in methods) if methods else None,
        auth_level=_text(trigger.get("authLevel") or "function").lower(),
    )


def _one(function: Any, prefix: str) -> Function:
    bindings = [b.get_dict_repr() for b in function.get_bindings()]
    trigger = function.get_trigger().get_dict_repr()
    common = {
        "name": str(function.get_function_name()),
        "handler": function.get_user_function(),
        "bindings": bindings,
        "argument": str(trigger["name"]),
    }
    match trigger["type"]:
        case "httpTrigger":
            return _http(common, trigger, prefix)
        case "serviceBusTrigger" if trigger.get("queueName"):
            return QueueFunction(
                **common,
                queue=str(trigger["queueName"]),
                connection=str(trigger.get("connection", "")),
                many=_text(trigger.get("cardinality") or "one").lower() == "many",
            )
        case "timerTrigger":
            return TimerFunction(
                **common,
                schedule=str(trigger["schedule"]),
                run_on_startup=bool(trigger.get("runOnStartup")),
                use_monitor=trigger.get("useMonitor") is not False,
            )
        case other:
            return OtherFunction(**common, trigger=str(other))


def read(app: Any, route_prefix: str = "") -> tuple[Function, ...]:
    """All functions of a ``FunctionApp``, sorted by name without case as the host does.

    Asks ``app.get_functions()``, which the SDK allows once per app object.

    Raises:
        ValueError: two functions have one name, or a binding is wrong; the whole app would have no functions.
    """
    return tuple(sorted((_one(f, route_prefix) for f in app.get_functions()), key=lambda f: f.name.lower()))


@cache
def load(module: str, route_prefix: str = "") -> tuple[Function, ...]:
    """The functions of an entry module (``function_app``), read once per process."""
    return read(importlib.import_module(module).app, route_prefix)
