"""Hourly rollups: what a chart over months reads when the single readings are long gone. Written once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.clock import Clock, iso, month_of, parse_iso
from shared.errors import Conflict, NotFound
from shared.storage import Bucket, Document, DocumentStore, Query, Range, every

__all__ = ["Rollups"]


class Rollups:
    """Container ``rollups``, partition ``[equipmentId, month]``, id ``h:2026-11-21T10``."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def has(self, equipment_id: str, hour: datetime) -> bool:
        """Is this hour written already?"""
        try:
            await self._store.read("rollups", (equipment_id, month_of(hour)), _id(hour))
        except NotFound:
            return False
        return True

    async def write(self, equipment_id: str, hour: datetime, buckets: Sequence[Bucket]) -> bool:
        """Write an hour from its buckets (one per series). ``False``: nothing to write, or it was there."""
        if not buckets:
            return False
        document: Document = {
            "id": _id(hour),
            "equipmentId": equipment_id,
            "month": month_of(hour),
            "ts": iso(hour),
            "writtenAt": iso(self._clock.now()),
            "signals": {
                b.series: {"min": b.minimum, "max": b.maximum, "avg": b.average, "count": b.count} for b in buckets
            },
        }
        try:
            await self._store.create("rollups", document)
        except Conflict:
            return False
        return True

    async def buckets(
        self, equipment_id: str, start: datetime, end: datetime, seconds: int, signals: Sequence[str] | None = None
    ) -> list[Bucket]:
        """Buckets of whole hours, summed up to ``seconds`` (a multiple of 3,600), ordered by time, then series."""
        merged: dict[tuple[str, str], Bucket] = {}
        for month in _months(start, end):
            query = Query(where=(Range("ts", ge=iso(start), lt=iso(end)),), order_by="ts", limit=1000)
            async for stored in every(self._store, "rollups", query, partition=(equipment_id, month)):
                at = int(parse_iso(stored.document["ts"]).timestamp())
                begin = iso(datetime.fromtimestamp(at - at % seconds, start.tzinfo))
                for series, s in stored.document["signals"].items():
                    if signals is None or series in signals:
                        hour = Bucket(begin, series, s["min"], s["max"], s["avg"], s["count"])
                        known = merged.get((begin, series))
                        merged[(begin, series)] = hour if known is None else _together(known, hour)
        return [merged[key] for key in sorted(merged)]


def _together(a: Bucket, b: Bucket) -> Bucket:
    count = a.count + b.count
    average = (a.average * a.count + b.average * b.count) / count
    return Bucket(a.start, a.series, min(a.minimum, b.minimum), max(a.maximum, b.maximum), average, count)


def _id(hour: datetime) -> str:
    return f"h:{iso(hour)[:13]}"


def _months(start: datetime, end: datetime) -> list[str]:
    months: list[str] = []
    day = start
    while day < end:
        if month_of(day) not in months:
            months.append(month_of(day))
        day += timedelta(days=1)
    if month_of(end - timedelta(milliseconds=1)) not in months:
        months.append(month_of(end - timedelta(milliseconds=1)))
    return months
