"""JSON that remembers on which line everything stands, as the same expressions that Bicep is read into."""

from __future__ import annotations

import re
from functools import lru_cache
from json.decoder import JSONDecodeError, scanstring  # type: ignore[attr-defined]

from tests.infra import syntax
from tests.infra.problem import Place

__all__ = ["JSONDecodeError", "read_json"]

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")


@lru_cache(maxsize=64)
def read_json(path: str, text: str) -> syntax.Expression:
    """The document.

    Raises:
        JSONDecodeError: it is none; ``lineno`` says where.
    """
    reader = _Reader(path, text)
    value, end = reader.value(reader.skip(0))
    if (rest := reader.skip(end)) != len(text):
        raise JSONDecodeError("something stands behind the end", text, rest)
    return value


class _Reader:
    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._text = text

    def value(self, start: int) -> tuple[syntax.Expression, int]:
        place, sign = self._place(start), self._text[start : start + 1]
        if sign == "{":
            return self._object(start + 1, place)
        if sign == "[":
            return self._array(start + 1, place)
        if sign == '"':
            text, end = self._string(start)
            return syntax.Text(place, (text,)), end
        if number := _NUMBER.match(self._text, start):
            value = float(number[0]) if number[1] or number[2] else int(number[0])
            return syntax.Number(place, value), number.end()
        for word, found in (
            ("true", syntax.Truth(place, True)),
            ("false", syntax.Truth(place, False)),
            ("null", syntax.Null(place)),
        ):
            if self._text.startswith(word, start):
                return found, start + len(word)
        raise JSONDecodeError("a value is missing", self._text, start)

    def _object(self, at: int, place: Place) -> tuple[syntax.Expression, int]:
        entries: list[syntax.Entry] = []
        at = self.skip(at)
        while self._text[at : at + 1] != "}":
            if entries:
                at = self._expect(",", at)
            here = self._place(at)
            key, at = self._string(at)
            value, at = self.value(self._expect(":", self.skip(at)))
            entries.append(syntax.Entry(here, key, None, value))
            at = self.skip(at)
        return syntax.Object(place, tuple(entries)), at + 1

    def _array(self, at: int, place: Place) -> tuple[syntax.Expression, int]:
        items: list[syntax.Expression] = []
        at = self.skip(at)
        while self._text[at : at + 1] != "]":
            if items:
                at = self._expect(",", at)
            item, at = self.value(at)
            items.append(item)
            at = self.skip(at)
        return syntax.Array(place, tuple(items)), at + 1

    def _string(self, at: int) -> tuple[str, int]:
        self._expect('"', at)
        text, end = scanstring(self._text, at + 1, True)
        return str(text), int(end)

    def _expect(self, sign: str, at: int) -> int:
        if self._text[at : at + 1] != sign:
            raise JSONDecodeError(f"here `{sign}` is missing", self._text, at)
        return self.skip(at + 1)

    def skip(self, at: int) -> int:
        """Past white space."""
        space = _SPACE.match(self._text, at)
        return space.end() if space else at

    def _place(self, at: int) -> Place:
        return Place(self._path, self._text.count("\n", 0, at) + 1)
