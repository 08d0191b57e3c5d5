"""Readings: recorded once, found by time, summed up by bucket."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from shared import json_text
from shared.clock import Clock, day_of, iso
from shared.errors import Conflict, InvalidInput
from shared.signals import Quality, Reading, SignalValue
from shared.storage import Bucket, BucketQuery, DocumentStore, Query, Range
from shared.telemetry.document import from_document, to_document
from shared.telemetry.rollups import Rollups
from shared.topology import topology

__all__ = ["BAD_SERIES", "HistoryPage", "Order", "Readings"]

Order = Literal["oldest_first", "newest_first"]

BAD_SERIES = "bad"
"""Series that counts readings with bad signals, so that a chart shows its gaps."""

DAYS_A_PAGE = 31
"""So many day partitions are looked into for one page; a page may be short and still have a continuation."""


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Readings in time order."""

    readings: list[Reading]
    continuation: str | None


class Readings:
    """All readings of all machines."""

    def __init__(self, store: DocumentStore, clock: Clock, *, retention_days: int) -> None:
        self._store = store
        self._clock = clock
        seconds = retention_days * 86_400
        # A document carries its own retention only where the deployment chose another than the container's.
        self._ttl = seconds if seconds != topology().containers["readings"].ttl_seconds else None
        self.rollups = Rollups(store, clock)

    async def record(self, reading: Reading) -> bool:
        """Store it, durably. ``False``: it was there already (a redelivered message, a relay that sent twice)."""
        try:
            await self._store.create("readings", to_document(reading, ttl_seconds=self._ttl))
        except Conflict:
            return False
        return True

    async def latest(self, equipment_id: str) -> Reading | None:
        """The newest reading, a failed one too, of today or yesterday (UTC); ``None``: silent for longer."""
        now = self._clock.now()
        for day in (day_of(now), day_of(now - timedelta(days=1))):
            page = await self._store.query(
                "readings", Query(order_by="ts", descending=True, limit=1), partition=(equipment_id, day)
            )
            if page.items:
                return from_document(page.items[0].document)
        return None

    async def latest_value(self, equipment_id: str, signal: str) -> tuple[SignalValue, datetime] | None:
        """The newest reading's value of this signal, whatever its quality, and when it was read.

        A failed read has no signals at all: it answers bad with the reading's reason, never the value before it.
        ``None``: no reading, or one that does not know the signal.
        """
        reading = await self.latest(equipment_id)
        if reading is None:
            return None
        if signal in reading.values:
            return reading.values[signal], reading.at
        if reading.quality is Quality.BAD:
            return SignalValue(None, Quality.BAD, reading.reason or "The machine could not be read."), reading.at
        return None

    async def history(
        self,
        equipment_id: str,
        start: datetime,
        end: datetime,
        limit: int,
        continuation: str | None,
        *,
        order: Order = "oldest_first",
    ) -> HistoryPage:
        """Readings from ``start`` (inclusive) to ``end`` (exclusive), day partition after day partition.

        Raises:
            InvalidInput: ``continuation`` is not one of ours for this question.
        """
        newest_first = order == "newest_first"
        days = _days(start, end, newest_first)
        day, inner = _read_continuation(continuation, days)
        readings: list[Reading] = []
        for current in days[day : day + DAYS_A_PAGE]:
            query = Query(
                where=(Range("ts", ge=iso(start), lt=iso(end)),),
                order_by="ts",
                descending=newest_first,
                limit=limit - len(readings),
                continuation=inner,
            )
            page = await self._store.query("readings", query, partition=(equipment_id, current))
            readings += [from_document(item.document) for item in page.items]
            inner = page.continuation
            if inner is not None:
                return HistoryPage(readings, _continuation(current, inner))
            day += 1
            if len(readings) >= limit:
                break
        return HistoryPage(readings, _continuation(days[day], None) if day < len(days) else None)

    async def buckets(
        self,
        equipment_id: str,
        start: datetime,
        end: datetime,
        seconds: int,
        signals: Sequence[str] | None = None,
    ) -> list[Bucket]:
        """Minimum, maximum, average and count per signal and bucket; empty buckets are left out.

        The series ``bad`` counts readings with bad signals. Without ``signals``: those of the newest reading.
        """
        if signals is None:
            newest = await self.history(equipment_id, start, end, 1, None, order="newest_first")
            signals = sorted(newest.readings[0].values) if newest.readings else []
        paths: dict[str, Sequence[str]] = {signal: ("values", signal, "v") for signal in signals}
        paths[BAD_SERIES] = (BAD_SERIES,)
        query = BucketQuery("ts", iso(start), iso(end), seconds, paths)
        return await self._store.buckets("readings", query, partition=(equipment_id,))

    async def response_times(self, equipment_id: str, start: datetime, end: datetime) -> Bucket | None:
        """How long the machine took to answer, in ms, over a span within one UTC day; ``None``: it never did."""
        seconds = max(1, int((end - start).total_seconds()))
        query = BucketQuery("ts", iso(start), iso(end), seconds, {"ms": ("ms",)})
        found = await self._store.buckets("readings", query, partition=(equipment_id, day_of(start)))
        return found[0] if found else None

    async def roll_up(self, equipment_ids: Sequence[str], hour: datetime) -> int:
        """Write the hour's rollup of each machine that has readings in it, once; how many were written."""
        start = hour.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        written = 0
        for equipment_id in equipment_ids:
            if await self.rollups.has(equipment_id, start):
                continue
            buckets = await self.buckets(equipment_id, start, start + timedelta(hours=1), 3600)
            written += await self.rollups.write(equipment_id, start, buckets)
        return written


def _days(start: datetime, end: datetime, newest_first: bool) -> list[str]:
    last = end - timedelta(milliseconds=1)
    first_day = start.astimezone(UTC).date()
    count = max(0, (last.astimezone(UTC).date() - first_day).days + 1)
    days = [(first_day + timedelta(days=n)).isoformat() for n in range(count)]
    return days[::-1] if newest_first else days


def _continuation(day: str, inner: str | None) -> str:
    return base64.urlsafe_b64encode(json_text.dump([day, inner])).decode().rstrip("=")


def _read_continuation(continuation: str | None, days: list[str]) -> tuple[int, str | None]:
    if continuation is None:
        return 0, None
    try:
        day, inner = json_text.load(base64.urlsafe_b64decode(continuation + "=" * (-len(continuation) % 4)))
        return days.index(day), inner
    except (ValueError, TypeError) as err:
        raise InvalidInput(
            "This continuation does not belong to this question. Leave it out to begin anew.", field="continuation"
        ) from err
