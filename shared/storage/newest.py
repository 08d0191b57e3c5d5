"""Newest first over many partitions.

A store pages in order only inside one partition. What spans many (a stream over months, a source over days, all of
them) is walked back in time, window by window: each window is read whole, without order, and sorted here.
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
from shared.storage.port import Document, DocumentStore, PartitionKey, every
from shared.storage.query import Condition, Query, Range

__all__ = ["NewestFirst", "cursor", "read_cursor"]

FIRST_WINDOW = timedelta(hours=1)
LONGEST_WINDOW = timedelta(days=366)
SHORTEST_WINDOW = timedelta(milliseconds=1)
MAX_WINDOWS = 100
"""So many windows are read for one page; then it is given as it is, perhaps empty, with a place to go on from."""
MAX_IN_WINDOW = 2_000
"""A window that holds more is read in halves."""

Place = tuple[str, str]
"""Time and id of the last document that was given."""


def cursor(*parts: str | int) -> str:
    """An opaque continuation of our own."""
    return base64.urlsafe_b64encode(json_text.dump(parts)).decode().rstrip("=")


def read_cursor(text: str, *kinds: type) -> list[str | int]:
    """The parts of a continuation. Raises ``InvalidInput`` for one that is not ours."""
    try:
        parts = json_text.load(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error):
        parts = None
    if not isinstance(parts, list) or [type(part) for part in parts] != list(kinds):
        raise InvalidInput("This is no continuation of this list; leave it out to start anew.", field="continuation")
    return parts


@dataclass(frozen=True, slots=True)
class NewestFirst:
    """One search."""

    store: DocumentStore
    container: str
    time_path: str
    """A top-level ISO 8601 property as written by ``clock.iso``."""
    where: Sequence[Condition] = ()
    partition: PartitionKey | None = None
    """The whole key, a prefix of it, or all."""
    select: Sequence[str] | None = None

    async def page(
        self, *, since: datetime, until: datetime, limit: int, continuation: str | None = None
    ) -> tuple[list[Document], str | None]:
        """Documents with ``since <= time < until``, newest first, and how to go on (``None``: that was all).

        Raises:
            InvalidInput: the continuation is not ours.
        """
        after = _place(continuation)
        top = min(_next_millisecond(after[0]), iso(until)) if after else iso(until)
        floor = iso(since)
        span = FIRST_WINDOW
        found: list[Document] = []
        for _ in range(MAX_WINDOWS):
            if top <= floor or len(found) > limit:
                break
            bottom = max(floor, iso(datetime.fromisoformat(top) - span))
            part = await self._window(bottom, top)
            if len(part) > MAX_IN_WINDOW and span > SHORTEST_WINDOW:
                span /= 2
                continue
            ordered = sorted(part, key=self._place_of, reverse=True)
            found += [document for document in ordered if after is None or self._place_of(document) < after]
            top = bottom
            span = min(span * 2, LONGEST_WINDOW)
        if len(found) > limit:
            found = found[:limit]
            return found, cursor(*self._place_of(found[-1]))
        return found, None if top <= floor else cursor(top, "")

    async def _window(self, bottom: str, top: str) -> list[Document]:
        query = Query([*self.where, Range(self.time_path, ge=bottom, lt=top)], limit=1000, select=self.select)
        pages = every(self.store, self.container, query, partition=self.partition, at_most=MAX_IN_WINDOW + 1)
        return [item.document async for item in pages]

    def _place_of(self, document: Document) -> Place:
        return str(document[self.time_path]), str(document["id"])


def _place(continuation: str | None) -> Place | None:
    if not continuation:
        return None
    moment, name = read_cursor(continuation, str, str)
    try:
        datetime.fromisoformat(str(moment))
    except ValueError as err:
        raise InvalidInput("This is no continuation of this list.", field="continuation") from err
    return str(moment), str(name)


def _next_millisecond(moment: str) -> str:
    return iso(datetime.fromisoformat(moment) + timedelta(milliseconds=1))
