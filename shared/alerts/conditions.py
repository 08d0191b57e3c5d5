"""Does the condition of a rule hold in this reading? One small function per kind, and the gate before them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from math import isfinite

from shared.alerts.model import Direction, Gate, Kind, Rule, is_temperature
from shared.alerts.state import Memory
from shared.signals import Quality, Reading, SignalValue, Value

__all__ = ["Finding", "GateView", "Verdict", "find", "is_one_of", "look_at_gate", "number", "read_failed"]

EXACT = 2**53
"""A larger integer is no measurement, and no exact number in every store."""
MAX_POINTS = 240
"""So many values of a rate's window are kept."""


class Verdict(Enum):
    """What a reading says about a condition."""

    HOLDS = auto()
    UNDECIDED = auto()
    """Between limit and deadband."""
    SETTLING = auto()
    """Beyond the limit, but the machine has its time to settle: nothing is raised, and no delay has begun."""
    GONE = auto()
    BAD = auto()
    """The data cannot be believed: nothing is known."""
    ABSENT = auto()
    """The reading does not mention it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict with what was seen."""

    verdict: Verdict
    value: Value = None
    measure: float | None = None
    """How bad; larger is worse."""
    setpoint: float | None = None
    quality: Quality = Quality.GOOD
    note: str | None = None


_GONE = Finding(Verdict.GONE)
_UNDECIDED = Finding(Verdict.UNDECIDED)
_BAD = Finding(Verdict.BAD)
_ABSENT = Finding(Verdict.ABSENT)
_SETTLING = Finding(Verdict.SETTLING)


class GateView(Enum):
    """What a reading says about a gate."""

    OPEN = auto()
    CLOSED = auto()
    UNKNOWN = auto()
    UNMENTIONED = auto()


def read_failed(reading: Reading) -> bool:
    """Did the whole read fail, so that the reading tells nothing of any signal?"""
    return reading.error_code is not None


def number(value: SignalValue) -> float | None:
    """The value as a number; ``None`` when it is none or cannot be believed."""
    v = value.value
    if value.quality is Quality.BAD:
        return None
    if type(v) is float:
        return v if isfinite(v) else None
    return float(v) if type(v) is int and abs(v) <= EXACT else None


def is_one_of(value: Value, wanted: Sequence[Value]) -> bool:
    """Text is compared without regard to case or surrounding spaces; ``true`` is not 1."""
    if isinstance(value, str):
        folded = value.strip().casefold()
        return any(isinstance(w, str) and w.strip().casefold() == folded for w in wanted)
    return any(isinstance(w, bool) is isinstance(value, bool) and w == value for w in wanted if w is not None)


def look_at_gate(when: Sequence[Gate], reading: Reading) -> GateView:
    """Open if any of the conditions holds."""
    view = GateView.CLOSED
    for gate in when:
        seen = reading.values.get(gate.signal)
        if seen is None:
            view = GateView.UNMENTIONED if view is GateView.CLOSED else view
        elif seen.quality is Quality.BAD:
            view = GateView.UNKNOWN
        elif is_one_of(seen.value, gate.equals):
            return GateView.OPEN
    return view


def find(rule: Rule, memory: Memory, reading: Reading) -> tuple[Finding, Memory]:
    """The verdict on this reading, and the memory with gate, set point and window brought up to date."""
    if read_failed(reading) and rule.kind is not Kind.CONNECTION_LOST:
        return (_UNDECIDED if rule.kind is Kind.BAD else _BAD), memory
    if rule.when or rule.unless:
        view = look_at_gate(rule.when, reading) if rule.when else GateView.OPEN
        if rule.unless and look_at_gate(rule.unless, reading) is GateView.OPEN:
            view = GateView.CLOSED
        if view is GateView.UNKNOWN:
            return _BAD, memory
        opened = view is GateView.OPEN or (view is GateView.UNMENTIONED and memory.gate_since is not None)
        if not opened:
            if memory.gate_since is None:
                return _GONE, memory
            return _GONE, replace(memory, gate_since=None, settle_from=None, points=())
        if memory.gate_since is None:
            memory = replace(memory, gate_since=reading.at, settle_from=reading.at)
    finding, memory = _CONDITIONS[rule.kind](rule, memory, reading)
    if finding.verdict is Verdict.HOLDS and rule.settle_seconds and _settling(rule, memory, reading.at):
        return _SETTLING, memory
    return finding, memory


def _settling(rule: Rule, memory: Memory, at: datetime) -> bool:
    return memory.settle_from is not None and (at - memory.settle_from).total_seconds() < rule.settle_seconds


Condition = Callable[[Rule, Memory, Reading], tuple[Finding, Memory]]


def _high(rule: Rule, memory: Memory, reading: Reading) -> tuple[Finding, Memory]:
    seen = reading.values.get(rule.signal or "")
    if seen is None:
        return _ABSENT, memory
    value = number(seen)
    if value is None:
        return _BAD, memory
    limit = rule.limit or 0.0
    if value > limit:
        return Finding(Verdict.HOLDS, value, value, None, seen.quality, seen.reason), memory
    if value <= limit - rule.deadband:
        return (_GONE if memory.opened_at is None else Finding(Verdict.GONE, value)), memory
    return _UNDECIDED, memory


