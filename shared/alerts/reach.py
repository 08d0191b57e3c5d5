"""The ``reach`` rule (HACCP): the value reaches the limit, and holds it, before the cycle ends.

A limit alarm cannot say it: below the limit is normal all through the cycle, and wrong only if it stays so to the end.
The rule is judged once, at the end of a cycle. A cycle is the time its gate is open (``status`` running, unless the
rule says otherwise) with one batch; a new ``batch.id`` ends it. What is not shown is not reached: bad data never
counts for the product. Every cycle that fails is an alert of its own, which only a person can close, because the next
batch does not heal this one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from shared.alerts.conditions import GateView, look_at_gate, number, read_failed
from shared.alerts.model import RUNNING_WORDS, Gate, Rule
from shared.alerts.state import Cycle, RuleState
from shared.alerts.transition import NOTHING, Happening, Outcome, Transition
from shared.signals import Quality, Reading

__all__ = ["evaluate_reach"]

BATCH = "batch.id"
_RUNNING = (Gate("status", RUNNING_WORDS),)


def evaluate_reach(rule: Rule, state: RuleState, reading: Reading) -> Outcome:
    """The state after this reading, and the judgement if it ended a cycle."""
    cycle, at = state.memory.cycle, reading.at
    view = GateView.UNKNOWN if read_failed(reading) else look_at_gate(rule.when or _RUNNING, reading)
    if view is GateView.UNMENTIONED:
        if not _mentions(rule, reading):
            return state, NOTHING
        view = GateView.OPEN if cycle is not None and cycle.ended_at is None else GateView.CLOSED
    if view is GateView.UNKNOWN:
        return _with_cycle(state, _interrupted(cycle), at), NOTHING
    if view is GateView.CLOSED:
        return _gate_closed(rule, state, at)
    return _running(rule, state, reading)


def _mentions(rule: Rule, reading: Reading) -> bool:
    return (rule.signal or "") in reading.values


def _with_cycle(state: RuleState, cycle: Cycle | None, at: datetime) -> RuleState:
    if cycle is state.memory.cycle:
        return RuleState(at, state.memory)
    return RuleState(at, replace(state.memory, cycle=cycle))


def _interrupted(cycle: Cycle | None) -> Cycle | None:
    """Nothing is known of this moment: whatever was being held is no longer shown to be."""
    return replace(cycle, bad=cycle.bad + 1, streak_since=None) if cycle is not None else None


def _gate_closed(rule: Rule, state: RuleState, at: datetime) -> Outcome:
    cycle = state.memory.cycle
    if cycle is None:
        return RuleState(at, state.memory), NOTHING
    ended = cycle.ended_at or at
    if (at - ended).total_seconds() < rule.off_delay_seconds:
        return _with_cycle(state, cycle if cycle.ended_at else replace(cycle, ended_at=ended), at), NOTHING
    return _with_cycle(state, None, at), _judgement(rule, replace(cycle, ended_at=ended), at)


def _running(rule: Rule, state: RuleState, reading: Reading) -> Outcome:
    cycle, at = state.memory.cycle, reading.at
    seen = reading.values.get(BATCH)
    batch = str(seen.value) if seen is not None and seen.quality is not Quality.BAD and seen.value else None
    judged = NOTHING
    if cycle is not None and batch is not None and cycle.batch not in (None, batch):
        judged = _judgement(rule, replace(cycle, ended_at=at), at)
        cycle = None
    if cycle is None:
        cycle = Cycle(at, seen_from_start=state.last_at is not None)
    if cycle.ended_at is not None:
        cycle = replace(cycle, ended_at=None)
    if batch is not None and cycle.batch is None:
        cycle = replace(cycle, batch=batch)
    return _with_cycle(state, _sampled(rule, cycle, reading), at), judged


def _sampled(rule: Rule, cycle: Cycle, reading: Reading) -> Cycle:
    seen = reading.values.get(rule.signal or "")
    if seen is None:
        return cycle
    value, at, limit = number(seen), reading.at, rule.limit or 0.0
    if value is None:
        return _interrupted(cycle) or cycle
    streak = None
    if value >= limit:
        silent = rule.gap_seconds is not None and cycle.last_good_at is not None
        gap = silent and (at - (cycle.last_good_at or at)).total_seconds() > (rule.gap_seconds or 0.0)
        streak = at if cycle.streak_since is None or gap else cycle.streak_since
    held = streak is not None and (at - streak).total_seconds() >= rule.hold_seconds
    return replace(
        cycle,
        streak_since=streak,
        reached_at=cycle.reached_at or (at if held else None),
        maximum=value if cycle.maximum is None else max(cycle.maximum, value),
        good=cycle.good + 1,
        last_good_at=at,
    )


def _judgement(rule: Rule, cycle: Cycle, at: datetime) -> tuple[Transition, ...]:
    ended = cycle.ended_at or at
    if (ended - cycle.started_at).total_seconds() < rule.settle_seconds:
        return NOTHING  # a start that was broken off
    note = None if cycle.seen_from_start else "the beginning of the cycle was not seen"
    if cycle.reached_at is None and not cycle.good:
        note = "no usable value in the whole cycle"
    return (
        Transition(
            happening=Happening.RAISED if cycle.reached_at is None else Happening.REACHED,
            at=at,
            opened_at=at,
            since=cycle.started_at,
            value=cycle.maximum,
            peak=cycle.maximum,
            note=note,
            bad_readings=cycle.bad,
            batch=cycle.batch,
        ),
    )
