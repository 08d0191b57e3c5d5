"""Would the Functions host take these functions? The rules it drops functions by, before anything is deployed.

The host drops what breaks a rule, logs it and starts without it; a wrong parameter list loses the whole app. Here
every such thing is a :class:`Problem`. Rules: ``reference/functions-runtime.md`` section 3.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from local.functions import Function, HttpFunction, OtherFunction, QueueFunction, TimerFunction
from local.route_template import BadTemplate, Template, parse_template
from local.schedule import BadSchedule, parse_schedule
from local.shadows import shadowed_by
from shared.topology import topology

__all__ = ["Checked", "Problem", "check", "examine"]

_FUNCTION_NAME = re.compile(r"[a-z][a-z0-9_-]{0,127}", re.IGNORECASE)
_BINDING_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9]{0,127}")
_SETTING = re.compile(r"%([^%]+)%")
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with one function."""

    function: str
    sentence: str
    dropped: bool
    """The host (or this one) would run the app without the function. Otherwise it runs, but not as meant."""

    def __str__(self) -> str:
        return f"{self.function}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Checked:
    """The functions that run, with their settings resolved, and what is wrong."""

    functions: tuple[Function, ...]
    problems: tuple[Problem, ...]


def check(functions: Iterable[Function], settings: Mapping[str, str]) -> list[Problem]:
    """Everything the host would complain about. ``settings`` are the app settings that ``%NAME%`` refers to."""
    return list(examine(functions, settings).problems)


def examine(functions: Iterable[Function], settings: Mapping[str, str]) -> Checked:
    """Sort the functions that run from those that are dropped."""
    kept: list[Function] = []
    problems: list[Problem] = []
    for function in sorted(functions, key=lambda f: f.name.lower()):
        resolved, missing = _resolve(function, settings)
        reasons = missing or [*_names(resolved, kept), *_rules(resolved, kept)]
        problems += [Problem(function.name, reason, dropped=True) for reason in reasons]
        if not reasons:
            kept.append(resolved)
    problems += _shadows([f for f in kept if isinstance(f, HttpFunction)])
    return Checked(tuple(kept), tuple(problems))


def _resolve(function: Function, settings: Mapping[str, str]) -> tuple[Function, list[str]]:
    """``%NAME%`` in a schedule or queue name replaced by the setting."""
    given = {name.upper(): value for name, value in settings.items()}
    missing: list[str] = []

    def value(found: re.Match[str]) -> str:
        setting = given.get(found[1].upper(), "")
        if not setting:
            missing.append(f"the setting {found[1]}, which its binding names as %{found[1]}%, is missing or empty")
        return setting

    match function:
        case TimerFunction():
            return replace(function, schedule=_SETTING.sub(value, function.schedule)), missing
        case QueueFunction():
            return replace(function, queue=_SETTING.sub(value, function.queue)), missing
        case _:
            return function, missing


def _names(function: Function, kept: Sequence[Function]) -> Iterator[str]:
    name = function.name
    if _FUNCTION_NAME.fullmatch(name) is None or name.lower() == "host":
        yield "a function's name is a letter, then letters, digits, `_` or `-`, at most 128 in all, and not `host`"
    if any(name.lower() == other.name.lower() for other in kept):
        yield "another function has this name (upper and lower case are one)"
    said = [str(b["name"]) for b in function.bindings]
    for binding in said:
        if binding != "$return" and _BINDING_NAME.fullmatch(binding) is None:
            yield f"the binding name `{binding}` must be letters and digits only (`req`, `msg`, `timer`)"
    inputs = {b for b in said if b != "$return"}
    if (parameters := set(inspect.signature(function.handler).parameters) - {"context"}) != inputs:
        yield (
            f"its parameters ({', '.join(sorted(parameters)) or 'none'}) are not its bindings "
            f"({', '.join(sorted(inputs))}); the worker would drop the whole app"
        )


def _rules(function: Function, kept: Sequence[Function]) -> Iterator[str]:
    match function:
        case HttpFunction():
            yield from _http_rules(function, [f for f in kept if isinstance(f, HttpFunction)])
        case TimerFunction():
            try:
                parse_schedule(function.schedule, now=datetime.now(UTC))
            except BadSchedule as err:
                yield f"the schedule `{function.schedule}` is not usable: {err}"
        case QueueFunction():
            yield from _queue_rules(function)
        case OtherFunction():
            yield f"the local host does not serve the trigger {function.trigger}"
    context = inspect.signature(function.handler).parameters.get("context")
    if context is not None and context.default is inspect.Parameter.empty:
        yield "the local host gives no `context`; let it have a default"
    for binding in function.bindings:
        if str(binding["name"]) not in ("$return", function.argument):
            yield f"the local host serves triggers only, not the binding `{binding['name']}`"


def _http_rules(function: HttpFunction, earlier: Sequence[HttpFunction]) -> Iterator[str]:
    if function.route.lower().startswith(("admin", "runtime")):
        yield f"the route `{function.route}` begins with a reserved word (`admin`, `runtime`)"
    try:
        parse_template(function.route)
    except BadTemplate as err:
        yield f"the route `{function.route}` is not usable: {err}"
    if unknown := (function.methods or frozenset()) - METHODS:
        yield f"there is no method {', '.join(sorted(unknown))}"
    for other in earlier:
        if other.route.lower() == function.route.lower() and _overlap(function, other):
            yield f"{other.name} has the same route `{other.route}` with a method in common"


def _overlap(a: HttpFunction, b: HttpFunction) -> bool:
    return a.methods is None or b.methods is None or bool(a.methods & b.methods)


def _queue_rules(function: QueueFunction) -> Iterator[str]:
    if function.many:
        yield "cardinality many is not served: the extension shifts the metadata of a batch; use one"
    if function.queue not in topology().queues:
        yield f"there is no queue `{function.queue}` in infra/topology.json"
    if not function.connection:
        yield "the binding names no connection"


def _shadows(functions: Sequence[HttpFunction]) -> Iterator[Problem]:
    """First match wins in the order of names: find functions that others stand in front of."""
    parse: Callable[[HttpFunction], Template] = lambda f: parse_template(f.route)  # noqa: E731
    for i, function in enumerate(functions):
        earlier = [f for f in functions[:i] if _overlap(f, function)]
        found = shadowed_by(parse(function), [parse(f) for f in earlier])
        if found is not None:
            other = earlier[found[0]]
            yield Problem(
                function.name,
                f"calls like /{found[1]} go to {other.name} (`{other.route}`), which comes first by name; "
                "constrain that route's parameter",
                dropped=False,
            )
