"""Time. Everything inside is aware UTC; everything written is ISO 8601 with ``Z``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = [
    "Clock",
    "ManualClock",
    "SystemClock",
    "compact",
    "compacted",
    "day_of",
    "hour_of",
    "iso",
    "month_of",
    "parse_iso",
]


class Clock(Protocol):
    """Where the time comes from. Services take one, so that tests can move it."""

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        return datetime.now(UTC)


class ManualClock:
    """A clock that stands still until it is moved; for tests and simulations."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """The time it was last set to."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on by so many seconds (backwards when negative)."""
        self._now += timedelta(seconds=seconds)

    def set(self, moment: datetime) -> None:
        """Stand at this moment."""
        self._now = moment


def iso(moment: datetime) -> str:
    """``2026-11-21T10:30:00.000Z``: fixed width with milliseconds, so that text order is time order.

    A naive time is taken as UTC (the Service Bus extension sends such).
    """
    if moment.tzinfo is not UTC:
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def parse_iso(text: str) -> datetime:
    """Read an ISO 8601 time into aware UTC. A time without offset is taken as UTC.

    Raises:
        ValueError: it is no ISO 8601 time.
    """
    moment = datetime.fromisoformat(text.strip())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def compact(moment: datetime) -> str:
    """``20261121T103000000Z``: the form used inside ids, sortable, without characters that ids may not hold."""
    return compacted(iso(moment))


def compacted(written: str) -> str:
    """:func:`compact` of what :func:`iso` wrote."""
    return written.replace("-", "").replace(":", "").replace(".", "")


def day_of(moment: datetime) -> str:
    """``2026-11-21``, the UTC day: a partition key."""
    return iso(moment)[:10]


def hour_of(moment: datetime) -> str:
    """``2026-11-21T10``, the UTC hour: a partition key."""
    return iso(moment)[:13]


def month_of(moment: datetime) -> str:
    """``2026-11``, the UTC month: a partition key."""
    return iso(moment)[:7]
