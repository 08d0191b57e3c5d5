"""The tree of a query."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

__all__ = [
    "ArrayLiteral",
    "Between",
    "Binary",
    "Call",
    "Expr",
    "In",
    "Like",
    "Literal",
    "Member",
    "Name",
    "ObjectLiteral",
    "OrderItem",
    "Parameter",
    "Query",
    "SelectItem",
    "Source",
    "Span",
    "Subquery",
    "Ternary",
    "Unary",
    "children",
    "property_path",
    "walk",
]


@dataclass(frozen=True, slots=True)
class Span:
    """Where in the text."""

    start: int
    end: int


class Expr:
    """An expression."""

    __slots__ = ()
    span: Span


@dataclass(frozen=True, slots=True)
class Literal(Expr):
    """A constant."""

    span: Span = field(compare=False, repr=False)
    value: Any


@dataclass(frozen=True, slots=True)
class Parameter(Expr):
    """``@name``."""

    span: Span = field(compare=False, repr=False)
    name: str


@dataclass(frozen=True, slots=True)
class Name(Expr):
    """An alias."""

    span: Span = field(compare=False, repr=False)
    name: str


@dataclass(frozen=True, slots=True)
class Member(Expr):
    """``base.name``, ``base["name"]``, ``base[0]``."""

    span: Span = field(compare=False, repr=False)
    base: Expr
    key: Expr


@dataclass(frozen=True, slots=True)
class Unary(Expr):
    """``NOT x``, ``-x``, ``+x``, ``~x``."""

    span: Span = field(compare=False, repr=False)
    operator: str
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary(Expr):
    """``left op right``, ``AND``, ``OR`` and ``??`` among them."""

    span: Span = field(compare=False, repr=False)
    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Between(Expr):
    """``x BETWEEN low AND high``."""

    span: Span = field(compare=False, repr=False)
    operand: Expr
    low: Expr
    high: Expr


@dataclass(frozen=True, slots=True)
class In(Expr):
    """``x IN (a, b)``."""

    span: Span = field(compare=False, repr=False)
    operand: Expr
    choices: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Like(Expr):
    """``x LIKE pattern ESCAPE e``."""

    span: Span = field(compare=False, repr=False)
    operand: Expr
    pattern: Expr
    escape: Expr | None


@dataclass(frozen=True, slots=True)
class Ternary(Expr):
    """``test ? yes : no``."""

    span: Span = field(compare=False, repr=False)
    test: Expr
    yes: Expr
    no: Expr


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """``NAME(a, b)``, the name in upper case."""

    span: Span = field(compare=False, repr=False)
    name: str
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class ObjectLiteral(Expr):
    """``{"a": x}``."""

    span: Span = field(compare=False, repr=False)
    entries: tuple[tuple[str, Expr], ...]


@dataclass(frozen=True, slots=True)
class ArrayLiteral(Expr):
    """``[x, y]``."""

    span: Span = field(compare=False, repr=False)
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Subquery(Expr):
    """``(SELECT ...)``; ``kind``: scalar, exists or array."""

    span: Span = field(compare=False, repr=False)
    kind: str
    query: Query


@dataclass(frozen=True, slots=True)
class SelectItem:
    """One column."""

    expr: Expr
    alias: str | None


@dataclass(frozen=True, slots=True)
class Source:
    """``FROM``: what, under which alias; ``each``: the elements of an array (``alias IN what``)."""

    span: Span = field(compare=False, repr=False)
    alias: str
    value: Expr
    each: bool = False
    root: bool = False
    """The container's documents themselves."""


@dataclass(frozen=True, slots=True)
class OrderItem:
    """One column of ORDER BY."""

    expr: Expr
    descending: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query."""

    span: Span = field(compare=False, repr=False)
    select: tuple[SelectItem, ...] | None
    """``None``: ``*``."""
    value: Expr | None
    """``SELECT VALUE``."""
    distinct: bool
    top: Expr | None
    sources: tuple[Source, ...]
    where: Expr | None
    group: tuple[Expr, ...]
    order: tuple[OrderItem, ...]
    offset: Expr | None
    limit: Expr | None
    text: str
    """The whole text the spans point into."""


def children(node: Expr) -> Iterator[Expr]:
    """The expressions right inside this one; a subquery has none."""
    for part in fields(node):  # type: ignore[arg-type]
        value = getattr(node, part.name)
        if isinstance(value, Expr):
            yield value
        elif isinstance(value, tuple):
            for entry in value:
                if isinstance(entry, Expr):
                    yield entry
                elif isinstance(entry, tuple):
                    yield entry[1]


def walk(node: Expr) -> Iterator[Expr]:
    """This expression and all inside it."""
    yield node
    for child in children(node):
        yield from walk(child)


def property_path(node: Expr) -> tuple[str, tuple[str, ...]] | None:
    """``c.a["b.c"][0]`` -> ``("c", ("a", "b.c", "[]"))``; ``None`` for anything else."""
    path: list[str] = []
    while isinstance(node, Member):
        if not isinstance(node.key, Literal):
            return None
        path.append(node.key.value if isinstance(node.key.value, str) else "[]")
        node = node.base
    return (node.name, tuple(reversed(path))) if isinstance(node, Name) else None
