"""Reading the audit log, newest first: one stream by its numbers, or all streams by time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.clock import iso
from shared.storage import Condition, Document, DocumentStore, Equals, Query, Range, every
from shared.storage.newest import NewestFirst

__all__ = ["AuditFilter", "browse_all", "browse_stream"]

CONTAINER = "audit"
NUMBERS_AT_ONCE = 1_000
MAX_RANGES = 100
"""So many ranges of numbers are read for one page; then it is given as it is, with a continuation."""
OLDEST = datetime(2020, 1, 1, tzinfo=UTC)
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

    def conditions(self) -> list[Condition]:
        """Actor and action as the store understands them."""
        found: list[Condition] = []
        if self.actor is not None:
            found.append(Equals("actor.id", self.actor))
        if self.action is not None:
            found.append(Equals("action", self.action))
        return found

    def times(self) -> list[Condition]:
        """Since and until as the store understands them."""
        if self.since is None and self.until is None:
            return []
        since = iso(self.since) if self.since is not None else None
        until = iso(self.until) if self.until is not None else None
        return [Range("at", ge=since, lt=until)]


async def browse_stream(
    store: DocumentStore, stream: str, wanted: AuditFilter, *, below: int, limit: int
) -> tuple[list[Document], int]:
    """Entries of one stream with numbers under ``below``, newest first, and the number to go on under (1: the end).

    Numbers have no gaps, so that ranges of them are pages that cost the same, whatever the months.
    """
    found: list[Document] = []
    top = below
    for _ in range(MAX_RANGES):
        if top <= 1:
            break
        bottom = max(1, top - NUMBERS_AT_ONCE)
        query = Query([*wanted.conditions(), *wanted.times(), Range("seq", ge=bottom, lt=top)], limit=1000)
        pages = every(store, CONTAINER, query, partition=(stream,), at_most=NUMBERS_AT_ONCE * 2)
        found += sorted([item.document async for item in pages], key=lambda entry: -int(entry["seq"]))
        top = bottom
        if len(found) >= limit:
            found = found[:limit]
            top = int(found[-1]["seq"])
            break
    return found, top


async def browse_all(
    store: DocumentStore, wanted: AuditFilter, *, now: datetime, limit: int, continuation: str | None
) -> tuple[list[Document], str | None]:
    """Entries of all streams, newest first, and how to go on. Raises ``InvalidInput`` for a foreign continuation."""
    search = NewestFirst(store, CONTAINER, "at", wanted.conditions())
    return await search.page(
        since=wanted.since or OLDEST,
        # A day ahead: another instance's clock may be ahead of ours.
        until=wanted.until or now + timedelta(days=1),
        limit=limit,
        continuation=continuation,
    )
