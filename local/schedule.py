"""NCRONTAB schedules, as the timer extension of the Functions host reads them.

Six fields ``second minute hour day month weekday`` (five: without the second), UTC, day **and** weekday must both
match, weekdays 0-6, names by prefix, no ``?``, ``L``, ``W`` or ``#`` (``reference/functions-runtime.md`` 3.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

__all__ = ["BadSchedule", "Schedule", "parse_schedule"]

_MONTHS = [
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
]
_DAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]
_FIELDS: tuple[tuple[str, int, int, list[str]], ...] = (
    ("second", 0, 59, []),
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("weekday", 0, 6, _DAYS),
)
_NEVER_MONITORED_BELOW = timedelta(minutes=1)


class BadSchedule(ValueError):
    """The host could not read it; the function would not run. The message says why."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule that occurs."""

    text: str
    """As the function wrote it, settings resolved."""
    expression: str
    """Normalised for croniter: six fields of plain numbers."""

    def next_after(self, moment: datetime) -> datetime:
        """The first occurrence after this moment (aware UTC)."""
        # Imported here: it is only needed where something is scheduled.
        from croniter import croniter

        walk = croniter(self.expression, moment, second_at_beginning=True, day_or=False)
        found: datetime = walk.get_next(datetime)
        return found

    def is_monitored(self, moment: datetime) -> bool:
        """Is its state kept over restarts? The host does so unless it occurs more often than once a minute."""
        following = [self.next_after(moment)]
        for _ in range(4):
            following.append(self.next_after(following[-1]))
        return all(later - earlier >= _NEVER_MONITORED_BELOW for earlier, later in pairwise(following))


def parse_schedule(text: str, *, now: datetime) -> Schedule:
    """Read a schedule.

    Raises:
        BadSchedule: the host could not read it, or it never occurs.
    """
    fields = text.split()
    if len(fields) == 5:
        fields.insert(0, "0")
    if len(fields) != 6:
        raise BadSchedule(
            f"it has {len(fields)} fields; NCRONTAB has six (second minute hour day month weekday) or five"
        )
    schedule = Schedule(text, " ".join(_field(value, *of) for value, of in zip(fields, _FIELDS, strict=True)))
    from croniter import CroniterBadDateError

    try:
        schedule.next_after(now)
    except CroniterBadDateError as err:
        raise BadSchedule("it never occurs") from err
    return schedule


def _field(text: str, name: str, low: int, high: int, names: list[str]) -> str:
    if text == "*":
        return "*"
    values: set[int] = set()
    for part in text.split(","):
        values.update(_part(part, name, low, high, names))
    return ",".join(str(v) for v in sorted(values))


def _part(text: str, name: str, low: int, high: int, names: list[str]) -> range:
    span, slash, every = text.partition("/")
    if slash and not (every.isdecimal() and int(every) > 0):
        raise BadSchedule(f"the {name} `{text}` has no step above 0 after the slash")
    step = int(every) if slash else 1
    if span == "*":
        return range(low, high + 1, step)
    first, dash, last = span.partition("-")
    start = _value(first, name, low, high, names)
    if not dash:
        return range(start, (high if slash else start) + 1, step)
    # NCrontab turns a range round that is written backwards.
    start, end = sorted((start, _value(last, name, low, high, names)))
    return range(start, end + 1, step)


def _value(text: str, name: str, low: int, high: int, names: list[str]) -> int:
    if text.isdecimal() and text.isascii():
        value = int(text)
    else:
        found = [i for i, word in enumerate(names) if text and word.startswith(text.lower())]
        if not found:
            raise BadSchedule(f"the {name} `{text}` is not understood")
        value = found[0] + low
    if not low <= value <= high:
        raise BadSchedule(f"the {name} {text} is outside {low} to {high}")
    return value
