"""Following the event log by polling: each event once, in the order it was recorded, however often somebody asks.

What is recorded becomes visible a moment later, and not in the order of its time: instances have clocks of their own,
and a write may be repeated for some seconds. So nothing younger than ``SETTLED`` is given out; a place behind that
moment never has to look back. An event that was published again in a later hour stands in the log twice; it is given
out where it stands first.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from shared.clock import Clock, hour_of, iso, parse_iso
from shared.errors import InvalidInput, NotFound
from shared.storage import Document, DocumentStore, Query, Range

__all__ = ["EventPoll", "Polled", "wants"]

CONTAINER = "events"
SETTLED = timedelta(seconds=15)
"""Longer than a store repeats a write (5 s), with room for clocks that differ."""
KEPT = timedelta(days=30)
HOUR = timedelta(hours=1)
MOST_HOURS = 48
"""Partitions looked into for one answer."""
MOST_LOOKED_AT = 2_000
"""Events looked at for one answer."""
PAGE = 200
LOOK_BACK_HOURS = 24
"""So far back an earlier record of the same event is looked for."""


class Place(NamedTuple):
    """Everything up to here was given out."""

    at: str
    id: str


@dataclass(frozen=True, slots=True)
class Polled:
    """One answer."""

    events: list[Document]
    """In their stored form, in the order they were recorded."""
    cursor: str
    """Where the next answer begins."""
    more: bool
    """There is more right now."""


class EventPoll:
    """Reads the log on."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def after(self, cursor: str | None, wanted: Callable[[Document], bool], limit: int) -> Polled:
        """What was recorded behind the cursor and is wanted; without a cursor nothing, and where things stand.

        A cursor may also be a time (ISO 8601): everything recorded from then on, 30 days back at most.

        Raises:
            InvalidInput: the cursor is none of ours.
            Unavailable: the store is away.
        """
        now = self._clock.now()
        if cursor is None:
            return Polled([], _written(Place(iso(now), "")), more=False)
        place = max(_read(cursor), Place(iso(now - KEPT), ""))
        horizon = iso(now - SETTLED)
        if place.at >= horizon:
            return Polled([], _written(place), more=False)
        found: list[Document] = []
        looked_at = 0
        async for document in self._behind(place, horizon):
            looked_at += 1
            here = Place(document["recordedAt"], document["id"])
            if wanted(document) and not await self._told_before(document):
                found.append(document)
            if len(found) >= limit or looked_at >= MOST_LOOKED_AT:
                return Polled(found, _written(here), more=True)
        reached = min(horizon, iso(_hour(place.at) + MOST_HOURS * HOUR))
        return Polled(found, _written(Place(reached, "")), more=reached < horizon)

    async def _behind(self, place: Place, horizon: str) -> AsyncIterator[Document]:
        start = _hour(place.at)
        for number in range(MOST_HOURS):
            hour = start + number * HOUR
            if iso(hour) >= horizon:
                return
            low = max(place.at, iso(hour))
            where = (Range("recordedAt", ge=low, lt=horizon),)
            query = Query(where, order_by="recordedAt", limit=PAGE)
            while True:
                page = await self._store.query(CONTAINER, query, partition=(hour_of(hour),))
                for stored in page.items:
                    if (stored.document["recordedAt"], stored.document["id"]) > place:
                        yield stored.document
                if page.continuation is None:
                    break
                query = Query(where, order_by="recordedAt", limit=PAGE, continuation=page.continuation)

    async def _told_before(self, document: Document) -> bool:
        """Does it stand in an earlier hour too? Only what happened in an earlier hour can."""
        recorded = _hour(document["recordedAt"])
        first = max(_hour(document["ts"]), recorded - LOOK_BACK_HOURS * HOUR)
        hours = int((recorded - first) / HOUR)
        if hours <= 0:
            return False
        found = await asyncio.gather(*(self._stands(hour_of(first + n * HOUR), document["id"]) for n in range(hours)))
        return any(found)

    async def _stands(self, hour: str, id: str) -> bool:
        try:
            await self._store.read(CONTAINER, (hour,), id)
        except NotFound:
            return False
        return True


def wants(
    *, event_type: str | None, equipment_id: str | None, severities: tuple[str, ...], site: str | None
) -> Callable[[Mapping[str, Any]], bool]:
    """The same choice that a subscription makes."""

    def wanted(event: Mapping[str, Any]) -> bool:
        return (
            event_type in (None, event["type"])
            and equipment_id in (None, event.get("objectId"))
            and (not severities or event.get("severity") in severities)
            and site in (None, event.get("site"))
        )

    return wanted


def _hour(at: str) -> datetime:
    """The beginning of its hour."""
    return parse_iso(at[:13] + ":00:00.000Z")


def _written(place: Place) -> str:
    return base64.urlsafe_b64encode(f"{place.at}|{place.id}".encode()).decode().rstrip("=")


def _read(text: str) -> Place:
    try:
        if text[:2].isdigit() and "T" in text:
            return Place(_time(text), "")
        at, _, document_id = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition("|")
        return Place(_time(at), document_id)
    except (binascii.Error, UnicodeDecodeError, ValueError, OverflowError):
        raise InvalidInput(
            "cursor: this is none of ours; take it from the answer before, or leave it out to begin now.",
            field="cursor",
        ) from None


def _time(text: str) -> str:
    moment: datetime = parse_iso(text)
    return iso(moment)
