"""What a REST device is sent when a signal is written: method, path and body out of the mapping. Pure.

``{value}`` is put into the body as what it is - number, flag or text - by building the document first and spelling it
afterwards, so that no value can change the body's structure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.connectors.path_templates import PLACEHOLDER, PathTemplate
from shared.errors import InvalidInput

__all__ = ["OrderBody", "WriteSpec", "typed"]

MAX_BODY = 20_000
FORM = "application/x-www-form-urlencoded"
TEXT = "text/plain"
VALUE = "{value}"

_JSON = re.compile(r"application/(?:[a-z0-9.-]+\+)?json")
_CANONICAL_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?")

Scalar = bool | int | float | str


class WriteSpec(BaseModel):
    """``write`` of a signal: how its value is set over REST."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    method: Literal["PUT", "POST", "PATCH"] = "PUT"
    path: PathTemplate = Field(None, description="Under the endpoint. Left out: data_endpoint.")
    body: Any = Field(None, description='JSON with "{value}" where the value belongs; names in braces are filled in.')
    content_type: str = "application/json"
    type: Literal["number", "text", "boolean"] | None = Field(
        None, description="What the device wants to hear; left out: what the value is."
    )
    settle: float = Field(2.0, ge=0, le=10, description="Seconds the vendor may take until reading shows it.")

    @field_validator("content_type")
    @classmethod
    def _kind(cls, value: str) -> str:
        if not (_JSON.fullmatch(value) or value in (FORM, TEXT)):
            raise ValueError(f"write application/json (or another ...+json), {FORM}, or {TEXT}")
        return value

    @model_validator(mode="after")
    def _sensible(self) -> WriteSpec:
        if len(orjson.dumps(self.body, default=str)) > MAX_BODY:
            raise ValueError(f"body is longer than {MAX_BODY} characters")
        if VALUE not in (self.path or "") and not _mentions(self.body):
            raise ValueError('"{value}" stands neither in body nor in path, so every value would be the same order')
        if self.content_type == FORM and not _flat(self.body):
            raise ValueError(f'body of {FORM} is an object of single values, such as {{"temperature": "{{value}}"}}')
        if self.content_type == TEXT and not isinstance(self.body, str | None):
            raise ValueError(f"body of {TEXT} is one text, such as {VALUE}")
        return self

    def names(self) -> frozenset[str]:
        """The names in braces in the body, ``value`` left out."""
        return frozenset(_names(self.body)) - {"value"}


@dataclass(frozen=True, slots=True)
class OrderBody:
    """Ready to be sent."""

    content: bytes
    content_type: str

    @staticmethod
    def of(spec: WriteSpec, value: Scalar, names: Mapping[str, str]) -> OrderBody | None:
        """The body with everything filled in; ``None``: there is none, the path says it all.

        Raises:
            InvalidInput: the value cannot be spelled there.
        """
        if spec.body is None:
            return None
        spelled = {**names, "value": in_text(value)}

        def leaf(text: str) -> Any:
            return value if text == VALUE else PLACEHOLDER.sub(lambda match: spelled[match[1]], text)

        built = _built(spec.body, leaf)
        if spec.content_type == TEXT:
            content = in_text(built).encode()
        elif spec.content_type == FORM:
            content = urlencode({name: in_text(one) for name, one in built.items()}).encode()
        else:
            content = orjson.dumps(built)
        return OrderBody(content, spec.content_type)


def typed(key: str, raw: Scalar, spec: WriteSpec, *, mapped: bool) -> Scalar:
    """``raw`` as the device wants to hear it; a word of a ``map`` that is spelled like a number is one.

    Raises:
        InvalidInput: naming ``value``.
    """
    if isinstance(raw, str):
        if not raw.isprintable():
            raise InvalidInput(f"{key}: a text of one line is needed, without control characters.", field="value")
        return _from_text(key, raw, spec.type, mapped=mapped)
    if spec.type == "text":
        return in_text(raw)
    if spec.type == "boolean" and not isinstance(raw, bool):
        if raw not in (0, 1):
            raise InvalidInput(f"{key} is on or off: write true or false.", field="value")
        return bool(raw)
    if isinstance(raw, bool):
        return int(raw) if spec.type == "number" else raw
    return _tidy(raw)


def in_text(value: Scalar | None) -> str:
    """As it stands in a path, a form or among other text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(_tidy(value))


def _from_text(key: str, raw: str, wanted: str | None, *, mapped: bool) -> Scalar:
    word = raw.strip()
    if (wanted == "boolean" or (wanted is None and mapped)) and word.lower() in ("true", "false"):
        return word.lower() == "true"
    if (wanted == "number" or (wanted is None and mapped)) and _CANONICAL_NUMBER.fullmatch(word):
        return _tidy(float(word)) if "." in word else int(word)
    if wanted in ("number", "boolean"):
        raise InvalidInput(f"{key}: the device wants a {wanted}, and {word[:40]} is none.", field="value")
    return raw


def _tidy(number: float) -> float | int:
    """Without the traces of a division (1853.0000000000002), and whole where it is whole."""
    if isinstance(number, int):
        return number
    rounded = float(f"{number:.12g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 2**53 else rounded


def _built(template: Any, leaf: Callable[[str], Any]) -> Any:
    if isinstance(template, dict):
        return {name: _built(part, leaf) for name, part in template.items()}
    if isinstance(template, list):
        return [_built(part, leaf) for part in template]
    return leaf(template) if isinstance(template, str) else template


def _names(template: Any) -> set[str]:
    found: set[str] = set()

    def leaf(text: str) -> None:
        found.update(PLACEHOLDER.findall(text))

    _built(template, leaf)
    return found


def _mentions(body: Any) -> bool:
    return "value" in _names(body)


def _flat(body: Any) -> bool:
    return isinstance(body, dict) and not any(isinstance(part, dict | list) for part in body.values())
