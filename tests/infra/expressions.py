"""All expressions of a file, wherever they stand."""

from __future__ import annotations

from collections.abc import Iterator

from tests.infra import syntax

__all__ = ["everything", "expressions_of"]


def everything(file: syntax.BicepFile) -> Iterator[syntax.Expression]:
    """Every expression of the file and all inside them."""
    for declaration in file.declarations:
        for expression in expressions_of(declaration):
            yield from syntax.walk(expression)
    for expression in file.loose:
        yield from syntax.walk(expression)


def expressions_of(declaration: syntax.Declaration) -> Iterator[syntax.Expression]:
    """The outermost expressions of a declaration, those of nested resources too; decorators are left out."""
    match declaration:
        case syntax.Variable(value=value) | syntax.Output(value=value):
            yield value
        case syntax.Parameter(default=syntax.Expression() as default):
            yield default
        case syntax.Function(body=body):
            yield body
        case syntax.Resource() | syntax.Module():
            yield declaration.value
            if declaration.condition is not None:
                yield declaration.condition
            if isinstance(declaration, syntax.Resource) and declaration.body is not None:
                for nested in declaration.body.nested:
                    yield from expressions_of(nested)
