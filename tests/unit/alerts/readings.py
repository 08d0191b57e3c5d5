"""Readings, rules and replays for the tests of this room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.alerts.evaluation import evaluate
from shared.alerts.model import Kind, Rule
from shared.alerts.state import RuleState
from shared.alerts.transition import Happening, Transition
from shared.signals import Quality, Reading, SignalValue, Value

START = datetime(2026, 11, 21, 10, tzinfo=UTC)
CABINET = "temperature.cabinet"


def at(seconds: float) -> datetime:
    """So many seconds after the start."""
    return START + timedelta(seconds=seconds)


def rule(kind: Kind | str, signal: str | None = CABINET, **fields: Any) -> Rule:
    """A rule on OVEN-1."""
    return Rule(id="rule-1", scope="OVEN-1", kind=Kind(kind), signal=signal, **fields)


def reading(seconds: float, values: Mapping[str, Value | SignalValue] | None = None, **named: Value) -> Reading:
    """A good read; a ``SignalValue`` stands as given, ``__`` in a name is a dot."""
    given: dict[str, Value | SignalValue] = {**(values or {}), **{k.replace("__", "."): v for k, v in named.items()}}
    signals = {k: v if isinstance(v, SignalValue) else SignalValue(v) for k, v in given.items()}
    return Reading("OVEN-1", at(seconds), signals)


def cabinet(seconds: float, value: Value | SignalValue) -> Reading:
    """A read of the cabinet alone."""
    return reading(seconds, {CABINET: value})


def bad(seconds: float, signal: str = CABINET, reason: str = "sensor sentinel 32767") -> Reading:
    """A read in which this signal has no value."""
    return reading(seconds, {signal: SignalValue(None, Quality.BAD, reason)})


def failed(seconds: float, reason: str = "The device did not answer in time.") -> Reading:
    """A read that failed as a whole."""
    return Reading("OVEN-1", at(seconds), {}, Quality.BAD, reason, "timeout")


def replay(
    judged_by: Rule, readings: Iterable[Reading], state: RuleState | None = None
) -> tuple[RuleState, list[Transition]]:
    """The end state and all that happened."""
    state = state or RuleState()
    happened: list[Transition] = []
    for one in readings:
        state, transitions = evaluate(judged_by, state, one)
        happened.extend(transitions)
    return state, happened


def raised(transitions: Sequence[Transition]) -> list[Transition]:
    """Those that raised an alert."""
    return [t for t in transitions if t.happening is Happening.RAISED]


def cleared(transitions: Sequence[Transition]) -> list[Transition]:
    """Those that ended one."""
    return [t for t in transitions if t.happening is Happening.CLEARED]


def seconds_of(transitions: Sequence[Transition]) -> list[float]:
    """When they happened, counted from the start."""
    return [(t.at - START).total_seconds() for t in transitions]
