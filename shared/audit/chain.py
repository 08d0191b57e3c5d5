"""The hash chain: pure functions over the stored entries.

Every entry holds the hash of the one before it, and a hash over everything it says. Whoever changes, removes,
inserts or reorders an entry breaks the chain at that place, unless every later entry is written anew as well; that,
and cutting off the newest entries, shows only against a hash that was noted outside: by a person
(``Verification.head_hash``) or in an anchor (``witness.py``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared import json_text
from shared.clock import month_of, parse_iso
from shared.errors import InvalidInput
from shared.observability import masked
from shared.storage import Document

__all__ = [
    "GENESIS",
    "Anchored",
    "Break",
    "Link",
    "Verification",
    "check",
    "entry_hash",
    "entry_id",
    "link",
    "month_after",
    "plain",
    "stream_name",
]

GENESIS = "0" * 64
"""What the first entry of a stream holds as the hash of the one before it."""

MAX_CONTENT_BYTES = 65_536
"""A larger ``before`` or ``after`` is kept as its length and digest: an entry must always be writable."""

_EXACT_INTEGER = 2**53
"""Beyond it a JSON number is not the same number in every store."""

_STREAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._@-]{0,199}")


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where a chain does not hold."""

    seq: int | None
    """The entry's number; ``None`` when it has lost even that."""
    kind: str
    """In a chain: ``changed``, ``missing``, ``front_missing``, ``reordered``, ``duplicate``, ``misplaced``. Against a
    note or an anchor: ``head_missing``, ``rewritten``, ``stream_missing``. In the anchors: ``anchor_missing``,
    ``anchor_altered``, ``seal_missing``, ``seal_altered``. As a doubt: ``backdated``, ``clock_back``."""
    detail: str
    """A sentence for a person."""
    anchor: int | None = None
    """The number of the anchor (or seal, where the kind says so) that tells, or is concerned itself."""


@dataclass(frozen=True, slots=True)
class Anchored:
    """What the anchors hold of one stream."""

    since: str
    """When the first anchor that knows the stream was written, ISO 8601."""
    anchors: int
    """How many hold a head of it."""
    seq: int
    """The newest entry that is anchored; entries up to it cannot be changed unseen."""
    at: str
    """When that was, ISO 8601."""
    anchor: int
    """The number of that anchor."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What came out of checking one stream."""

    stream: str
    intact: bool
    entries: int
    head_seq: int
    """The number of the newest entry; 0: the stream is empty."""
    head_hash: str
    """Note it somewhere else: only against such a note, or an anchor, does a cut-off tail show."""
    first_break: Break | None = None
    anchored: Anchored | None = None
    """``None``: no anchor holds it, or the anchors were not asked."""
    doubt: Break | None = None
    """Something that is no proof of tampering, but that an auditor should ask about."""
    head_at: str = ""
    """When the newest entry says that it was written."""


@dataclass(frozen=True, slots=True)
class Link:
    """What checking needs of an entry: little, so that long streams fit into memory."""

    seq: int | None
    month: str
    hash: str
    previous: str
    next_month: str
    at: str
    whole: bool
    """Its hash is the hash of what it says, and it is called and filed as it should be."""


def stream_name(stream: str) -> str:
    """The name, checked: it becomes part of an id.

    Raises:
        InvalidInput: it holds characters that an id may not hold.
    """
    if not _STREAM.fullmatch(stream):
        raise InvalidInput(
            "A stream is named with letters, digits and `: . _ @ -`, at most 200 characters: `equipment:OVEN-1`.",
            field="stream",
        )
    return stream


def entry_id(stream: str, seq: int) -> str:
    """``equipment:OVEN-1:000000000042``."""
    return f"{stream}:{seq:012d}"


