"""Numbers summed up by time: what a chart needs. Gaps stay gaps, and bad values are counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from shared.clock import iso, parse_iso
from shared.storage import Bucket as StoreBucket
from shared.storage import BucketQuery, DocumentStore, IsDefined, Query, Range
from shared.telemetry.span import at_midnight, days_of

__all__ = ["Bucket", "RawBuckets", "SignalStats", "Tally"]

CONTAINER = "readings"


@dataclass(frozen=True, slots=True)
class SignalStats:
    """One signal in one bucket."""

    minimum: float | None
    maximum: float | None
    average: float | None
    """Of the numbers; ``None`` with ``count`` 0."""
    count: int
    """How many numbers."""
    bad: int
    """How often it was asked and had no value."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A stretch of time in which something was read, or tried."""

    start: datetime
    signals: Mapping[str, SignalStats]
    failed: int
    """Reads that failed as a whole."""


@dataclass(slots=True)
class _Sum:
    minimum: float = float("inf")
    maximum: float = float("-inf")
    total: float = 0.0
    count: int = 0
    bad: int = 0


@dataclass(slots=True)
class Tally:
    """Adds up parts of buckets, from wherever they come."""

    seconds: int
    _sums: dict[tuple[int, str], _Sum] = field(default_factory=dict)
    _failed: dict[int, int] = field(default_factory=dict)

    def numbers(self, at: datetime, signal: str, low: float, high: float, average: float, count: int) -> None:
        """So many numbers of a signal, summed up already."""
        if count > 0:
            total = self._sum(at, signal)
            total.minimum = min(total.minimum, low)
            total.maximum = max(total.maximum, high)
            total.total += average * count
            total.count += count

    def bad(self, at: datetime, signal: str, count: int) -> None:
        """So many bad values of a signal."""
        if count:
            self._sum(at, signal).bad += count

    def failed(self, at: datetime, count: int) -> None:
        """So many reads that failed as a whole."""
        if count:
            number = self._number(at)
            self._failed[number] = self._failed.get(number, 0) + count

    def buckets(self) -> list[Bucket]:
        """In order of time; where nothing was read there is none."""
        by_number: dict[int, dict[str, SignalStats]] = {number: {} for number in self._failed}
        for (number, signal), part in sorted(self._sums.items()):
            by_number.setdefault(number, {})[signal] = _stats(part)
        return [
            Bucket(datetime.fromtimestamp(number * self.seconds, UTC), signals, self._failed.get(number, 0))
            for number, signals in sorted(by_number.items())
        ]

    def _number(self, at: datetime) -> int:
        return int(at.timestamp()) // self.seconds

    def _sum(self, at: datetime, signal: str) -> _Sum:
        return self._sums.setdefault((self._number(at), signal), _Sum())


def _stats(part: _Sum) -> SignalStats:
    if not part.count:
        return SignalStats(None, None, None, 0, part.bad)
    # Sums of floats leave the range they come from by a rounding error; an average never does.
    average = min(max(part.total / part.count, part.minimum), part.maximum)
    return SignalStats(part.minimum, part.maximum, average, part.count, part.bad)


@dataclass(frozen=True, slots=True)
class RawBuckets:
    """Buckets made by the store from single readings, a day partition at a time."""

    store: DocumentStore

    async def add_to(
        self, tally: Tally, equipment_id: str, start: datetime, end: datetime, signals: Sequence[str] | None
    ) -> None:
        """Add ``start <= t < end`` up. Without ``signals``: all that the readings hold."""
        for day in days_of(start, end):
            low = max(start, at_midnight(day))
            high = min(end, at_midnight(day) + timedelta(days=1))
            wanted = signals if signals is not None else await self._signals(equipment_id, day, low, high)
            query = BucketQuery("ts", iso(low), iso(high), tally.seconds, _paths(wanted))
            parts = await self.store.buckets(CONTAINER, query, partition=(equipment_id, day))
            _add(tally, parts)

    async def _signals(self, equipment_id: str, day: str, start: datetime, end: datetime) -> list[str]:
        """What is measured: what the first and the last good reading of the stretch hold."""
        found: dict[str, None] = {}
        for descending in (False, True):
            query = Query(
                (Range("ts", ge=iso(start), lt=iso(end)), IsDefined("values")),
                order_by="ts",
                descending=descending,
                limit=1,
                select=("values",),
            )
            page = await self.store.query(CONTAINER, query, partition=(equipment_id, day))
            for item in page.items:
                found |= dict.fromkeys(item.document["values"])
        return list(found)


def _paths(signals: Iterable[str]) -> dict[str, Sequence[str]]:
    # "v:" and "b:" so that no signal's name can be taken for another series.
    paths: dict[str, Sequence[str]] = {"failed": ("failed",)}
    for signal in signals:
        if '"' not in signal and "\\" not in signal:
            paths[f"v:{signal}"] = ("values", signal, "v")
            paths[f"b:{signal}"] = ("values", signal, "bad")
    return paths


def _add(tally: Tally, parts: Iterable[StoreBucket]) -> None:
    for part in parts:
        at = parse_iso(part.start)
        kind, _, signal = part.series.partition(":")
        if kind == "v":
            tally.numbers(at, signal, part.minimum, part.maximum, part.average, part.count)
        elif kind == "b":
            tally.bad(at, signal, part.count)
        else:
            tally.failed(at, part.count)
