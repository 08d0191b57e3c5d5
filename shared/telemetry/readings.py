"""Readings: what the machines said, by day, for as long as they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from shared.clock import Clock, day_of, iso
from shared.errors import Conflict, InvalidInput
from shared.signals import Quality, Reading, SignalValue
from shared.storage import Bucket as StoreBucket
from shared.storage import BucketQuery, DocumentStore, Query, Range
from shared.telemetry.buckets import Bucket, RawBuckets, Tally
from shared.telemetry.document import failed, from_document, to_document
from shared.telemetry.rollups import Rollups
from shared.telemetry.span import at_hour, continuation, days_of, read_continuation
from shared.topology import topology

__all__ = ["HistoryPage", "Order", "Readings"]

CONTAINER = "readings"

MOST_DAYS = 40
"""Day partitions looked into for one page; then the page is given as it is, with a continuation."""

LOOK_BACK = 20
"""So many readings are looked through for a signal that not every one holds."""

HOUR = timedelta(hours=1)

Order = Literal["oldest_first", "newest_first"]


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Some readings in order of time."""

    readings: list[Reading]
    continuation: str | None
    """Give it to the next call with the same arguments; ``None``: that was all."""


class Readings:
    """Recording and reading back."""

    def __init__(self, store: DocumentStore, clock: Clock, *, retention_days: int) -> None:
        self._store = store
        self._clock = clock
        self._raw = RawBuckets(store)
        self.rollups = Rollups(store, clock)
        ttl = retention_days * 86_400
        self._ttl = None if ttl == topology().containers[CONTAINER].ttl_seconds else ttl

    async def record(self, reading: Reading) -> bool:
        """Keep a reading; durable when it returns. ``False``: it was there already."""
        try:
            await self._store.create(CONTAINER, to_document(reading, ttl_seconds=self._ttl))
            new = True
        except Conflict:
            new = False
        # Also when it was there: the process that recorded it may have died right after.
        await self.rollups.came_late(reading)
        return new

    async def latest(self, equipment_id: str) -> Reading | None:
        """The latest attempt to read it, also a failed one; ``None``: none today and yesterday (UTC)."""
        found = await self._newest(equipment_id, 1)
        return found[0] if found else None

    async def latest_value(self, equipment_id: str, signal: str) -> tuple[SignalValue, datetime] | None:
        """The newest value of one signal with the time of its reading, whatever its quality.

        After a failed read that is a bad value: what the machine said before is not what it says now. A reading that
        only holds other signals (a device that reports changes) is passed over, twenty of them at most.
        """
        for reading in await self._newest(equipment_id, 1):
            if failed(reading) and signal not in reading.values:
                reason = reading.reason or "The machine could not be read."
                return SignalValue(None, Quality.BAD, reason), reading.at
            if signal in reading.values:
                return reading.values[signal], reading.at
        for reading in await self._newest(equipment_id, LOOK_BACK):
            if signal in reading.values:
                return reading.values[signal], reading.at
        return None

    async def history(
        self,
        equipment_id: str,
        start: datetime,
        end: datetime,
        limit: int,
        continuation: str | None = None,
        *,
        order: Order = "oldest_first",
    ) -> HistoryPage:
        """Readings with ``start <= at < end``, day partition after day partition.

        Args:
            equipment_id: of which machine.
            start: inclusive.
            end: exclusive.
            limit: 1 to 1,000. A page may hold fewer while ``continuation`` says that more follow.
            continuation: of the page before, with the same arguments.
            order: which come first.

        Raises:
            InvalidInput: the continuation is not of this query.
        """
        descending = order == "newest_first"
        question = f"{equipment_id}|{iso(start)}|{iso(end)}|{order}"
        days = sorted(days_of(start, end), reverse=descending)
        inner: str | None = None
        if continuation is not None:
            days, inner = _resume(days, continuation, question)
        found: list[Reading] = []
        for number, day in enumerate(days):
            if len(found) == limit or number == MOST_DAYS:
                return HistoryPage(found, _leads_to(question, day, None))
            query = Query(
                (Range("ts", ge=iso(start), lt=iso(end)),),
                order_by="ts",
                descending=descending,
                limit=limit - len(found),
                continuation=inner,
            )
            page = await self._store.query(CONTAINER, query, partition=(equipment_id, day))
            found += [from_document(item.document) for item in page.items]
            inner = page.continuation
            if inner is not None:
                return HistoryPage(found, _leads_to(question, day, inner))
        return HistoryPage(found, None)

    async def buckets(
        self, equipment_id: str, start: datetime, end: datetime, seconds: int, signals: Sequence[str] | None = None
    ) -> list[Bucket]:
        """Minimum, maximum, average, count and bad values per signal and stretch of ``seconds``, in order of time.

        Stretches of whole hours are made of the hourly sums, as far as there are, and of single readings beyond;
        shorter ones of single readings. Stretches are aligned to the epoch; where nothing was read there is none.
        """
        tally = Tally(seconds)
        if seconds % 3600:
            await self._raw.add_to(tally, equipment_id, start, end, signals)
            return tally.buckets()
        done = await self.rollups.done_until()
        first = at_hour(start) if start == at_hour(start) else at_hour(start) + HOUR
        last = max(first, min(at_hour(end), done)) if done is not None else first
        if first >= end:
            first = last = end
        await self._raw.add_to(tally, equipment_id, start, min(first, end), signals)
        await self.rollups.add_to(tally, equipment_id, first, last, signals)
        await self._raw.add_to(tally, equipment_id, last, end, signals)
        return tally.buckets()

    async def response_times(self, equipment_id: str, start: datetime, end: datetime) -> StoreBucket | None:
        """How long the machine took to answer, in ms, over a span within one UTC day; ``None``: it never did."""
        seconds = max(1, int((end - start).total_seconds()))
        query = BucketQuery("ts", iso(start), iso(end), seconds, {"ms": ("ms",)})
        found = await self._store.buckets(CONTAINER, query, partition=(equipment_id, day_of(start)))
        return found[0] if found else None

    async def roll_up(self, equipment_ids: Iterable[str], hour: datetime) -> int:
        """Sum an hour up for these machines, once; how many sums were written."""
        return await self.rollups.roll_up(equipment_ids, hour)

    async def _newest(self, equipment_id: str, count: int) -> list[Reading]:
        now = self._clock.now()
        query = Query(order_by="ts", descending=True, limit=count)
        found: list[Reading] = []
        for day in (day_of(now), day_of(now - timedelta(days=1))):
            page = await self._store.query(CONTAINER, query, partition=(equipment_id, day))
            found += [from_document(item.document) for item in page.items]
            if len(found) >= count:
                break
        return found[:count]


def _leads_to(question: str, day: str, inner: str | None) -> str:
    return continuation(question, [day, inner])


def _resume(days: list[str], text: str, question: str) -> tuple[list[str], str | None]:
    place = read_continuation(text, question)
    if len(place) != 2 or place[0] not in days:
        raise InvalidInput("This continuation is none of ours: leave it out to begin anew.", field="continuation")
    return days[days.index(place[0]) :], place[1]
