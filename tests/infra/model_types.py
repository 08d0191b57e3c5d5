"""What the management packages say of a resource: models, their fields and the types of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["EnumType", "Field", "FieldType", "ListType", "MapType", "Model", "ModelType", "Simple"]


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type of a field."""


@dataclass(frozen=True, slots=True)
class Simple(FieldType):
    """``string``, ``int``, ``number``, ``bool``, ``duration`` (ISO 8601) or ``any``."""

    kind: str


@dataclass(frozen=True, slots=True)
class EnumType(FieldType):
    """One of the values that the package knows."""

    values: tuple[str | int | bool, ...]


@dataclass(frozen=True, slots=True)
class ListType(FieldType):
    """An array."""

    item: FieldType


@dataclass(frozen=True, slots=True)
class MapType(FieldType):
    """An object with keys of one's own."""

    value: FieldType


@dataclass(frozen=True, slots=True, eq=False)
class ModelType(FieldType):
    """Another model; read when it is asked for, because models contain themselves."""

    name: str
    read: Callable[[], Model | None]


@dataclass(frozen=True, slots=True)
class Field:
    """A property."""

    name: str
    """As it goes over the wire."""
    type: FieldType
    required: bool = False
    read_only: bool = False


@dataclass(slots=True)
class Model:
    """An object with properties."""

    name: str
    fields: dict[str, Field] = field(default_factory=dict)
    open: bool = False
    """Takes properties that are not listed."""
    discriminator: str = ""
    """The property that says which of ``subtypes`` it is."""
    subtypes: Mapping[str, ModelType] = field(default_factory=dict)
