"""Modules and what they are given: files, parameters, outputs; the parameter file; types of values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from tests.infra import syntax
from tests.infra.assignable import misfits
from tests.infra.evaluation import Evaluator, Scope
from tests.infra.expressions import everything
from tests.infra.problem import Place, Problem
from tests.infra.values import Fields, Later, OfKind

__all__ = ["check_interfaces"]

_MODULE_PROPERTIES = {"name", "params", "scope", "dependsOn", "identity"}
_AZD = re.compile(r"^\$\{[A-Z_][A-Z0-9_]*(=.*)?\}$")


def check_interfaces(evaluator: Evaluator) -> Iterator[Problem]:
    """Modules, outputs, defaults, imports and the parameter file."""
    for file in evaluator.program.files.values():
        scope = evaluator.scope_of(file)
        for module in file.of(syntax.Module):
            yield from _module(evaluator, file, module, scope)
        yield from _declared_types(evaluator, file, scope)
        yield from _outputs_used(evaluator, file)
        yield from _imports(evaluator, file)
        yield from _parameter_file(evaluator, file)


def _module(evaluator: Evaluator, file: syntax.BicepFile, module: syntax.Module, scope: Scope) -> Iterator[Problem]:
    path = evaluator.program.beside(file.path, module.path)
    target = evaluator.program.files.get(path)
    if target is None:
        yield Problem(module.at, f"the module {module.path} is not there ({path}).")
        return
    body = module.body
    if body is None:
        return
    for entry in body.entries:
        if entry.key is not None and entry.key not in _MODULE_PROPERTIES:
            yield Problem(entry.at, f"a module has no `{entry.key}`; it has: {', '.join(sorted(_MODULE_PROPERTIES))}.")
    scopes = evaluator.turns(module.value, scope) if isinstance(module.value, syntax.Loop) else [scope]
    given = body.get("params")
    for inner in scopes:
        if given is None:
            yield from _given(evaluator, module.at, {}, target, module.path, complete=True)
            continue
        for outcome in evaluator.evaluate(given, inner):
            if isinstance(outcome, Fields):
                where = outcome.at
                yield from _given(evaluator, where, outcome.entries, target, module.path, complete=outcome.complete)


def _given(
    evaluator: Evaluator,
    at: Place,
    entries: Mapping[str, Later],
    target: syntax.BicepFile,
    path: str,
    *,
    complete: bool,
) -> Iterator[Problem]:
    parameters = {parameter.name: parameter for parameter in target.of(syntax.Parameter)}
    for name, value in entries.items():
        parameter = parameters.get(name)
        if parameter is None:
            known = ", ".join(sorted(parameters)) or "none"
            if not name.startswith("${"):
                yield Problem(value.at, f"{path} has no parameter `{name}`; it has: {known}.")
            continue
        yield from misfits(evaluator, value.outcomes(), parameter, target, f"the parameter `{name}` of {path}")
    if complete:
        for parameter in parameters.values():
            if parameter.name not in entries and _required(parameter):
                yield Problem(at, f"the parameter `{parameter.name}` of {path} is missing.")


def _required(parameter: syntax.Parameter) -> bool:
    return parameter.default is None and not isinstance(parameter.type, syntax.NullableType)


def _declared_types(evaluator: Evaluator, file: syntax.BicepFile, scope: Scope) -> Iterator[Problem]:
    """Defaults of parameters and values of outputs fit their types."""
    for parameter in file.of(syntax.Parameter):
        if parameter.default is not None:
            outcomes = evaluator.evaluate(parameter.default, scope)
            yield from misfits(evaluator, outcomes, parameter, file, f"the default of `{parameter.name}`")
    for output in file.of(syntax.Output):
        outcomes = evaluator.evaluate(output.value, scope)
        yield from misfits(evaluator, outcomes, output, file, f"the output `{output.name}`")
        secret = any(isinstance(outcome, OfKind) and outcome.secret for outcome in outcomes)
        if secret and output.decorator("secure") is None:
            yield Problem(output.at, f"the output `{output.name}` gives a secret away.")


def _outputs_used(evaluator: Evaluator, file: syntax.BicepFile) -> Iterator[Problem]:
    modules = {module.name: module for module in file.of(syntax.Module)}
    for expression in everything(file):
        match expression:
            case syntax.Member(at=at, of=syntax.Member(name="outputs", of=of, safe=safe), name=name):
                module = modules.get(_root(of))
                if module is None:
                    continue
                target = evaluator.program.files.get(evaluator.program.beside(file.path, module.path))
                known = [output.name for output in target.of(syntax.Output)] if target else [name]
                if name not in known:
                    there = ", ".join(sorted(known)) or "none"
                    yield Problem(at, f"{module.path} has no output `{name}`; it has: {there}.")
                if module.condition is not None and not _asserted(of, safe=safe):
                    yield Problem(at, f"`{module.name}` may not be there: write `{module.name}!.outputs` or `.?`.")
            case syntax.Member(at=at, of=of, name=name) if _root(of) in modules and not isinstance(of, syntax.Member):
                if name not in ("outputs", "name"):
                    yield Problem(at, f"a module has no `.{name}`; use `.outputs.{name}`.")


def _root(expression: syntax.Expression) -> str:
    match expression:
        case syntax.Name(name=name):
            return name
        case syntax.Operation(operator="post!", operands=(inner,)) | syntax.Index(of=inner):
            return _root(inner)
    return ""


def _asserted(expression: syntax.Expression, *, safe: bool) -> bool:
    if safe:
        return True
    match expression:
        case syntax.Operation(operator="post!"):
            return True
        case syntax.Index(of=of):
            return _asserted(of, safe=False)
    return False


def _imports(evaluator: Evaluator, file: syntax.BicepFile) -> Iterator[Problem]:
    for found in file.of(syntax.Import):
        path = evaluator.program.beside(file.path, found.path)
        target = evaluator.program.files.get(path)
        if target is None:
            yield Problem(found.at, f"the file {found.path} is not there ({path}).")
        elif found.original != "*":
            exported = {one.name for one in target.declarations if one.decorator("export")}
            if found.original not in exported:
                yield Problem(found.at, f"{found.path} does not export `{found.original}`.")


def _parameter_file(evaluator: Evaluator, file: syntax.BicepFile) -> Iterator[Problem]:
    """``x.parameters.json`` beside ``x.bicep``: azd and `az deployment group create` read it."""
    name = file.path.removesuffix(".bicep") + ".parameters.json"
    document = evaluator.program.document(name)
    if document is None:
        return
    listed = document.get("parameters") if isinstance(document, syntax.Object) else None
    if not isinstance(listed, syntax.Object):
        yield Problem(Place(name, 1), "an object `parameters` is missing.")
        return
    parameters = {parameter.name: parameter for parameter in file.of(syntax.Parameter)}
    for entry in listed.entries:
        yield from _file_parameter(evaluator, entry, parameters, file)
    for parameter in parameters.values():
        if _required(parameter) and listed.get(parameter.name) is None:
            yield Problem(listed.at, f"the parameter `{parameter.name}` of {file.path} is missing.")


def _file_parameter(
    evaluator: Evaluator, entry: syntax.Entry, parameters: Mapping[str, syntax.Parameter], file: syntax.BicepFile
) -> Iterator[Problem]:
    parameter = parameters.get(entry.key or "")
    if parameter is None:
        yield Problem(entry.at, f"{file.path} has no parameter `{entry.key}`.")
        return
    value = entry.value.get("value") if isinstance(entry.value, syntax.Object) else None
    if value is None:
        if not (isinstance(entry.value, syntax.Object) and entry.value.get("reference")):
            yield Problem(entry.at, f'write `{{ "value": ... }}` for `{entry.key}`.')
        return
    if isinstance(value, syntax.Text) and _AZD.match(value.plain or ""):
        return  # azd puts the variable's value in its place
    outcomes: Sequence[object] = evaluator.evaluate(value, evaluator.scope_of(file))
    yield from misfits(evaluator, outcomes, parameter, file, f"the parameter `{entry.key}`")  # type: ignore[arg-type]
