"""Judging a reading by a rule: a pure function of (rule, state, reading).

Event time decides: delays count in the time of the readings, so a replay of the same readings gives the same alerts.
A duplicate or late reading moves nothing. Bad data neither raises nor clears, and restarts a delay that runs. A
signal that a reading does not mention is no news. Only staleness is judged by a clock (:func:`judge_by_clock`).

Every reading comes to a verdict (``conditions.py``); this module says what the verdict does to an alert::

    quiet --holds--> pending --on-delay over, still holds--> raised --gone--> clearing --off-delay over--> quiet
                        |                                      ^                  |
                        +--gone, or bad data--> quiet          +---holds again----+

Between the limit and the deadband nothing is decided: a delay that runs goes on, but an alert is only raised on a
value beyond the limit and only cleared on one that has come back through the deadband.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from shared.alerts.conditions import Finding, Verdict, find, read_failed
from shared.alerts.model import Kind, Rule
from shared.alerts.reach import evaluate_reach
from shared.alerts.state import Memory, RuleState
from shared.alerts.transition import NOTHING, Happening, Outcome, Transition
from shared.signals import Quality, Reading

__all__ = ["evaluate", "judge_by_clock", "withdraw"]


def evaluate(rule: Rule, state: RuleState, reading: Reading) -> Outcome:
    """The state after this reading, and what it brought about. Never raises."""
    at = reading.at
    if state.last_at is not None and at <= state.last_at:
        return state, NOTHING
    if rule.kind is Kind.REACH:
        return evaluate_reach(rule, state, reading)
    if rule.kind is Kind.STALE:
        return _note_news(rule, state, reading)
    finding, memory = find(rule, state.memory, reading)
    verdict = finding.verdict
    if verdict is Verdict.ABSENT:
        return state, NOTHING
    if memory.opened_at is None:
        if verdict is Verdict.HOLDS:
            return _condition_holds(rule, memory, finding, at)
        if memory.since is not None and verdict is not Verdict.UNDECIDED:
            memory = replace(memory, since=None, failures=0)
        return RuleState(at, memory), NOTHING
    return _while_open(rule, memory, finding, at)


def _condition_holds(rule: Rule, memory: Memory, finding: Finding, at: datetime) -> Outcome:
    since = memory.since or at
    failures = memory.failures + 1 if rule.kind is Kind.CONNECTION_LOST else 0
    peak = finding.value if finding.measure is not None else None
    held = (at - since).total_seconds() >= rule.on_delay_seconds
    if not held or (rule.kind is Kind.CONNECTION_LOST and failures < rule.failures):
        if since is memory.since and failures == memory.failures:
            return RuleState(at, memory), NOTHING
        return RuleState(at, replace(memory, since=since, failures=failures)), NOTHING
    raised = replace(
        memory,
        since=since,
        opened_at=at,
        clearing_since=None,
        failures=failures,
        in_gap=False,
        bad_readings=0,
        peak=peak,
        worst=finding.measure,
    )
    return RuleState(at, raised), (
        Transition(
            happening=Happening.RAISED,
            at=at,
            opened_at=at,
            since=since,
            value=finding.value,
            setpoint=finding.setpoint,
            quality=finding.quality,
            note=finding.note,
            failures=failures,
            peak=peak,
        ),
    )


def _while_open(rule: Rule, memory: Memory, finding: Finding, at: datetime) -> Outcome:
    verdict = finding.verdict
    if verdict is Verdict.BAD:
        memory = replace(memory, clearing_since=None, in_gap=True, bad_readings=memory.bad_readings + 1)
        return RuleState(at, memory), NOTHING
    if memory.in_gap:
        memory = replace(memory, in_gap=False)
    if verdict is Verdict.GONE:
        since = memory.clearing_since or at
        if (at - since).total_seconds() >= rule.off_delay_seconds:
            return RuleState(at, _quiet_again(memory)), (_cleared(memory, finding, at, since),)
        if memory.clearing_since is None:
            memory = replace(memory, clearing_since=at)
    elif verdict is Verdict.HOLDS:
        memory = _worse(rule, memory, finding)
    return RuleState(at, memory), NOTHING


def _worse(rule: Rule, memory: Memory, finding: Finding) -> Memory:
    if memory.clearing_since is not None:
        memory = replace(memory, clearing_since=None)
    if rule.kind is Kind.CONNECTION_LOST:
        return replace(memory, failures=memory.failures + 1)
    if finding.measure is not None and (memory.worst is None or finding.measure > memory.worst):
        return replace(memory, peak=finding.value, worst=finding.measure)
    return memory


def _quiet_again(memory: Memory) -> Memory:
    """What stays known when an alert is over: gate, set point and window."""
    return Memory(
        gate_since=memory.gate_since,
        settle_from=memory.settle_from,
        setpoint=memory.setpoint,
        points=memory.points,
        last_ok=memory.last_ok,
    )


def _cleared(memory: Memory, finding: Finding | None, at: datetime, since: datetime) -> Transition:
    return Transition(
        happening=Happening.CLEARED,
        at=at,
        opened_at=memory.opened_at or at,
        since=since,
        value=finding.value if finding is not None else None,
        note=finding.note if finding is not None else None,
        failures=memory.failures,
        peak=memory.peak,
        bad_readings=memory.bad_readings,
    )


# By the clock --------------------------------------------------------------------------------------------------------


def _note_news(rule: Rule, state: RuleState, reading: Reading) -> Outcome:
    """A reading's part in staleness: it is news, or it is not."""
    memory, at = state.memory, reading.at
    news = not read_failed(reading)
    if news and rule.signal is not None:
        value = reading.values.get(rule.signal)
        if value is None:
            return state, NOTHING
        news = value.quality is not Quality.BAD
    if not news:
        return RuleState(at, memory if memory.failing else replace(memory, failing=True)), NOTHING
    if memory.opened_at is None or at < memory.opened_at:
        # What was read before the alert was raised (a relay's backlog) does not end it: it is still old.
        return RuleState(at, replace(memory, failing=False, last_ok=at)), NOTHING
    return RuleState(at, Memory(last_ok=at)), (_cleared(memory, None, at, at),)


def judge_by_clock(rule: Rule, state: RuleState, now: datetime, last_ok: datetime) -> Outcome:
    """Staleness: raise when nothing good came for ``after_seconds``. Only a reading clears it.

    Args:
        rule: of kind ``stale``, its ``after_seconds`` worked out.
        state: of this rule.
        now: what the clock says.
        last_ok: time of the newest read that gave something; or since when one could have been expected.
    """
    memory = state.memory
    if memory.opened_at is not None or rule.after_seconds is None:
        return state, NOTHING
    if (now - last_ok).total_seconds() <= rule.after_seconds:
        return state, NOTHING
    raised = replace(memory, since=last_ok, opened_at=now, last_ok=last_ok)
    transition = Transition(happening=Happening.RAISED, at=now, opened_at=now, since=last_ok)
    return RuleState(state.last_at, raised), (transition,)


def withdraw(state: RuleState, now: datetime, note: str) -> Outcome:
    """The rule is no longer judged (removed, disabled): forget it, and end its alert."""
    memory = state.memory
    if memory.opened_at is None:
        return RuleState(), NOTHING
    return RuleState(), (replace(_cleared(memory, None, now, now), note=note),)
