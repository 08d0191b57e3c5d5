"""Declarations that need one another in a circle, and modules that contain themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.infra import syntax
from tests.infra.problem import Problem
from tests.infra.program import Program

__all__ = ["circles", "names_in"]


def circles(program: Program, file: syntax.BicepFile) -> Iterator[Problem]:
    """Circles among the declarations of this file, and of files through this one."""
    needs = {
        found.name: names_in(found)
        for found in file.declarations
        if not isinstance(found, syntax.Output | syntax.Import)
    }
    told: set[str] = set()
    for found in file.declarations:
        if found.name in told or isinstance(found, syntax.Output):
            continue
        if circle := _circle(found.name, needs):
            told |= set(circle)
            yield Problem(found.at, f"a circle: {' needs '.join(f'`{name}`' for name in circle)}.")
    yield from _around_files(program, file)


def _around_files(program: Program, file: syntax.BicepFile) -> Iterator[Problem]:
    leads = {
        path: {program.beside(path, module.path) for module in one.of(syntax.Module)}
        for path, one in program.files.items()
    }
    if circle := _circle(file.path, leads):
        for module in file.of(syntax.Module):
            if program.beside(file.path, module.path) == circle[1]:
                yield Problem(module.at, f"a circle of files: {' uses '.join(circle)}.")


def _circle(start: str, needs: Mapping[str, set[str]]) -> list[str]:
    """The way from ``start`` back to it, or nothing."""
    ways = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        for name in sorted(needs.get(way[-1], set())):
            if name == start:
                return [*way, name]
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []


def names_in(declaration: syntax.Declaration) -> set[str]:
    """The names at the top of the file that a declaration needs."""
    match declaration:
        case syntax.Variable(value=value) | syntax.Parameter(default=syntax.Expression() as value):
            return _names(value, frozenset())
        case syntax.Function(body=body, parameters=parameters):
            return _names(body, frozenset(name for name, _ in parameters))
        case syntax.Resource() | syntax.Module():
            found = _names(declaration.value, frozenset())
            if declaration.condition is not None:
                found |= _names(declaration.condition, frozenset())
            if isinstance(declaration, syntax.Resource) and declaration.body is not None:
                inside = {nested.name for nested in declaration.body.nested}
                for nested in declaration.body.nested:
                    found |= names_in(nested) - inside - {declaration.name}
                found -= inside
            return found
    return set()


def _names(expression: syntax.Expression, own: frozenset[str]) -> set[str]:
    match expression:
        case syntax.Name(name=name):
            return set() if name in own else {name}
        case syntax.Lambda(parameters=parameters):
            own |= set(parameters)
        case syntax.Loop(over=over, item=item, index=index, body=body, condition=condition):
            inner = own | {item, *([index] if index else [])}
            found = _names(over, own) | _names(body, inner)
            return found | (_names(condition, inner) if condition is not None else set())
    called = {expression.name} if isinstance(expression, syntax.Call) and expression.of is None else set()
    return called.union(*(_names(child, own) for child in syntax.children(expression)))
