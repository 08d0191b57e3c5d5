"""A Bicep file as plain typed objects. Made by :mod:`tests.infra.reading`; knows nothing of the parser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from tests.infra.problem import Place

__all__ = [
    "Array",
    "ArrayType",
    "BicepFile",
    "Call",
    "Child",
    "Choice",
    "Declaration",
    "Decorator",
    "Entry",
    "Expression",
    "Function",
    "Import",
    "Index",
    "Lambda",
    "LiteralType",
    "Loop",
    "Member",
    "Module",
    "Name",
    "NamedType",
    "Null",
    "NullableType",
    "Number",
    "Object",
    "ObjectType",
    "Operation",
    "Output",
    "Parameter",
    "PrimitiveType",
    "Property",
    "Resource",
    "Text",
    "Truth",
    "Type",
    "TypeDeclaration",
    "UnionType",
    "Unreadable",
    "Variable",
    "children",
    "walk",
]


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """Anything with a value."""

    at: Place


@dataclass(frozen=True, slots=True, eq=False)
class Text(Expression):
    """A string; what stands in ``${}`` are expressions among its parts."""

    parts: tuple[str | Expression, ...]

    @property
    def plain(self) -> str | None:
        """The text when nothing is interpolated."""
        if all(isinstance(part, str) for part in self.parts):
            return "".join(str(part) for part in self.parts)
        return None


@dataclass(frozen=True, slots=True, eq=False)
class Number(Expression):
    """Bicep knows whole numbers only; a JSON file that is loaded may hold others."""

    value: int | float


@dataclass(frozen=True, slots=True, eq=False)
class Truth(Expression):
    """``true`` or ``false``."""

    value: bool


@dataclass(frozen=True, slots=True, eq=False)
class Null(Expression):
    """``null``."""


@dataclass(frozen=True, slots=True, eq=False)
class Name(Expression):
    """A symbol."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Member(Expression):
    """``of.name``, or ``of.?name``."""

    of: Expression
    name: str
    safe: bool


@dataclass(frozen=True, slots=True, eq=False)
class Child(Expression):
    """``of::name``: a nested resource."""

    of: Expression
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Index(Expression):
    """``of[index]``, or ``of[?index]``."""

    of: Expression
    index: Expression
    safe: bool


@dataclass(frozen=True, slots=True, eq=False)
class Call(Expression):
    """``name(...)``, ``sys.name(...)``, or a method: ``of.name(...)``."""

    name: str
    arguments: tuple[Expression, ...]
    of: Expression | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Operation(Expression):
    """One or two operands; ``!`` after its operand is written ``post!``."""

    operator: str
    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Choice(Expression):
    """``condition ? yes : no``."""

    condition: Expression
    yes: Expression
    no: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Lambda(Expression):
    """``(a, b) => body``."""

    parameters: tuple[str, ...]
    body: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """``key: value``; ``key`` is ``None`` when it is computed (``computed`` then)."""

    at: Place
    key: str | None
    computed: Expression | None
    value: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Object(Expression):
    """``{ ... }``; resources declared inside stand in ``nested``."""

    entries: tuple[Entry, ...]
    nested: tuple[Resource, ...] = ()

    def get(self, key: str) -> Expression | None:
        """The value of this key. As in Bicep, the last one counts."""
        return next((entry.value for entry in reversed(self.entries) if entry.key == key), None)


@dataclass(frozen=True, slots=True, eq=False)
class Array(Expression):
    """``[ ... ]``."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Loop(Expression):
    """``[for (item, index) in over: if (condition) body]``."""

    item: str
    index: str | None
    over: Expression
    condition: Expression | None
    body: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Unreadable(Expression):
    """What the parser could not make sense of; reported where it was read."""


@dataclass(frozen=True, slots=True, eq=False)
class Type:
    """A type as it is written."""

    at: Place


@dataclass(frozen=True, slots=True, eq=False)
class PrimitiveType(Type):
    """``string``, ``int``, ``bool``, ``object``, ``array``, ``any``."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class NamedType(Type):
    """A type declared with ``type``, or one of an import: ``ns.name``."""

    name: str
    within: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LiteralType(Type):
    """One value: ``'a'``, ``1``, ``true``, ``null``."""

    value: str | int | bool | None