def _low(rule: Rule, memory: Memory, reading: Reading) -> tuple[Finding, Memory]:
    seen = reading.values.get(rule.signal or "")
    if seen is None:
        return _ABSENT, memory
    value = number(seen)
    if value is None:
        return _BAD, memory
    limit = rule.limit or 0.0
    if value < limit:
        return Finding(Verdict.HOLDS, value, -value, None, seen.quality, seen.reason), memory
    if value >= limit + rule.deadband:
        return (_GONE if memory.opened_at is None else Finding(Verdict.GONE, value)), memory
    return _UNDECIDED, memory


def _one_sided(direction: Direction, difference: float) -> float:
    """The size of a difference as far as this direction counts it."""
    if direction is Direction.BOTH:
        return abs(difference)
    return difference if direction is Direction.ABOVE else -difference


def _setpoint(rule: Rule, reading: Reading) -> SignalValue | None:
    """The named set point, else the zone's own, else the machine's."""
    if rule.setpoint_signal is not None:
        return reading.values.get(rule.setpoint_signal)
    own = reading.values.get(f"{rule.signal}.setpoint")
    return own if own is not None or not is_temperature(rule.signal) else reading.values.get("temperature.setpoint")


def _deviation(rule: Rule, memory: Memory, reading: Reading) -> tuple[Finding, Memory]:
    seen = reading.values.get(rule.signal or "")
    wanted = _setpoint(rule, reading)
    setpoint = number(wanted) if wanted is not None else memory.setpoint
    if seen is None or (wanted is None and setpoint is None):
        return _ABSENT, memory
    value = number(seen)
    if value is None or setpoint is None:
        return _BAD, memory
    limit = rule.limit or 0.0
    if setpoint != memory.setpoint:
        # A step larger than the limit would be a deviation by itself; the machine gets its settle time for it.
        jumped = memory.setpoint is None or abs(setpoint - memory.setpoint) > limit
        began = reading.at if jumped and rule.settle_seconds else memory.settle_from
        memory = replace(memory, setpoint=setpoint, settle_from=began)
    off = _one_sided(rule.direction, value - setpoint)
    if off > limit:
        return Finding(Verdict.HOLDS, value, off, setpoint, seen.quality, seen.reason), memory
    if off <= limit - rule.deadband:
        return Finding(Verdict.GONE, value, None, setpoint), memory
    return _UNDECIDED, memory


def _rate(rule: Rule, memory: Memory, reading: Reading) -> tuple[Finding, Memory]:
    seen = reading.values.get(rule.signal or "")
    if seen is None:
        return _ABSENT, memory
    value = number(seen)
    if value is None:
        return _BAD, memory
    at = reading.at
    points = (*memory.points, (at, value))[-MAX_POINTS:]
    old_enough = sum((at - t).total_seconds() >= rule.window_seconds for t, _ in points)
    # The youngest value that is a whole window old is what we compare with; older ones are not needed any more.
    memory = replace(memory, points=points[max(0, old_enough - 1) :])
    if not old_enough:
        return _UNDECIDED, memory
    then, before = memory.points[0]
    per_minute = (value - before) / (at - then).total_seconds() * 60
    size, limit = _one_sided(rule.direction, per_minute), rule.limit or 0.0
    if size > limit:
        return Finding(Verdict.HOLDS, per_minute, size, None, seen.quality, seen.reason), memory
    if size <= limit - rule.deadband:
        return Finding(Verdict.GONE, per_minute), memory
    return _UNDECIDED, memory


def _equals(rule: Rule, memory: Memory, reading: Reading) -> tuple[Finding, Memory]:
    seen = reading.values.get(rule.signal or "")
    if seen is None:
        return _ABSENT, memory
    if seen.quality is Quality.BAD or seen.value is None:
        return _BAD, memory
    verdict = Verdict.HOLDS if is_one_of(seen.value, rule.equals) else Verdict.GONE
    return Finding(verdict, seen.value, None, None, seen.quality, seen.reason), memory


def _bad(rule: Rule, memory: Memory, reading: Reading) -> tuple[Finding, Memory]:
    if rule.signal is not None:
        seen = reading.values.get(rule.signal)
        if seen is None:
            return _ABSENT, memory
        bad = seen if seen.quality is Quality.BAD else None
    else:
        bad = next((v for v in reading.values.values() if v.quality is Quality.BAD), None)
    if bad is None:
        return _GONE, memory
    return Finding(Verdict.HOLDS, None, None, None, Quality.BAD, bad.reason), memory


def _connection_lost(rule: Rule, memory: Memory, reading: Reading) -> tuple[Finding, Memory]:
    if not read_failed(reading):
        return _GONE, memory
    return Finding(Verdict.HOLDS, None, None, None, Quality.BAD, reading.reason), memory


_CONDITIONS: dict[Kind, Condition] = {
    Kind.HIGH: _high,
    Kind.LOW: _low,
    Kind.DEVIATION: _deviation,
    Kind.RATE: _rate,
    Kind.EQUALS: _equals,
    Kind.BAD: _bad,
    Kind.CONNECTION_LOST: _connection_lost,
    Kind.EQUIPMENT_ERROR: _equals,
}
