"""The date and time functions. A moment is counted in ticks of 100 ns since 0001-01-01, as the service does."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.wire.cosmos.sql.values import UNDEFINED, is_number

__all__ = ["MOMENT_FUNCTIONS", "moment_text", "ticks_of_epoch"]

_SECOND = 10_000_000
_EPOCH = (datetime(1970, 1, 1, tzinfo=UTC) - datetime(1, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) * _SECOND
_TEXT = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,7}))?Z)?")
_FIXED = {
    "day": 86_400 * _SECOND,
    "hour": 3_600 * _SECOND,
    "minute": 60 * _SECOND,
    "second": _SECOND,
    "millisecond": 10_000,
    "microsecond": 10,
}
_SHORT = {
    "year": ("year", "yyyy", "yy"),
    "month": ("month", "mm", "m"),
    "day": ("day", "dd", "d"),
    "hour": ("hour", "hh"),
    "minute": ("minute", "mi", "n"),
    "second": ("second", "ss", "s"),
    "millisecond": ("millisecond", "ms"),
    "microsecond": ("microsecond", "mcs"),
    "nanosecond": ("nanosecond", "ns"),
}
_PART = {short: part for part, shorts in _SHORT.items() for short in shorts}


def ticks_of_epoch(seconds: float) -> int:
    """Seconds since 1970 to ticks."""
    return _EPOCH + round(seconds * 1_000_000) * 10


def moment_text(ticks: int) -> str:
    """``2026-11-21T10:00:00.0000000Z``."""
    seconds, rest = divmod(ticks, _SECOND)
    return f"{(datetime(1, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).isoformat()[:19]}.{rest:07d}Z"


def _ticks(value: Any) -> int | None:
    match = _TEXT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    seconds = (moment - datetime(1, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    return seconds * _SECOND + int((match.group(7) or "0").ljust(7, "0"))


def _part(value: Any) -> str | None:
    return _PART.get(value.lower()) if isinstance(value, str) else None


def _months(ticks: int) -> int:
    day = date.fromordinal(ticks // _FIXED["day"] + 1)
    return day.year * 12 + day.month - 1


def _whole(value: Any) -> int | None:
    return int(value) if is_number(value) and float(value).is_integer() else None


def date_time_diff(part: Any, start: Any, end: Any) -> Any:
    """How many boundaries of this part lie between."""
    name, low, high = _part(part), _ticks(start), _ticks(end)
    if name is None or low is None or high is None:
        return UNDEFINED
    if name == "nanosecond":
        return (high - low) * 100
    if name in _FIXED:
        return high // _FIXED[name] - low // _FIXED[name]
    months = _months(high), _months(low)
    return months[0] - months[1] if name == "month" else months[0] // 12 - months[1] // 12


def date_time_add(part: Any, amount: Any, moment: Any) -> Any:
    """So many parts later."""
    name, ticks, by = _part(part), _ticks(moment), _whole(amount)
    if name is None or ticks is None or by is None:
        return UNDEFINED
    if name == "nanosecond":
        return _safe_text(ticks + by // 100)
    if name in _FIXED:
        return _safe_text(ticks + by * _FIXED[name])
    months = _months(ticks) + (by if name == "month" else by * 12)
    year, month = divmod(months, 12)
    if not 1 <= year <= 9999:
        return UNDEFINED
    day = date.fromordinal(ticks // _FIXED["day"] + 1).day
    following = date(year + (month == 11), (month + 1) % 12 + 1, 1) if year < 9999 or month < 11 else date.max
    last = (following - timedelta(days=1)).day
    moved = date(year, month + 1, min(day, last)).toordinal() - 1
    return _safe_text(moved * _FIXED["day"] + ticks % _FIXED["day"])


def date_time_bin(moment: Any, part: Any, size: Any = 1, origin: Any = "1970-01-01T00:00:00.0000000Z") -> Any:
    """The beginning of the bin a moment falls into. Year and month are not binned here: undefined."""
    ticks, name, count, start = _ticks(moment), _part(part), _whole(size), _ticks(origin)
    if ticks is None or name not in _FIXED or count is None or count <= 0 or start is None:
        return UNDEFINED
    length = count * _FIXED[name]
    return _safe_text(start + (ticks - start) // length * length)


def date_time_part(part: Any, moment: Any) -> Any:
    """One part as a number."""
    name, ticks = _part(part), _ticks(moment)
    if name is None or ticks is None:
        return UNDEFINED
    fraction = ticks % _SECOND
    below = {"millisecond": fraction // 10_000, "microsecond": fraction // 10, "nanosecond": fraction * 100}
    if name in below:
        return below[name]
    return getattr(datetime(1, 1, 1, tzinfo=UTC) + timedelta(seconds=ticks // _SECOND), name)


def _safe_text(ticks: int) -> Any:
    return moment_text(ticks) if 0 <= ticks < 3_155_378_976_000_000_000 else UNDEFINED


def _to_timestamp(moment: Any) -> Any:
    ticks = _ticks(moment)
    return UNDEFINED if ticks is None else (ticks - _EPOCH) // 10_000


def _from_timestamp(value: Any) -> Any:
    milliseconds = _whole(value)
    return UNDEFINED if milliseconds is None else _safe_text(_EPOCH + milliseconds * 10_000)


def _to_ticks(moment: Any) -> Any:
    ticks = _ticks(moment)
    return UNDEFINED if ticks is None else ticks - _EPOCH


def _from_ticks(value: Any) -> Any:
    ticks = _whole(value)
    return UNDEFINED if ticks is None else _safe_text(_EPOCH + ticks)


MOMENT_FUNCTIONS: dict[str, tuple[int, int, Callable[..., Any]]] = {
    "DATETIMEADD": (3, 3, date_time_add),
    "DATETIMEDIFF": (3, 3, date_time_diff),
    "DATETIMEBIN": (2, 4, date_time_bin),
    "DATETIMEPART": (2, 2, date_time_part),
    "DATETIMETOTIMESTAMP": (1, 1, _to_timestamp),
    "TIMESTAMPTODATETIME": (1, 1, _from_timestamp),
    "DATETIMETOTICKS": (1, 1, _to_ticks),
    "TICKSTODATETIME": (1, 1, _from_ticks),
}