@dataclass(frozen=True, slots=True, eq=False)
class UnionType(Type):
    """``a | b``."""

    options: tuple[Type, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ArrayType(Type):
    """``item[]``."""

    item: Type


@dataclass(frozen=True, slots=True, eq=False)
class NullableType(Type):
    """``of?``."""

    of: Type


@dataclass(frozen=True, slots=True, eq=False)
class Property:
    """A property of an object type; ``*`` stands for all others."""

    at: Place
    name: str
    type: Type


@dataclass(frozen=True, slots=True, eq=False)
class ObjectType(Type):
    """``{ a: string, *: int }``."""

    properties: tuple[Property, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Decorator:
    """``@name(arguments)``."""

    at: Place
    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Declaration:
    """What has a name in a file."""

    at: Place
    name: str
    decorators: tuple[Decorator, ...]

    def decorator(self, name: str) -> Decorator | None:
        """The decorator of this name."""
        return next((found for found in self.decorators if found.name == name), None)


@dataclass(frozen=True, slots=True, eq=False)
class Parameter(Declaration):
    """``param``."""

    type: Type
    default: Expression | None


@dataclass(frozen=True, slots=True, eq=False)
class Variable(Declaration):
    """``var``."""

    value: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Output(Declaration):
    """``output``."""

    type: Type
    value: Expression


@dataclass(frozen=True, slots=True, eq=False)
class TypeDeclaration(Declaration):
    """``type``."""

    type: Type


@dataclass(frozen=True, slots=True, eq=False)
class Function(Declaration):
    """``func``."""

    parameters: tuple[tuple[str, Type], ...]
    returns: Type
    body: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Import(Declaration):
    """One name of an ``import``; ``original`` is ``*`` for a whole file, whose names then hang under ``name``."""

    original: str
    path: str


@dataclass(frozen=True, slots=True, eq=False)
class Resource(Declaration):
    """``resource``. ``value`` is the body, in a loop or behind a condition as it is written."""

    type: str
    """``Microsoft.Web/sites``; of a nested resource without a full type the last segment alone."""
    version: str | None
    existing: bool
    condition: Expression | None
    value: Expression

    @property
    def body(self) -> Object | None:
        """The object, wherever it stands."""
        inner = self.value.body if isinstance(self.value, Loop) else self.value
        return inner if isinstance(inner, Object) else None

    @property
    def looped(self) -> bool:
        """Declared with ``[for ...]``."""
        return isinstance(self.value, Loop)


@dataclass(frozen=True, slots=True, eq=False)
class Module(Declaration):
    """``module``."""

    path: str
    condition: Expression | None
    value: Expression

    @property
    def body(self) -> Object | None:
        """The object, wherever it stands."""
        inner = self.value.body if isinstance(self.value, Loop) else self.value
        return inner if isinstance(inner, Object) else None

    @property
    def looped(self) -> bool:
        """Declared with ``[for ...]``."""
        return isinstance(self.value, Loop)


Kind = TypeVar("Kind", bound=Declaration)


@dataclass(slots=True)
class BicepFile:
    """Everything that one file declares, in its order."""

    path: str
    """From the root of the repository."""
    text: str
    declarations: list[Declaration] = field(default_factory=list)
    target_scope: str = "resourceGroup"
    loose: list[Expression] = field(default_factory=list)
    """Expressions that belong to no declaration: assertions, metadata."""

    def of(self, kind: type[Kind]) -> list[Kind]:
        """All declarations of this kind."""
        return [found for found in self.declarations if isinstance(found, kind)]


def children(expression: Expression) -> Iterator[Expression]:
    """The expressions directly inside this one; nested resources are left out."""
    match expression:
        case Text(parts=parts):
            yield from (part for part in parts if isinstance(part, Expression))
        case Member(of=of) | Child(of=of):
            yield of
        case Index(of=of, index=index):
            yield of
            yield index
        case Call(arguments=arguments, of=owner):
            if owner is not None:
                yield owner
            yield from arguments
        case Operation(operands=operands):
            yield from operands
        case Choice(condition=condition, yes=yes, no=no):
            yield from (condition, yes, no)
        case Lambda(body=body):
            yield body
        case Object(entries=entries):
            for entry in entries:
                if entry.computed is not None:
                    yield entry.computed
                yield entry.value
        case Array(items=items):
            yield from items
        case Loop(over=over, condition=only, body=body):
            yield over
            if only is not None:
                yield only
            yield body


def walk(expression: Expression) -> Iterator[Expression]:
    """This expression and all inside it; nested resources are left out."""
    yield expression
    for child in children(expression):
        yield from walk(child)