def entry_hash(document: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON of everything but the hash (and what the store itself adds: ``_etag`` ...)."""
    said = {key: value for key, value in document.items() if key != "hash" and not key.startswith("_")}
    return hashlib.sha256(json_text.canonical(said)).hexdigest()


def month_after(month: str, at: str) -> str:
    """The partition of the entry that follows one filed under ``month`` and written ``at``.

    It depends on the entry before alone, never on the writer's clock: two writers that race at the turn of the month
    would otherwise create the same number in two partitions, and neither would see a conflict.
    """
    return max(month, at[:7])


def plain(value: Any) -> Any:
    """The value as every store gives it back: JSON, with whole numbers as integers, secrets masked, bounded.

    Cosmos DB keeps numbers as JavaScript does (``1.0`` comes back as ``1``), and the hash must outlive that.
    """
    if value is None:
        return None
    data = json_text.dump(value)
    if len(data) > MAX_CONTENT_BYTES:
        return {"shortened": True, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return _numbers(masked(json_text.load(data)))


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _EXACT_INTEGER:
        return str(value)
    return value


def link(stream: str, document: Document) -> Link:
    """One stored entry, reduced to what checking needs. Anything may stand in it: it may have been tampered with."""
    seq = document.get("seq")
    number = seq if isinstance(seq, int) and not isinstance(seq, bool) else None
    try:
        next_month = month_after(str(document.get("month")), month_of(parse_iso(str(document.get("at")))))
    except ValueError:
        next_month = ""
    whole = (
        number is not None
        and document.get("id") == entry_id(stream, number)
        and document.get("stream") == stream
        and document.get("hash") == entry_hash(document)
    )
    return Link(
        seq=number,
        month=str(document.get("month")),
        hash=str(document.get("hash")),
        previous=str(document.get("prevHash")),
        next_month=next_month,
        at=str(document.get("at")),
        whole=whole,
    )


def in_order(links: Iterable[Link]) -> list[Link]:
    """By number; those that lost theirs at the end."""
    return sorted(links, key=lambda entry: (entry.seq is None, entry.seq or 0))


def check(stream: str, links: Iterable[Link], *, noted: tuple[int, str] | None = None) -> Verification:
    """Hold all entries of a stream together, in the order of their numbers, and name the first that does not fit.

    Args:
        stream: whose entries they are.
        links: in any order.
        noted: number and hash of an entry as somebody wrote it down earlier; the chain must still hold it.
    """
    ordered = in_order(links)
    head = ordered[-1] if ordered else None
    found = _first_break(ordered) or (_against_note(ordered, noted) if noted else None)
    return Verification(
        stream=stream,
        intact=found is None,
        entries=len(ordered),
        head_seq=(head.seq or 0) if head else 0,
        head_hash=head.hash if head else GENESIS,
        first_break=found,
        head_at=head.at if head else "",
    )


def _first_break(ordered: list[Link]) -> Break | None:
    before: Link | None = None
    for entry in ordered:
        found = _break_at(before, entry)
        if found is not None:
            return found
        before = entry
    return None


def _break_at(before: Link | None, entry: Link) -> Break | None:
    expected = 1 if before is None or before.seq is None else before.seq + 1
    seq = entry.seq
    if seq is None:
        return Break(None, "changed", "An entry has lost its number: it was changed after it was written.")
    if seq < expected:
        return Break(seq, "duplicate", f"Entry {seq} stands there twice: one of them was put in later.")
    if seq > expected and before is None:
        return Break(expected, "front_missing", f"The stream begins with entry {seq}: those before it are gone.")
    if seq > expected:
        return Break(expected, "missing", f"Entry {expected} is missing: after {expected - 1} comes {seq}.")
    if not entry.whole:
        return Break(seq, "changed", f"Entry {seq} does not match its own hash: it was changed after it was written.")
    if entry.previous != (before.hash if before else GENESIS):
        return Break(
            seq, "reordered", f"Entry {seq} does not follow the one before it: one of them was replaced or moved."
        )
    if before is not None and entry.month != before.next_month:
        return Break(seq, "misplaced", f"Entry {seq} is filed under {entry.month}, not {before.next_month}.")
    return None


def _against_note(ordered: list[Link], noted: tuple[int, str]) -> Break | None:
    seq, expected = noted
    if len(ordered) < seq:
        return Break(
            seq, "head_missing", f"Entry {seq} was noted, the stream ends with {len(ordered)}: the newest were cut off."
        )
    if ordered[seq - 1].hash != expected:
        return Break(seq, "changed", f"Entry {seq} is not the one that was noted: the chain was written anew.")
    return None
