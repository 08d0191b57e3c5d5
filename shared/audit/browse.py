"""Reading the audit log, newest first: one stream by its numbers, or all streams by time.

A store pages in order only inside one partition, and a stream spans many. One stream is walked down by ranges of
numbers, which have no gaps; all streams are walked back in time, window by window, each read whole and sorted here.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared import json_text
from shared.clock import iso
from shared.errors import InvalidInput
from shared.storage import Condition, Document, DocumentStore, Equals, Query, Range, every

__all__ = ["AuditFilter", "browse_all", "browse_stream", "cursor", "read_cursor"]

CONTAINER = "audit"
NUMBERS_AT_ONCE = 1_000
MAX_WALKS = 100
"""So many ranges or windows are read for one page; then the page is given as it is, with a continuation."""
WINDOW = timedelta(hours=1)
MAX_IN_WINDOW = 2_000
"""A window that holds more is read in halves."""
LONGEST_WINDOW = timedelta(days=366)
OLDEST = "2020-01-01T00:00:00.000Z"
"""Before Ovenbridge: nothing can stand there."""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What is looked for; ``None``: anything."""

    actor: str | None = None
    """``actor.id``"""
    action: str | None = None
    since: datetime | None = None
    """Inclusive."""
    until: datetime | None = None
    """Exclusive."""

    def conditions(self, *, with_times: bool) -> list[Condition]:
        """As the store understands it."""
        found: list[Condition] = []
        if self.actor is not None:
            found.append(Equals("actor.id", self.actor))
        if self.action is not None:
            found.append(Equals("action", self.action))
        if with_times and (self.since is not None or self.until is not None):
            found.append(
                Range(
                    "at",
                    ge=iso(self.since) if self.since is not None else None,
                    lt=iso(self.until) if self.until is not None else None,
                )
            )
        return found


def cursor(*parts: str | int) -> str:
    """An opaque continuation."""
    return base64.urlsafe_b64encode(json_text.dump(parts)).decode().rstrip("=")


def read_cursor(text: str, *kinds: type) -> list[str | int]:
    """The parts of a continuation of ours. Raises ``InvalidInput`` for anything else."""
    try:
        parts = json_text.load(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error):
        parts = None
    if not isinstance(parts, list) or [type(part) for part in parts] != list(kinds):
        raise InvalidInput("This is no continuation of this list; leave it out to start anew.", field="continuation")
    return parts


async def browse_stream(
    store: DocumentStore, stream: str, wanted: AuditFilter, *, below: int, limit: int
) -> tuple[list[Document], int]:
    """Entries of one stream with numbers under ``below``, newest first, and the number to go on under (1: the end)."""
    found: list[Document] = []
    top = below
    for _ in range(MAX_WALKS):
        if top <= 1:
            break
        bottom = max(1, top - NUMBERS_AT_ONCE)
        part = await _all(
            store,
            [*wanted.conditions(with_times=True), Range("seq", ge=bottom, lt=top)],
            partition=(stream,),
            at_most=NUMBERS_AT_ONCE * 2,
        )
        found += sorted(part, key=lambda entry: -int(entry["seq"]))
        top = bottom
        if len(found) >= limit:
            found = found[:limit]
            top = int(found[-1]["seq"])
            break
    return found, top


async def browse_all(
    store: DocumentStore,
    wanted: AuditFilter,
    *,
    now: datetime,
    after: tuple[str, str, int] | None,
    limit: int,
) -> tuple[list[Document], tuple[str, str, int] | None]:
    """Entries of all streams, newest first, and the place to go on after (``None``: the end).

    Args:
        store: where they are.
        wanted: what is looked for.
        now: where to start when ``wanted`` does not say.
        after: time, stream and number of the last entry given.
        limit: at most so many.
    """
    # A day ahead: another instance's clock may be ahead of ours.
    end = wanted.until or now + timedelta(days=1)
    top = _next_millisecond(after[0]) if after else iso(end)
    floor = max(OLDEST, iso(wanted.since)) if wanted.since else OLDEST
    found: list[Document] = []
    span = WINDOW
    for _ in range(MAX_WALKS):
        if top <= floor or len(found) >= limit:
            break
        bottom = max(floor, iso(datetime.fromisoformat(top) - span))
        conditions = [*wanted.conditions(with_times=False), Range("at", ge=bottom, lt=top)]
        part = await _all(store, conditions, partition=None, at_most=MAX_IN_WINDOW + 1)
        if len(part) > MAX_IN_WINDOW and span > timedelta(milliseconds=1):
            span /= 2
            continue
        found += [entry for entry in sorted(part, key=_place, reverse=True) if after is None or _place(entry) < after]
        top = bottom
        span = min(span * 2, LONGEST_WINDOW)
    if len(found) > limit or (found and top > floor):
        found = found[:limit]
        return found, _place(found[-1])
    return found, None if top <= floor else (top, "", 0)


def _place(entry: Document) -> tuple[str, str, int]:
    return (str(entry["at"]), str(entry["stream"]), int(entry["seq"]))


def _next_millisecond(at: str) -> str:
    return iso(datetime.fromisoformat(at) + timedelta(milliseconds=1))


async def _all(
    store: DocumentStore, where: Sequence[Condition], *, partition: tuple[str, ...] | None, at_most: int
) -> list[Document]:
    query = Query(where, limit=1000)
    return [item.document async for item in every(store, CONTAINER, query, partition=partition, at_most=at_most)]
