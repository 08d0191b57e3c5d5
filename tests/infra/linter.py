"""Rules of Bicep's linter that ``infra/bicepconfig.json`` makes errors, as far as they can be judged without it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.infra import syntax
from tests.infra.circles import names_in
from tests.infra.expressions import everything, expressions_of
from tests.infra.problem import Problem
from tests.infra.program import Program

__all__ = ["check_linter"]

_SECRET = re.compile(r"password|pwd|secret|accountkey|acctkey", re.IGNORECASE)
_HOSTS = (
    "api.loganalytics.io", "azuredatalakeanalytics.net", "azuredatalakestore.net", "batch.core.windows.net",
    "core.windows.net", "database.windows.net", "datalake.azure.net", "gallery.azure.com", "graph.windows.net",
    "login.microsoftonline.com", "management.azure.com", "management.core.windows.net", "region.asazure.windows.net",
    "trafficmanager.net", "vault.azure.net",
)  # fmt: skip


def check_linter(program: Program) -> Iterator[Problem]:
    """All files."""
    for file in program.files.values():
        for parameter in file.of(syntax.Parameter):
            yield from _secret(parameter)
        for expression in everything(file):
            yield from _host(expression)
            yield from _concatenated(expression)
        for declaration in file.declarations:
            if not isinstance(declaration, syntax.Parameter):
                yield from _location(declaration)
            if isinstance(declaration, syntax.Resource | syntax.Module):
                yield from _unnecessary(declaration)


def _secret(parameter: syntax.Parameter) -> Iterator[Problem]:
    """secure-secrets-in-params."""
    text = isinstance(parameter.type, syntax.PrimitiveType) and parameter.type.name in ("string", "object")
    if text and _SECRET.search(parameter.name) and parameter.decorator("secure") is None:
        yield Problem(parameter.at, f"`{parameter.name}` sounds like a secret: give it @secure() or another name.")


def _host(expression: syntax.Expression) -> Iterator[Problem]:
    """no-hardcoded-env-urls."""
    for part in expression.parts if isinstance(expression, syntax.Text) else ():
        for host in _HOSTS:
            if isinstance(part, str) and re.search(rf"(^|[./]){re.escape(host)}", part):
                yield Problem(expression.at, f"`{host}` is another one in other clouds: take it from environment().")


def _concatenated(expression: syntax.Expression) -> Iterator[Problem]:
    """prefer-interpolation."""
    match expression:
        case syntax.Call(at=at, name="concat", arguments=given) if any(isinstance(one, syntax.Text) for one in given):
            yield Problem(at, "write '${a}${b}' instead of concat(a, b) for strings.")


def _location(declaration: syntax.Declaration) -> Iterator[Problem]:
    """no-loc-expr-outside-params."""
    for outer in expressions_of(declaration):
        for expression in syntax.walk(outer):
            match expression:
                case syntax.Member(at=at, of=syntax.Call(name="resourceGroup" | "deployment" as of), name="location"):
                    yield Problem(at, f"take the location from a parameter, not from {of}().location.")


def _unnecessary(declaration: syntax.Resource | syntax.Module) -> Iterator[Problem]:
    """no-unnecessary-dependson."""
    body = declaration.body
    listed = body.get("dependsOn") if body is not None else None
    if body is None or not isinstance(listed, syntax.Array):
        return
    rest = syntax.Object(body.at, tuple(entry for entry in body.entries if entry.key != "dependsOn"))
    needed = names_in(syntax.Variable(body.at, "", (), rest))
    for item in listed.items:
        if isinstance(item, syntax.Name) and item.name in needed:
            yield Problem(item.at, f"`{item.name}` is used in the body already: take it out of dependsOn.")
