"""What an expression can come to, as far as that can be known before a deployment.

An expression has one or more outcomes: ``skuName`` with ``@allowed(['Standard', 'Premium'])`` has two, both known; a
parameter of type ``string`` has one of which only the kind is known. Arrays and objects are evaluated piece by piece,
when somebody asks (:class:`Later`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.infra import syntax
from tests.infra.problem import Place

__all__ = [
    "Fields",
    "Items",
    "Later",
    "OfKind",
    "Outcome",
    "Pattern",
    "Reference",
    "Scalar",
    "ScalarValue",
    "forced",
    "kind_of",
    "texts",
]

ScalarValue = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One thing that an expression can come to; ``at`` is where it was written."""

    at: Place


@dataclass(frozen=True, slots=True)
class Scalar(Outcome):
    """A known value."""

    value: ScalarValue


@dataclass(frozen=True, slots=True)
class Pattern(Outcome):
    """A string of which some parts are known; ``None`` stands for those that are not."""

    parts: tuple[str | None, ...]

    def __str__(self) -> str:
        return "".join("*" if part is None else part for part in self.parts)


@dataclass(frozen=True, slots=True)
class OfKind(Outcome):
    """Only the kind is known: ``string``, ``int``, ``bool``, ``array``, ``object``, ``null``, or ``any``."""

    kind: str
    type: syntax.Type | None = None
    """The type it was declared with; names in it belong to ``file``."""
    file: str = ""
    secret: bool = False
    """Comes from a parameter with ``@secure()``."""


@dataclass(frozen=True, slots=True)
class Reference(Outcome):
    """A property of a resource, as Azure will know it: ``account.properties.documentEndpoint``."""

    resource: syntax.Resource
    path: tuple[str, ...]


class Later:
    """An expression in its scope, evaluated when somebody asks."""

    __slots__ = ("_evaluate", "_outcomes", "at")

    def __init__(self, at: Place, evaluate: Callable[[], Sequence[Outcome]]) -> None:
        self.at = at
        self._evaluate = evaluate
        self._outcomes: Sequence[Outcome] | None = None

    def outcomes(self) -> Sequence[Outcome]:
        """What it can come to."""
        if self._outcomes is None:
            self._outcomes = (OfKind(self.at, "any"),)  # what it is for itself, should it lead back here
            self._outcomes = self._evaluate()
        return self._outcomes

    @classmethod
    def known(cls, *outcomes: Outcome) -> Later:
        """Evaluated already."""
        return cls(outcomes[0].at, lambda: outcomes)


@dataclass(frozen=True, slots=True)
class Items(Outcome):
    """An array; ``complete``: there are no others and none of them can be missing."""

    items: tuple[Later, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Fields(Outcome):
    """An object; ``complete``: it has no others."""

    entries: Mapping[str, Later]
    complete: bool = True


def kind_of(outcome: Outcome) -> str:
    """``string``, ``int``, ``number`` (with a fraction), ``bool``, ``array``, ``object``, ``null`` or ``any``."""
    match outcome:
        case Scalar(value=bool()):
            return "bool"
        case Scalar(value=int()):
            return "int"
        case Scalar(value=float()):
            return "number"
        case Scalar(value=None):
            return "null"
        case Scalar() | Pattern():
            return "string"
        case OfKind(kind=kind):
            return kind
        case Items():
            return "array"
        case Fields():
            return "object"
    return "any"


def forced(outcomes: Sequence[Outcome]) -> Iterator[Outcome]:
    """These outcomes and all inside them."""
    for outcome in outcomes:
        yield outcome
        if isinstance(outcome, Items):
            for item in outcome.items:
                yield from forced(item.outcomes())
        elif isinstance(outcome, Fields):
            for value in outcome.entries.values():
                yield from forced(value.outcomes())


def texts(outcomes: Sequence[Outcome]) -> Iterator[tuple[Place, str]]:
    """All known text in these outcomes, ``*`` for what is not known."""
    for outcome in forced(outcomes):
        if isinstance(outcome, Pattern) or (isinstance(outcome, Scalar) and isinstance(outcome.value, str)):
            yield outcome.at, str(outcome) if isinstance(outcome, Pattern) else str(outcome.value)
