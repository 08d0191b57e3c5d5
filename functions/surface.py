"""What an HTTP function says of itself, beside what its code shows: for the description of the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

__all__ = ["Surface", "describe", "surface_of"]

_NAME = "ovenbridge_surface"


@dataclass(frozen=True, slots=True)
class Surface:
    """Of one HTTP function."""

    handler: Callable[..., Awaitable[Any]]
    role: str | None
    """What the caller must be allowed to; ``None``: anybody."""
    answers: Mapping[int, type[BaseModel]] = field(default_factory=dict)
    """The form of its answers, by status, where one is promised."""
    content_types: tuple[str, ...] = ()
    """Of its good answers; empty: JSON."""
    refuses: tuple[int, ...] = ()
    """Statuses of refusals that only some functions have, such as 504."""

    @property
    def module(self) -> str:
        """What it is about: the name of its blueprint's module."""
        return self.handler.__module__.rpartition(".")[2]


def describe(function: Callable[..., Any], surface: Surface) -> None:
    """Keep it with the function."""
    setattr(function, _NAME, surface)


def surface_of(function: Callable[..., Any]) -> Surface:
    """Raises ``TypeError``: it was not made by ``endpoint``."""
    found = getattr(function, _NAME, None)
    if not isinstance(found, Surface):
        raise TypeError(f"{function.__module__}.{function.__name__} was not made by endpoint().")
    return found
