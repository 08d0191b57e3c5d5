"""Where Bicep takes an expression: loops only as whole values; names, conditions and loops known at the start."""

from __future__ import annotations

from collections.abc import Iterator

from tests.infra import syntax
from tests.infra.problem import Problem
from tests.infra.program import Program

__all__ = ["check_contexts"]

_AT_START = ("id", "name", "type", "apiVersion")


def check_contexts(program: Program) -> Iterator[Problem]:
    """All files."""
    for file in program.files.values():
        late = _Late(file)
        for declaration in file.declarations:
            yield from _loops(declaration)
            if isinstance(declaration, syntax.Resource | syntax.Module):
                yield from _known_at_start(declaration, late)


def _loops(declaration: syntax.Declaration) -> Iterator[Problem]:
    match declaration:
        case syntax.Variable(value=value) | syntax.Output(value=value):
            inside = syntax.children(value) if isinstance(value, syntax.Loop) else (value,)
            for child in inside:
                yield from _misplaced(child)
        case syntax.Parameter(default=syntax.Expression() as value) | syntax.Function(body=value):
            yield from _misplaced(value)
        case syntax.Resource() | syntax.Module():
            yield from _in_body(declaration.value)
            if isinstance(declaration, syntax.Resource) and declaration.body is not None:
                for nested in declaration.body.nested:
                    yield from _loops(nested)


def _in_body(expression: syntax.Expression) -> Iterator[Problem]:
    """In a resource or module a loop may be the value of a property, at any depth of objects and loops."""
    match expression:
        case syntax.Object(entries=entries):
            for entry in entries:
                yield from _in_body(entry.value)
        case syntax.Loop(body=body):
            yield from _in_body(body)
        case _:
            yield from _misplaced(expression)


def _misplaced(expression: syntax.Expression) -> Iterator[Problem]:
    for inner in syntax.walk(expression):
        if isinstance(inner, syntax.Loop):
            yield Problem(inner.at, "a loop must be a whole value; here use map(), or a variable of its own.")


class _Late:
    """Finds what is only known while the deployment runs."""

    def __init__(self, file: syntax.BicepFile) -> None:
        self._variables = {found.name: found.value for found in file.of(syntax.Variable)}
        self._modules = {found.name for found in file.of(syntax.Module)}
        self._resources = {found.name for found in file.of(syntax.Resource)}

    def find(self, expression: syntax.Expression, seen: frozenset[str] = frozenset()) -> str:
        """The first such thing in this expression or in the variables it uses; empty: there is none."""
        match expression:
            case syntax.Name(name=name) if name in self._variables and name not in seen:
                return self.find(self._variables[name], seen | {name})
            case syntax.Member(of=of, name=name):
                root = _root(of)
                if root in self._resources and not isinstance(of, syntax.Member) and name not in _AT_START:
                    return f"{root}.{name}"
                if root in self._modules and name == "outputs":
                    return f"{root}.outputs"
            case syntax.Call(name="reference"):
                return "reference()"
        return next((found for child in syntax.children(expression) if (found := self.find(child, seen))), "")


def _root(expression: syntax.Expression) -> str:
    match expression:
        case syntax.Name(name=name):
            return name
        case syntax.Operation(operator="post!", operands=(inner,)) | syntax.Index(of=inner) | syntax.Child(of=inner):
            return _root(inner)
    return ""


def _known_at_start(declaration: syntax.Resource | syntax.Module, late: _Late) -> Iterator[Problem]:
    wanted: list[tuple[str, syntax.Expression | None]] = [("condition", declaration.condition)]
    if isinstance(declaration.value, syntax.Loop):
        wanted += [("loop", declaration.value.over), ("condition", declaration.value.condition)]
    if declaration.body is not None:
        wanted.append(("name", declaration.body.get("name")))
    for what, expression in wanted:
        if expression is not None and (found := late.find(expression)):
            sentence = f"the {what} of `{declaration.name}` must be known at the start, but `{found}` is not."
            yield Problem(expression.at, sentence)
    if isinstance(declaration, syntax.Resource) and declaration.body is not None:
        for nested in declaration.body.nested:
            yield from _known_at_start(nested, late)
