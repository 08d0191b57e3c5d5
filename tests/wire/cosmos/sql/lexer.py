"""Query text to tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson

from tests.wire.cosmos.protocol import CosmosError

__all__ = ["RESERVED", "Token", "query_error", "tokens", "too_deep"]

RESERVED = frozenset(
    word
    for line in (
        "AND ARRAY AS ASC BETWEEN BY DESC DISTINCT ESCAPE EXISTS FALSE FROM GROUP HAVING IN JOIN LIKE LIMIT",
        "NOT NULL OFFSET OR ORDER SELECT TOP TRUE UDF UNDEFINED VALUE WHERE",
    )
    for word in line.split()
)

_PATTERN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|/\*.*?\*/)
  | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<parameter>@[A-Za-z_][A-Za-z0-9_]*)
  | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
  | (?P<symbol>\?\?|!=|<>|<=|>=|\|\||>>>|>>|<<|[-+*/%&|^~=<>?:.,()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL,
)

_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the query. ``kind``: name, keyword, number, text, parameter, symbol or end."""

    kind: str
    text: str
    """Keywords in upper case; text without its quotes and escapes."""
    start: int
    end: int
    value: float | int | None = None


def query_error(code: str, message: str, start: int = 0, end: int = 0) -> CosmosError:
    """The refusal of a query, in the service's form: a list of errors as JSON inside the message."""
    error = {"severity": "Error", "location": {"start": start, "end": end}, "code": code, "message": message}
    return CosmosError(400, "BadRequest", "Message: " + orjson.dumps({"errors": [error]}).decode())


def too_deep() -> CosmosError:
    """The refusal of a query whose tree is too deep for us (the service has its own limits)."""
    return query_error("SC3023", "The query exceeds the maximum allowed nesting.")


def tokens(text: str) -> list[Token]:
    """All tokens of a query, with one at the end that says so. Raises 400."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _PATTERN.match(text, at)
        if match is None:
            raise query_error("SC1012", "Syntax error, invalid token.", at, at + 1)
        if match.lastgroup != "space":
            found.append(_token(match, text))
        at = match.end()
    found.append(Token("end", "", at, at))
    return found


def _token(match: re.Match[str], text: str) -> Token:
    kind, raw, start, end = str(match.lastgroup), match.group(), match.start(), match.end()
    if kind == "number":
        if end < len(text) and (text[end].isalnum() or text[end] == "_"):
            raise query_error(
                "SC1010", f"Syntax error, invalid numeric value token '{raw}{text[end]}'.", start, end + 1
            )
        value = float(raw)
        return Token(kind, raw, start, end, int(value) if value.is_integer() and abs(value) < 2**63 else value)
    if kind == "text":
        return Token(kind, _unescaped(raw[1:-1], start), start, end)
    if kind == "name" and raw.upper() in RESERVED:
        return Token("keyword", raw.upper(), start, end)
    return Token(kind, raw, start, end)


def _unescaped(text: str, start: int) -> str:
    if "\\" not in text:
        return text

    def one(match: re.Match[str]) -> str:
        character = match.group(1)
        if character.startswith("u"):
            if len(character) < 5:
                raise query_error("SC1011", "Syntax error, invalid string literal token.", start, start + 1)
            return chr(int(character[1:], 16))
        return _ESCAPES.get(character, character)

    replaced = re.sub(r"\\(u[0-9a-fA-F]{4}|.)", one, text, flags=re.DOTALL)
    # Two escapes may make one character outside the first plane.
    return replaced.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
