"""When the device or its vendor says that it measured. Pure.

A time that cannot be read, lies ahead of us, or is two times at once (the hour when clocks are put back) gives no time
and a reason; nothing is guessed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Literal

from shared.clock import iso
from shared.signals import Quality, SignalValue

__all__ = ["FUTURE", "Form", "Moment", "Times", "doubted", "moment_of", "zone_of"]

Form = Literal["auto", "iso", "seconds", "milliseconds"]

FUTURE = timedelta(minutes=5)
"""A vendor's clock may be so far ahead of ours."""
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""An older time is a clock that was never set."""
MILLISECONDS_FROM = 1e11
"""``auto``: seconds reach this number in the year 5138, milliseconds had it in 1973."""

_NUMBER = re.compile(r"[0-9]{9,13}(?:\.[0-9]{1,9})?")
_TIME_OF_DAY = re.compile(r"[0-9][T ][0-9]{2}", re.IGNORECASE)
_OFFSET = re.compile(r"[+-][0-9]{2}(?::?[0-9]{2}){0,2}")


@dataclass(frozen=True, slots=True)
class Times:
    """How times are read, and how old a value may be."""

    form: Form = "auto"
    zone: tzinfo = UTC
    """Of ISO times that name none."""
    max_age: float | None = None
    """Seconds; ``None``: any age, because an unchanged value may be old and still live."""
    now: datetime | None = None
    """``None``: only read, judged by whoever asked."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time of measurement, or why there is none."""

    at: datetime | None = None
    problem: str | None = None


def zone_of(name: str) -> tzinfo:
    """``UTC``, ``+01:00`` or an IANA name such as ``Europe/Madrid``.

    Raises:
        ValueError: with what can be written.
    """
    if name.upper() in ("UTC", "Z"):
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        if _OFFSET.fullmatch(name):
            offset = datetime.fromisoformat(f"2000-01-01T00:00:00{name}").utcoffset()
            return timezone(offset or timedelta())
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as err:
        raise ValueError("no time zone of this name: write UTC, +01:00, or a name such as Europe/Madrid") from err


def moment_of(raw: Any, times: Times) -> Moment:
    """The time that ``raw`` says, in UTC."""
    found = _read(raw, times)
    if isinstance(found, str):
        return Moment(problem=found)
    if times.now is None:
        return Moment(found)
    if found > times.now + FUTURE:
        return Moment(problem=f"it says {iso(found)}, which is still to come: its clock or its time zone is wrong")
    if found < EARLIEST:
        return Moment(problem=f"it says {iso(found)}: its clock was never set")
    return Moment(found)


def doubted(value: SignalValue, moment: Moment, max_age: float | None, now: datetime) -> SignalValue:
    """The value with its time of measurement; uncertain where that is not known, or too long ago."""
    if moment.at is None:
        return value if moment.problem is None else _uncertain(value, f"when it was measured: {moment.problem}")
    timed = replace(value, source_time=moment.at)
    age = (now - moment.at).total_seconds()
    if max_age is None or age <= max_age:
        return timed
    return _uncertain(timed, f"stale: measured {_span(age)} ago ({iso(moment.at)}), max_age is {_span(max_age)}")


def _uncertain(value: SignalValue, why: str) -> SignalValue:
    if value.quality is Quality.BAD:
        return value
    return replace(value, quality=Quality.UNCERTAIN, reason=f"{value.reason}; {why}" if value.reason else why)


def _read(raw: Any, times: Times) -> datetime | str:
    if raw is None:
        return "there is null in place of a time"
    if isinstance(raw, str):
        text = raw.strip()
        if times.form != "iso" and _NUMBER.fullmatch(text):
            return _since_1970(float(text), times.form)
        if times.form not in ("auto", "iso"):
            return f"it says {text[:40]}, which are no {times.form} since 1970"
        return _iso(text, times.zone)
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return "it says something that is no time"
    if times.form == "iso":
        return "it says a number, and timestamp_form is iso"
    return _since_1970(raw, times.form)


def _since_1970(number: float, form: Form) -> datetime | str:
    try:
        if not math.isfinite(number):
            return "it says a number that is not finite"
        milliseconds = form == "milliseconds" or (form == "auto" and abs(number) >= MILLISECONDS_FROM)
        return datetime.fromtimestamp(number / 1000 if milliseconds else number, UTC)
    except (ValueError, OverflowError, OSError):
        return "it says a number that is no time since 1970"


def _iso(text: str, zone: tzinfo) -> datetime | str:
    try:
        if _TIME_OF_DAY.search(text) is None:
            raise ValueError("a date alone")
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
        return _local(moment, zone)
    except (ValueError, OverflowError):
        return f"it says {text[:40] or 'nothing'}, which is no time: ISO 8601, or seconds or milliseconds since 1970"


def _local(moment: datetime, zone: tzinfo) -> datetime | str:
    first = moment.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = moment.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if first == second:
        return first
    said = f"it says {moment.isoformat(timespec='seconds')} without a zone"
    if first.astimezone(zone).replace(tzinfo=None) != moment:
        return f"{said}, which was left out when the clocks were put forward: timestamp_zone is wrong"
    return f"{said}, and that hour comes twice when the clocks are put back"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
