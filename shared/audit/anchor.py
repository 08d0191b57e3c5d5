"""Anchors and seals: notes of where the chains stood, in a form that anybody can check with ``sha256sum``.

An *anchor* names the newest entry of every stream that moved since the anchor before. A *seal*, once a day, gathers the
anchors of that day: all their heads, and the hash of each. Both are numbered from 1 without gaps and hold the SHA-256
of the one before, over its bytes as they were stored. The form is described for auditors in ``docs/audit.md``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared import json_text

__all__ = ["ZERO", "Anchor", "AnchoredHead", "Head", "Seal", "SealedAnchor", "numbers", "read_anchor", "read_seal"]

ZERO = "0" * 64
"""What the first anchor and the first seal hold as the hash of the one before."""

MAX_NUMBER = 999_999_999

_HASH = r"^[0-9a-f]{64}$"
_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Head(_Form):
    """The newest entry of a stream when somebody looked."""

    stream: str
    seq: int = Field(ge=1)
    hash: str = Field(pattern=_HASH)
    at: str = Field(pattern=_TIME)
    """When the entry says that it was written."""


class AnchoredHead(Head):
    """A head, and the number of the anchor that holds it."""

    anchor: int = Field(ge=1)


class _Numbered(_Form):
    """One of a sequence of documents, each of which names the one before."""

    version: Literal[1] = 1
    number: int = Field(ge=1, le=MAX_NUMBER)
    at: str = Field(pattern=_TIME)
    """The clock of whoever wrote it. Order comes from the number; times may go back when a clock was wrong."""
    previous: str = Field(pattern=_HASH)
    """SHA-256 of the document with the number before."""
    sha256: str = Field("", exclude=True)
    """Of this document's own bytes. Not part of them."""

    def to_bytes(self) -> bytes:
        """As it is stored: canonical JSON."""
        return json_text.canonical(self.model_dump())


class Anchor(_Numbered):
    """Where the streams stood that had moved."""

    kind: Literal["anchor"] = "anchor"
    since: str | None = Field(pattern=_TIME)
    """Streams with entries written since then were looked for; ``None``: all of them."""
    heads: tuple[Head, ...]
    """By name of the stream."""

    @property
    def name(self) -> str:
        """Of its blob."""
        return f"anchor-{self.number:09d}.json"


class SealedAnchor(_Form):
    """One anchor as a seal lists it."""

    number: int = Field(ge=1)
    at: str = Field(pattern=_TIME)
    since: str | None = Field(pattern=_TIME)
    sha256: str = Field(pattern=_HASH)


class Seal(_Numbered):
    """All anchors since the seal before, and all that they hold."""

    kind: Literal["seal"] = "seal"
    through: int = Field(ge=0)
    """The number of the last anchor that is sealed; 0: none yet."""
    anchors: tuple[SealedAnchor, ...]
    """By number, without gaps, beginning after the last one of the seal before. Empty on a quiet day."""
    heads: tuple[AnchoredHead, ...]
    """By name of the stream, then by anchor."""

    @property
    def name(self) -> str:
        """Of its blob."""
        return f"seal-{self.number:09d}.json"


D = TypeVar("D", Anchor, Seal)


def read_anchor(number: int, data: bytes) -> Anchor:
    """The anchor of that number. Raises ``ValueError``: these are not the bytes of one."""
    return _read(Anchor, number, data)


def read_seal(number: int, data: bytes) -> Seal:
    """The seal of that number. Raises ``ValueError``: these are not the bytes of one."""
    return _read(Seal, number, data)


def _read(form: type[D], number: int, data: bytes) -> D:
    try:
        found = form.model_validate_json(data)
    except ValidationError:
        raise ValueError("it is not of the form that was written") from None
    if found.number != number:
        raise ValueError(f"it says that it is number {found.number}")
    return found.model_copy(update={"sha256": hashlib.sha256(data).hexdigest()})


def numbers(names: Iterable[str], kind: Literal["anchor", "seal"]) -> list[int]:
    """The numbers of the anchors, or seals, among these names of blobs, ascending. Other names are passed over."""
    form = re.compile(rf"{kind}-(\d{{9}})\.json")
    return sorted(int(match[1]) for name in names if (match := form.fullmatch(name)) and int(match[1]) > 0)
