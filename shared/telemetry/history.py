"""The history of one machine as the API gives it: single readings, or numbers by bucket. Checked, bounded, paged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.clock import iso, parse_iso
from shared.errors import InvalidInput
from shared.signals import Quality, Reading, SignalValue
from shared.telemetry.buckets import Bucket, SignalStats
from shared.telemetry.fields import guide_fields
from shared.telemetry.readings import Order, Readings
from shared.telemetry.span import continuation as continuation_of
from shared.telemetry.span import read_continuation

__all__ = ["HistoryQuestion", "answer_history", "bucket_seconds"]

DAY = timedelta(days=1)
LONGEST_RAW = 100 * DAY
LONGEST_SHORT_BUCKETS = 31 * DAY
"""For buckets that are made of single readings."""
LONGEST_HOURLY_BUCKETS = 1_830 * DAY
"""For buckets of whole hours, which are made of hourly sums."""

MOST_READINGS = 1_000
MOST_BUCKETS = 5_000
SHORT_BUCKETS_AT_ONCE = 3 * DAY
"""So much is summed up from single readings for one page."""

_BUCKET = re.compile(r"([1-9][0-9]{0,4})([smhd])")
_UNIT = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class HistoryQuestion:
    """A checked question."""

    equipment_id: str
    start: datetime
    end: datetime
    limit: int
    newest_first: bool
    bucket: str | None
    seconds: int | None
    """Length of a bucket; ``None``: single readings."""
    signals: tuple[str, ...] | None
    inner: str | None
    """Where the page before ended."""

    @classmethod
    def of(
        cls,
        equipment_id: str,
        *,
        now: datetime,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = None,
        continuation: str | None = None,
        newest_first: bool = False,
        bucket: str | None = None,
        signals: str | None = None,
    ) -> HistoryQuestion:
        """Check what was asked and fill in the defaults: the last 24 hours, oldest first.

        Raises:
            InvalidInput: naming the parameter.
        """
        seconds = None if bucket is None else bucket_seconds(bucket)
        wanted = None if signals is None else _signals(signals)
        topic = _topic(equipment_id, newest_first, bucket, wanted)
        inner: str | None = None
        if continuation is not None:
            low, high, inner = _resumed(continuation, topic)
        else:
            # A reading of this very moment is part of "until now".
            high = end or now + timedelta(milliseconds=1)
            low = start or high - DAY
            _check_span(low, high, seconds)
            if seconds is not None:
                low, high = _aligned(low, high, seconds)
        most = MOST_READINGS if seconds is None else MOST_BUCKETS
        if limit is not None and limit > most:
            raise InvalidInput(f"limit is at most {most:,} here; go on with `continuation`.", field="limit")
        chosen = limit or (500 if seconds is None else 1_000)
        return cls(equipment_id, low, high, chosen, newest_first, bucket, seconds, wanted, inner)

    def leads_on(self, inner: str | None) -> str | None:
        """The continuation for the page behind ``inner``."""
        if inner is None:
            return None
        topic = _topic(self.equipment_id, self.newest_first, self.bucket, self.signals)
        return continuation_of(topic, [iso(self.start), iso(self.end), inner])


def bucket_seconds(text: str) -> int:
    """``5m`` -> 300. Raises ``InvalidInput``."""
    match = _BUCKET.fullmatch(text.strip())
    seconds = int(match[1]) * _UNIT[match[2]] if match else 0
    if not 30 <= seconds <= 86_400:
        raise InvalidInput(
            "bucket is a length from 30s to 1d: a whole number with s, m, h or d, such as 30s, 5m, 1h, 1d.",
            field="bucket",
        )
    return seconds


async def answer_history(readings: Readings, asked: HistoryQuestion) -> dict[str, Any]:
    """One page, in the guide's words."""
    if asked.seconds is None:
        rows, inner = await _raw_rows(readings, asked)
    else:
        rows, inner = await _bucket_rows(readings, asked, asked.seconds)
    return {
        "equipment_id": asked.equipment_id,
        "start": iso(asked.start),
        "end": iso(asked.end),
        "bucket": asked.bucket,
        "readings": rows,
        "continuation": asked.leads_on(inner),
    }


async def _raw_rows(readings: Readings, asked: HistoryQuestion) -> tuple[list[dict[str, Any]], str | None]:
    order: Order = "newest_first" if asked.newest_first else "oldest_first"
    page = await readings.history(asked.equipment_id, asked.start, asked.end, asked.limit, asked.inner, order=order)
    return [_raw_row(reading, asked.signals) for reading in page.readings], page.continuation


