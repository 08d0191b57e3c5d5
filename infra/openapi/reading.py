"""What a handler's own code says about its calls: which models it parses with, which statuses it answers.

Handlers are short and alike (``call.body(Model)``, ``call.params(Model)``, ``Answer(said, 201)``), so their syntax
tree tells it. What it cannot tell is said by a marker at the handler's surface, never guessed.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

__all__ = ["Reading", "read_handler"]

MAX_DEPTH = 3
Model = type[BaseModel]


@dataclass
class Reading:
    """What was found in a handler and in what it hands its call to."""

    body: Model | None = None
    body_optional: bool = False
    raw_body: bool = False
    """It takes the body as it comes."""
    query: Model | None = None
    statuses: set[int] = field(default_factory=set)
    headers: set[str] = field(default_factory=set)
    """Request headers it looks at, in lower case."""
    identifies: bool = False
    """It asks itself who is calling."""


def read_handler(handler: Callable[..., Any]) -> Reading:
    """Read a handler. Statuses: 200 where it names none."""
    found = Reading()
    _read(handler, found, depth=0)
    if not found.statuses:
        found.statuses.add(200)
    return found


def _read(function: Callable[..., Any], found: Reading, depth: int) -> None:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    names = {**getattr(function, "__globals__", {}), **dict(_imported(tree))}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            _call(node, names, function.__module__, found, depth)
        elif isinstance(node, ast.Attribute) and node.attr == "identify":
            found.identifies = True
        elif isinstance(node, ast.Attribute) and _is_call(node.value):
            found.raw_body |= node.attr in ("raw", "json")
            if node.attr == "if_match":
                found.headers.add("if-match")
            found.body_optional |= node.attr == "raw"
    found.headers |= set(_headers(tree))


def _call(node: ast.Call, names: Mapping[str, Any], module: str, found: Reading, depth: int) -> None:
    target = node.func
    if isinstance(target, ast.Attribute) and _is_call(target.value) and node.args:
        model = _model(node.args[0], names)
        if target.attr == "body":
            found.body = model or found.body
        elif target.attr == "params":
            found.query = model or found.query
        return
    if not isinstance(target, ast.Name):
        return
    if target.id == "Answer":
        found.statuses |= _statuses(node)
        return
    if target.id in ("parse", "unpack") and node.args:
        where = next((k.value for k in node.keywords if k.arg == "where"), None)
        model = _model(node.args[0], names)
        if isinstance(where, ast.Constant) and where.value == "query":
            found.query = model or found.query
        else:
            found.body = model or found.body
        return
    helper = names.get(target.id)
    if not (inspect.isfunction(helper) and helper.__module__ == module) or depth >= MAX_DEPTH:
        return
    if not any(isinstance(argument, ast.Name) and argument.id == "call" for argument in node.args):
        if "status" in inspect.signature(helper).parameters:
            _helpers_status(node, helper, found)
        return
    for argument in node.args:
        found.body = _model(argument, names) or found.body
    _helpers_status(node, helper, found)
    _read(helper, found, depth + 1)


def _helpers_status(node: ast.Call, helper: Callable[..., Any], found: Reading) -> None:
    """A helper that answers with the status it is given, or with its own default."""
    parameter = inspect.signature(helper).parameters.get("status")
    if parameter is None:
        return
    place = list(inspect.signature(helper).parameters).index("status")
    given = next((k.value for k in node.keywords if k.arg == "status"), None)
    if given is None and len(node.args) > place:
        given = node.args[place]
    if given is not None:
        found.statuses |= _numbers(given)
    elif isinstance(parameter.default, int):
        found.statuses.add(parameter.default)


def _statuses(node: ast.Call) -> set[int]:
    given = node.args[1] if len(node.args) > 1 else None
    given = next((k.value for k in node.keywords if k.arg == "status"), given)
    return {200} if given is None else _numbers(given)


def _numbers(node: ast.expr) -> set[int]:
    return {
        n.value
        for n in ast.walk(node)
        if isinstance(n, ast.Constant) and isinstance(n.value, int) and 200 <= n.value < 600
    }


def _model(node: ast.expr, names: Mapping[str, Any]) -> Model | None:
    value = names.get(node.id) if isinstance(node, ast.Name) else None
    return value if isinstance(value, type) and issubclass(value, BaseModel) else None


def _is_call(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "call"


def _imported(tree: ast.AST) -> Iterator[tuple[str, Any]]:
    """Names that a function imports for itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            for alias in node.names:
                yield alias.asname or alias.name, getattr(module, alias.name, None)


def _headers(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "get"
            and isinstance(node.func.value, ast.Attribute)
            and node.func.value.attr == "headers"
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value).lower()
