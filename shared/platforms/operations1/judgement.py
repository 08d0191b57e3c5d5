"""May this value be given to a worker? Pure: the reading, the profile and the time decide."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from shared.platforms.operations1.profile import TagSource
from shared.signals import Quality, Reading, SignalValue, Value

__all__ = ["TagAnswer", "judge"]

CLOCK_SKEW_SECONDS = 60.0
"""How far ahead of ours a reading's clock may be."""


@dataclass(frozen=True, slots=True)
class TagAnswer:
    """What can be said about one tag."""

    value: Value
    """``None``: there is no usable value, and ``reason`` says why."""
    unit: str
    quality: Quality
    age_seconds: float | None
    reason: str | None
    run_id: str | None = None
    """What was done for it, where something was: ``runs.py``."""
    running: bool = False
    """It goes on; its value comes later."""

    @property
    def usable(self) -> bool:
        """Is there a value to give?"""
        return self.value is not None


def judge(
    source: TagSource,
    reading: Reading | None,
    found: tuple[SignalValue, datetime] | None,
    now: datetime,
    *,
    accept_uncertain: bool,
) -> TagAnswer:
    """Judge one tag.

    Args:
        source: what is wanted.
        reading: the machine's newest reading, failed attempts included.
        found: the signal's newest value with its time, where one is known.
        now: the time.
        accept_uncertain: are values of uncertain quality given?
    """
    machine = source.equipment_id
    if reading is None:
        return _nothing(f"{machine} has not been read today or yesterday; is it connected?")
    if not reading.values and reading.quality is Quality.BAD:
        why = f": {reading.reason}" if reading.reason else "."
        return _nothing(f"{machine} could not be read at its last poll{why}", _age(reading.at, now))
    if found is None:
        return _nothing(f"{machine} gives no signal {source.signal}; check the profile and the machine's mapping.")
    signal, at = found
    age = _age(at, now)
    if (at - now).total_seconds() > CLOCK_SKEW_SECONDS:
        return _nothing(f"The reading of {machine} lies in the future; check the clocks.")
    if signal.value is None or signal.quality is Quality.BAD or _no_number(signal.value):
        why = f": {signal.reason}" if signal.reason else "."
        return _nothing(f"{source.signal} of {machine} has no valid value{why}", age)
    if age > source.max_age_seconds:
        return _nothing(
            f"{source.signal} of {machine} was last read {_span(age)} ago; at most {_span(source.max_age_seconds)} is "
            "allowed. Is the machine connected?",
            age,
        )
    if signal.quality is Quality.UNCERTAIN and not accept_uncertain:
        why = f": {signal.reason}" if signal.reason else "."
        return _nothing(f"{source.signal} of {machine} is uncertain{why}", age, Quality.UNCERTAIN)
    return _in_unit(source, signal, age)


def _nothing(reason: str, age: float | None = None, quality: Quality = Quality.BAD) -> TagAnswer:
    return TagAnswer(None, "", quality, age, reason)


def _in_unit(source: TagSource, signal: SignalValue, age: float) -> TagAnswer:
    value, unit = signal.value, signal.unit
    if source.unit is not None and source.unit != unit and isinstance(value, int | float) and unit:
        if unit != "C" or source.unit not in ("F", "K"):
            return _nothing(
                f"{source.signal} of {source.equipment_id} is in {unit}, and the profile wants {source.unit}.", age
            )
        value = value * 9 / 5 + 32 if source.unit == "F" else value + 273.15
        unit = source.unit
    return TagAnswer(_rounded(value, source.digits), source.unit or unit, signal.quality, round(age, 3), signal.reason)


def _rounded(value: Value, digits: int | None) -> Value:
    if digits is None or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return round(value) if digits == 0 else round(value, digits)


def _no_number(value: Value) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _age(at: datetime, now: datetime) -> float:
    return max(0.0, (now - at).total_seconds())


def _span(seconds: float) -> str:
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds"