def _raw_row(reading: Reading, signals: tuple[str, ...] | None) -> dict[str, Any]:
    values = reading.values if signals is None else {k: v for k, v in reading.values.items() if k in signals}
    poor = {
        key: {"quality": value.quality.value, "reason": value.reason}
        for key, value in values.items()
        if value.quality is not Quality.GOOD
    }
    return {
        "reading_time": iso(reading.at),
        **_named(values, signals),
        "quality": reading.quality.value,
        "reason": reading.reason,
        "signal_quality": poor,
    }


async def _bucket_rows(
    readings: Readings, asked: HistoryQuestion, seconds: int
) -> tuple[list[dict[str, Any]], str | None]:
    start, end = asked.start, asked.end
    if asked.inner is not None:
        place = parse_iso(asked.inner)
        start, end = (start, place) if asked.newest_first else (place, end)
    span = timedelta(seconds=asked.limit * seconds)
    if seconds % 3_600:
        whole = int(SHORT_BUCKETS_AT_ONCE.total_seconds()) // seconds
        span = min(span, timedelta(seconds=whole * seconds))
    if asked.newest_first:
        low, high = max(start, end - span), end
        inner = iso(low) if low > start else None
    else:
        low, high = start, min(end, start + span)
        inner = iso(high) if high < end else None
    found = await readings.buckets(asked.equipment_id, low, high, seconds, asked.signals)
    rows = [_bucket_row(bucket, asked.signals) for bucket in found]
    return rows[::-1] if asked.newest_first else rows, inner


def _bucket_row(bucket: Bucket, signals: tuple[str, ...] | None) -> dict[str, Any]:
    means = {key: SignalValue(_rounded(s.average)) for key, s in bucket.signals.items()}
    return {
        "reading_time": iso(bucket.start),
        **_named(means, signals),
        "failed_reads": bucket.failed,
        "bad_count": bucket.failed + sum(s.bad for s in bucket.signals.values()),
        "signals": {key: _stats(s) for key, s in bucket.signals.items()},
    }


def _stats(stats: SignalStats) -> dict[str, Any]:
    return {
        "min": stats.minimum,
        "max": stats.maximum,
        "avg": _rounded(stats.average),
        "count": stats.count,
        "bad_count": stats.bad,
    }


def _rounded(number: float | None) -> float | None:
    """An average without the noise of floating-point sums."""
    return None if number is None else round(number, 4)


def _named(values: Mapping[str, SignalValue], signals: tuple[str, ...] | None) -> dict[str, Any]:
    """The guide's fields: all of them, or those that the chosen signals fill."""
    fields = guide_fields(values)
    return fields if signals is None else {name: value for name, value in fields.items() if value not in (None, {})}


def _check_span(start: datetime, end: datetime, seconds: int | None) -> None:
    if start >= end:
        raise InvalidInput("start must be before end.", field="start")
    longest, advice = LONGEST_RAW, "ask for a shorter span, or add bucket=1h for years at once"
    if seconds is not None:
        hourly = seconds % 3_600 == 0
        longest = LONGEST_HOURLY_BUCKETS if hourly else LONGEST_SHORT_BUCKETS
        advice = "ask for a shorter span" if hourly else "ask for a shorter span, or for whole hours (bucket=1h)"
    if end - start > longest:
        raise InvalidInput(f"From start to end are more than {longest.days:,} days: {advice}.", field="start")


def _aligned(start: datetime, end: datetime, seconds: int) -> tuple[datetime, datetime]:
    """Outwards to whole buckets: half a bucket would look like a drop."""
    low = int(start.timestamp()) // seconds * seconds
    high = -(-end.timestamp() // seconds) * seconds
    return datetime.fromtimestamp(low, UTC), datetime.fromtimestamp(high, UTC)


def _signals(text: str) -> tuple[str, ...]:
    keys = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not keys or len(keys) > 50 or any(len(key) > 100 or '"' in key or "\\" in key for key in keys):
        raise InvalidInput(
            "signals is a comma list of 1 to 50 signal keys, such as temperature.core,humidity.", field="signals"
        )
    return keys


def _topic(equipment_id: str, newest_first: bool, bucket: str | None, signals: tuple[str, ...] | None) -> str:
    return repr((equipment_id, newest_first, bucket, signals))


def _resumed(text: str, topic: str) -> tuple[datetime, datetime, str | None]:
    """Start and end come from the continuation: "now" has moved on since the first page."""
    place = read_continuation(text, topic)
    try:
        low, high, inner = place
        found = parse_iso(low or ""), parse_iso(high or "")
    except ValueError:
        raise InvalidInput(
            "This continuation is none of ours: leave it out to begin anew.", field="continuation"
        ) from None
    return found[0], found[1], inner
