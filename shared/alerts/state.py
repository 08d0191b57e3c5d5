"""What is remembered of one rule on one machine between two readings, and its stored form.

Most of it changes rarely. What changes with every reading (the newest time, a growing peak, the window of a rate)
is written along when something else is, and rebuilt otherwise: see ``states.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from shared.alerts.model import Kind, Rule
from shared.clock import iso, parse_iso
from shared.signals import Value

__all__ = ["QUIET", "Cycle", "Memory", "RuleState", "changed_materially", "from_document", "rewind", "to_document"]


@dataclass(frozen=True, slots=True)
class Cycle:
    """A program run that a ``reach`` rule watches."""

    started_at: datetime
    seen_from_start: bool
    """False: it was running already when we first looked."""
    batch: str | None = None
    streak_since: datetime | None = None
    """Since when the value has stayed at or above the limit."""
    reached_at: datetime | None = None
    """When it had been held long enough; ``None``: not yet."""
    ended_at: datetime | None = None
    """When the gate closed; the cycle is judged after the off-delay."""
    maximum: float | None = None
    good: int = 0
    bad: int = 0
    last_good_at: datetime | None = None

    def essence(self) -> tuple[Any, ...]:
        """What must not be lost when the process dies."""
        return (self.started_at, self.batch, self.streak_since is None, self.reached_at is None, self.ended_at)


@dataclass(frozen=True, slots=True)
class Memory:
    """Where one rule stands on one machine."""

    since: datetime | None = None
    """The condition has held since then, by the time of the readings."""
    opened_at: datetime | None = None
    """The alert was raised then; ``None``: there is none."""
    clearing_since: datetime | None = None
    """The condition has been gone since then; the alert clears after the off-delay."""
    gate_since: datetime | None = None
    """The gate has been open since then."""
    settle_from: datetime | None = None
    """The settle time counts from then."""
    failures: int = 0
    """Reads that failed in a row."""
    failing: bool = False
    """``stale``: the newest read gave nothing."""
    in_gap: bool = False
    """While an alert is open: the newest reading was bad."""
    bad_readings: int = 0
    """So many bad ones since the alert was raised."""
    peak: Value = None
    """The worst value since the alert was raised."""
    worst: float | None = None
    """How bad that was; larger is worse."""
    last_ok: datetime | None = None
    """``stale``: the newest read that gave something."""
    setpoint: float | None = None
    """The newest set point."""
    cycle: Cycle | None = None
    points: tuple[tuple[datetime, float], ...] = ()
    """``rate``: the values of the window. Not stored; the window fills anew."""

    def essence(self) -> tuple[Any, ...]:
        """What must not be lost when the process dies."""
        return (
            self.since,
            self.opened_at,
            self.clearing_since,
            self.gate_since,
            self.settle_from,
            self.failures if self.opened_at is None else 0,
            self.failing,
            self.in_gap,
            self.cycle.essence() if self.cycle is not None else None,
        )


QUIET = Memory()
"""Nothing is wrong and nothing is pending."""


@dataclass(frozen=True, slots=True)
class RuleState:
    """The state of the pure evaluation: the newest reading that was judged, and what is remembered."""

    last_at: datetime | None = None
    memory: Memory = QUIET


PEAK_SHARE = 0.01
"""A peak that grew by less than this share is not worth a write of its own."""


def changed_materially(stored: Memory, new: Memory, *, deadband: float = 0.0) -> bool:
    """Must the new state be written? A growing peak is, in steps of the deadband or of 1 %."""
    if new is stored:
        return False
    if new.essence() != stored.essence():
        return True
    if new.worst is None or new.opened_at is None:
        return False
    return stored.worst is None or new.worst - stored.worst > max(deadband, abs(stored.worst) * PEAK_SHARE)


def rewind(rule: Rule, state: RuleState) -> tuple[RuleState, datetime] | None:
    """Back to before a delay or a cycle began, and from when on to judge again; ``None``: nothing is under way.

    Judging the readings from that time on again gives the present state. Another instance may have judged some of
    them; so a delay is believed to have run out only after all recorded readings were judged again.
    """
    memory = state.memory
    # The first rate needs a window of readings before it.
    lead = timedelta(seconds=2 * rule.window_seconds + 60) if rule.kind is Kind.RATE else timedelta(0)
    if memory.cycle is not None:
        began = Cycle(memory.cycle.started_at, memory.cycle.seen_from_start)
        return RuleState(None, replace(memory, cycle=began)), memory.cycle.started_at
    if memory.clearing_since is not None:
        return RuleState(None, replace(memory, clearing_since=None, points=())), memory.clearing_since - lead
    if memory.since is not None and memory.opened_at is None:
        return RuleState(None, replace(memory, since=None, failures=0, points=())), memory.since - lead
    return None


# Stored form ---------------------------------------------------------------------------------------------------------

_TIMES = ("since", "opened_at", "clearing_since", "gate_since", "settle_from", "last_ok")
_PLAIN = ("failures", "failing", "in_gap", "bad_readings", "peak", "worst", "setpoint")
_CYCLE_TIMES = ("started_at", "streak_since", "reached_at", "ended_at", "last_good_at")
_CYCLE_PLAIN = ("seen_from_start", "batch", "maximum", "good", "bad")
_DEFAULTS = {f.name: getattr(QUIET, f.name) for f in fields(Memory)}


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def _write(source: object, times: tuple[str, ...], plain: tuple[str, ...]) -> dict[str, Any]:
    written = {_camel(n): iso(t) for n in times if (t := getattr(source, n)) is not None}
    written.update({_camel(n): v for n in plain if (v := getattr(source, n)) != _DEFAULTS.get(n)})
    return written


def _read(document: dict[str, Any], times: tuple[str, ...], plain: tuple[str, ...]) -> dict[str, Any]:
    known: dict[str, Any] = {n: parse_iso(document[_camel(n)]) for n in times if _camel(n) in document}
    known.update({n: document[_camel(n)] for n in plain if _camel(n) in document})
    return known


def to_document(state: RuleState) -> dict[str, Any]:
    """The stored form; what has its resting value is left out."""
    document = _write(state.memory, _TIMES, _PLAIN)
    if state.last_at is not None:
        document["lastAt"] = iso(state.last_at)
    if state.memory.cycle is not None:
        document["cycle"] = _write(state.memory.cycle, _CYCLE_TIMES, _CYCLE_PLAIN)
    return document


def from_document(document: dict[str, Any]) -> RuleState:
    """The state back from its stored form."""
    known = _read(document, _TIMES, _PLAIN)
    if "cycle" in document:
        known["cycle"] = Cycle(**_read(document["cycle"], _CYCLE_TIMES, _CYCLE_PLAIN))
    last_at = parse_iso(document["lastAt"]) if "lastAt" in document else None
    return RuleState(last_at, Memory(**known) if known else QUIET)
