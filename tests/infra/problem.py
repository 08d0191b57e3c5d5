"""What the gate says: a place and a sentence."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Place", "Problem"]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of a file; the file as a path from the root of the repository."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something that is wrong, and what to do, in one sentence."""

    at: Place
    sentence: str

    def __str__(self) -> str:
        return f"{self.at}: {self.sentence}"
