"""Addresses into a JSON document: ``a.b[0].c``, ``units[id=42].x``, ``['odd key']``.

A small grammar of our own, parsed once at load. ``{unit}`` and ``{id}`` may stand in names and values; they are filled
into the parsed steps, so what is filled in can never change the structure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

__all__ = ["BadAddress", "Index", "Name", "Path", "PathMissing", "Select", "as_text", "parse_path", "parse_rooted"]

MAX_CHARACTERS = 500
FORMS = "write a.b[0].c, units[id=42].temperature or ['odd key'].value"

_NAME = re.compile(r"[^.\[\]'\"\s]+")
_INDEX = re.compile(r"\[([0-9]{1,6})\]")
_QUOTED = re.compile(r"\[(?:'([^']*)'|\"([^\"]*)\")\]")
_SELECT = re.compile(r"\[([^.\[\]'\"\s=]+)=(?:'([^']*)'|\"([^\"]*)\"|([^\]'\"]+))\]")
_BARE = re.compile(r"[^\]'\"]+")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class BadAddress(ValueError):
    """The text is no address. The message shows the right form."""


class PathMissing(LookupError):
    """The document has nothing there. The message says how far it went and what is there instead."""


@dataclass(frozen=True, slots=True)
class Name:
    """Into an object, by key."""

    key: str

    def __str__(self) -> str:
        return self.key if _NAME.fullmatch(self.key) else f"[{_quoted(self.key)}]"


@dataclass(frozen=True, slots=True)
class Index:
    """Into an array, by position from 0."""

    position: int

    def __str__(self) -> str:
        return f"[{self.position}]"


@dataclass(frozen=True, slots=True)
class Select:
    """Into an array of objects: the first one whose ``key`` is ``value``."""

    key: str
    value: str

    def __str__(self) -> str:
        return f"[{self.key}={self.value if _BARE.fullmatch(self.value) else _quoted(self.value)}]"


Step = Name | Index | Select


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed address."""

    steps: tuple[Step, ...]
    rooted: bool = False
    """It begins at the whole answer (``$.updated``), also where other addresses begin at one item of it."""

    def __str__(self) -> str:
        if not self.rooted:
            return _spell(self.steps)
        return _spell((Name("$"), *self.steps))

    def placeholders(self) -> frozenset[str]:
        """The names in braces."""
        texts = [t for step in self.steps for t in _texts(step)]
        return frozenset(name for text in texts for name in _PLACEHOLDER.findall(text))

    def filled(self, values: Mapping[str, str]) -> Path:
        """With every ``{name}`` replaced. Raises ``KeyError`` for a name without a value."""

        def fill(text: str) -> str:
            return _PLACEHOLDER.sub(lambda match: values[match[1]], text)

        def of(step: Step) -> Step:
            if isinstance(step, Name):
                return Name(fill(step.key))
            if isinstance(step, Select):
                return Select(fill(step.key), fill(step.value))
            return step

        return Path(tuple(of(step) for step in self.steps), self.rooted)

    def find(self, document: Any, called: str = "the answer") -> Any:
        """What stands there; the message of an error calls the document so.

        Raises:
            PathMissing: which part is missing, and what is there.
        """
        here = document
        for done, step in enumerate(self.steps):
            here = _follow(here, step, self.steps[:done], called)
        return here


def parse_path(text: str) -> Path:
    """Parse an address.

    Raises:
        BadAddress: with the right form.
    """
    if not isinstance(text, str) or not text or len(text) > MAX_CHARACTERS:
        raise BadAddress(f"an address has 1 to {MAX_CHARACTERS} characters: {FORMS}")
    return _parsed(text)


@lru_cache(maxsize=4_096)  # a configuration is parsed at every poll
def _parsed(text: str) -> Path:
    steps: list[Step] = []
    at = 0
    while at < len(text):
        if text[at] == "[":
            step, at = _bracket(text, at)
        else:
            if steps:
                if text[at] != ".":
                    raise BadAddress(f"a dot or a bracket is missing at character {at + 1}: {FORMS}")
                at += 1
            step, at = _name(text, at)
        steps.append(step)
    return Path(tuple(steps))


def parse_rooted(text: str) -> Path:
    """Like :func:`parse_path`; ``$`` is the whole answer, ``$.a`` and ``$[0]`` begin there.

    Raises:
        BadAddress: with the right form.
    """
    if text == "$":
        return Path((), rooted=True)
    if isinstance(text, str) and text.startswith(("$.", "$[")):
        return Path(parse_path(text[2:] if text[1] == "." else text[1:]).steps, rooted=True)
    return parse_path(text)


def _name(text: str, at: int) -> tuple[Step, int]:
    match = _NAME.match(text, at)
    if match is None:
        raise BadAddress(f"a name is missing at character {at + 1}: {FORMS}")
    return Name(match[0]), match.end()


def _bracket(text: str, at: int) -> tuple[Step, int]:
    if match := _INDEX.match(text, at):
        return Index(int(match[1])), match.end()
    if match := _QUOTED.match(text, at):
        return Name(match[1] if match[1] is not None else match[2]), match.end()
    if match := _SELECT.match(text, at):
        value = next(part for part in match.groups()[1:] if part is not None)
        return Select(match[1], value), match.end()
    raise BadAddress(f"the bracket at character {at + 1} is not one of [0], [id=42], ['odd key']: {FORMS}")


def _texts(step: Step) -> tuple[str, ...]:
    if isinstance(step, Name):
        return (step.key,)
    return (step.key, step.value) if isinstance(step, Select) else ()


def _quoted(text: str) -> str:
    return f'"{text}"' if "'" in text else f"'{text}'"


def _spell(steps: Sequence[Step]) -> str:
    text = ""
    for step in steps:
        part = str(step)
        text += part if not text or part.startswith("[") else "." + part
    return text


def _follow(here: Any, step: Step, done: Sequence[Step], called: str) -> Any:
    place = f"`{_spell(done)}`" if done else called
    if isinstance(step, Name):
        if not isinstance(here, dict):
            raise PathMissing(f"{place} is {_kind(here)}, so it has no `{step}`")
        if step.key not in here:
            raise PathMissing(f"{place} has no `{step}`; there {_listed(list(here))}")
        return here[step.key]
    if not isinstance(here, list):
        raise PathMissing(f"{place} is {_kind(here)}, not a list, so it has no {step}")
    if isinstance(step, Index):
        if step.position >= len(here):
            raise PathMissing(f"{place} has {len(here)} items, so there is no {step} (they count from 0)")
        return here[step.position]
    return _select(here, step, place)


def _select(items: list[Any], step: Select, place: str) -> Any:
    seen: list[str] = []
    for item in items:
        if isinstance(item, dict) and step.key in item:
            spelled = as_text(item[step.key])
            if spelled == step.value:
                return item
            seen.append(spelled)
    if not seen:
        raise PathMissing(f"no item of {place} has a `{step.key}`")
    raise PathMissing(f"{place} has no item with {step.key} = {step.value}; there {_listed(seen)}")


def as_text(value: Any) -> str:
    """As a value is compared with what stands in an address."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return "a text" if isinstance(value, str) else "a number"


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "is nothing"
    shown = ", ".join(name[:40] for name in names[:8])
    return ("is " if len(names) == 1 else "are ") + shown + (", ..." if len(names) > 8 else "")
