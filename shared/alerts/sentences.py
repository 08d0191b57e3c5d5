"""What an alert says, for a baker at four in the morning; what a rule says, for an auditor.

``Horno Principal #1: cabinet 262 °C, limit 250 °C (above for 60 s)``
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from shared.alerts.model import Direction, Kind, Rule
from shared.alerts.transition import Transition
from shared.alerts.units import outside, outside_difference, symbol, unit_of
from shared.clock import iso
from shared.signals import Quality, Value

__all__ = ["duration", "label", "message", "rule_text"]


def label(signal: str | None) -> str:
    """``temperature.cabinet`` is ``cabinet``, ``door.open`` is ``door open``."""
    text = (signal or "").removeprefix("temperature.")
    return text.replace(".", " ").replace("_", " ") or "the machine"


def duration(seconds: float) -> str:
    """``45 s``, ``5 min``, ``1 h 20 min``."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {rest} s" if rest and minutes < 10 else "")
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h" + (f" {minutes} min" if minutes else "")


def _number(value: float) -> str:
    text = f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


class _Words:
    """One rule's numbers as its reader writes them."""

    def __init__(self, rule: Rule) -> None:
        self._entered = "F" if rule.unit == "F" else None
        self._symbol = symbol(self._entered or unit_of(rule))
        self.label = label(rule.signal)

    def value(self, value: Value) -> str:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "no value" if value is None else str(value)[:100]
        return _number(outside(value, self._entered)) + self._symbol

    def difference(self, value: float) -> str:
        return _number(outside_difference(value, self._entered)) + self._symbol


def _for(seconds: float, side: str = "") -> str:
    word = f"{side} for" if side else "for"
    return f" ({word} {duration(seconds)})" if seconds >= 1 else ""


def _time(moment: datetime | None) -> str:
    return f"{iso(moment)[11:19]} UTC" if moment is not None else "the beginning"


def _held(transition: Transition) -> float:
    return (transition.at - transition.since).total_seconds() if transition.since is not None else 0.0


def _limit(rule: Rule, transition: Transition) -> str:
    words = _Words(rule)
    side = "above" if rule.kind is Kind.HIGH else "below"
    limit = words.value(rule.limit)
    return f"{words.label} {words.value(transition.value)}, limit {limit}{_for(_held(transition), side)}"


def _deviation(rule: Rule, transition: Transition) -> str:
    words = _Words(rule)
    value, setpoint = transition.value, transition.setpoint
    off = abs(float(value) - setpoint) if isinstance(value, int | float) and setpoint is not None else 0.0
    return (
        f"{words.label} {words.value(value)}, set point {words.value(setpoint)}: {words.difference(off)} off, "
        f"{words.difference(rule.limit or 0.0)} allowed{_for(_held(transition))}"
    )


def _rate(rule: Rule, transition: Transition) -> str:
    words = _Words(rule)
    speed = float(transition.value) if isinstance(transition.value, int | float) else 0.0
    way = "rises" if speed >= 0 else "falls"
    return (
        f"{words.label} {way} {words.difference(abs(speed))} per minute, "
        f"limit {words.difference(rule.limit or 0.0)} per minute{_for(_held(transition))}"
    )


def _equals(rule: Rule, transition: Transition) -> str:
    words, held = _Words(rule), _held(transition)
    since = f" for {duration(held)}" if held >= 1 else ""
    if transition.value is True:
        return f"{words.label}{since}"
    said = "no" if transition.value is False else words.value(transition.value)
    return f"{words.label} is {said}{since}"


def _bad(rule: Rule, transition: Transition) -> str:
    reason = f": {transition.note}" if transition.note else ""
    return f"no usable value of {label(rule.signal) if rule.signal else 'a signal'}{reason}{_for(_held(transition))}"


def _stale(rule: Rule, transition: Transition) -> str:
    of = f" of {label(rule.signal)}" if rule.signal else ""
    return f"no new data{of} for {duration(_held(transition))} (last at {_time(transition.since)})"


def _reach(rule: Rule, transition: Transition) -> str:
    words = _Words(rule)
    wanted = words.value(rule.limit) + (f" for {duration(rule.hold_seconds)}" if rule.hold_seconds else "")
    batch = f" of batch {transition.batch}" if transition.batch else ""
    note = f" ({transition.note})" if transition.note else ""
    if transition.value is None:
        return f"nothing shows that {words.label} reached {wanted} before the cycle{batch} ended{note}"
    seen = words.value(transition.value)
    return f"{words.label} did not reach {wanted} before the cycle{batch} ended: highest {seen}{note}"


def _connection_lost(rule: Rule, transition: Transition) -> str:
    reason = f": {transition.note}" if transition.note else ""
    return f"cannot be read since {_time(transition.since)} ({transition.failures} attempts){reason}"


_SENTENCES: dict[Kind, Callable[[Rule, Transition], str]] = {
    Kind.HIGH: _limit,
    Kind.LOW: _limit,
    Kind.DEVIATION: _deviation,
    Kind.RATE: _rate,
    Kind.EQUALS: _equals,
    Kind.EQUIPMENT_ERROR: _equals,
    Kind.BAD: _bad,
    Kind.STALE: _stale,
    Kind.REACH: _reach,
    Kind.CONNECTION_LOST: _connection_lost,
}


def message(rule: Rule, transition: Transition, equipment_name: str) -> str:
    """The sentence of an alert that was raised; the rule's own words if it has some."""
    if rule.message is not None:
        return _own_words(rule, transition, equipment_name)
    said = _SENTENCES[rule.kind](rule, transition)
    if transition.quality is Quality.UNCERTAIN:
        said += f" - the value is uncertain{': ' + transition.note if transition.note else ''}"
    return f"{equipment_name}: {said}"


def _own_words(rule: Rule, transition: Transition, equipment_name: str) -> str:
    words = _Words(rule)
    text = rule.message or ""
    for name, value in (
        ("{equipment}", equipment_name),
        ("{signal}", words.label),
        ("{value}", words.value(transition.value)),
        ("{limit}", words.value(rule.limit)),
        ("{unit}", unit_of(rule)),
    ):
        text = text.replace(name, value)
    return text


def rule_text(rule: Rule) -> str:
    """The rule as a sentence: what an auditor finds on the alert it raised."""
    words = _Words(rule)
    parts = [_condition(rule, words)]
    for word, gates in (("while", rule.when), ("but not while", rule.unless)):
        if gates:
            held = " or ".join(f"{label(g.signal)} is {' or '.join(_plain(v) for v in g.equals)}" for g in gates)
            parts.append(f"{word} {held}")
    if rule.settle_seconds:
        parts.append(f"{duration(rule.settle_seconds)} to settle")
    if rule.on_delay_seconds:
        parts.append(f"raised after {duration(rule.on_delay_seconds)}")
    back = f" {words.difference(rule.deadband)} inside the limit" if rule.deadband else ""
    if back or rule.off_delay_seconds:
        after = f" for {duration(rule.off_delay_seconds)}" if rule.off_delay_seconds else ""
        parts.append(f"over when it is{back or ' gone'}{after}")
    parts.append(rule.severity.value)
    return "; ".join(parts)


def _plain(value: Value) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _condition(rule: Rule, words: _Words) -> str:
    limit = rule.limit or 0.0
    side = {Direction.BOTH: "from", Direction.ABOVE: "above", Direction.BELOW: "below"}[rule.direction]
    way = {Direction.BOTH: "changes", Direction.ABOVE: "rises", Direction.BELOW: "falls"}[rule.direction]
    hold = f" for {duration(rule.hold_seconds)}" if rule.hold_seconds else ""
    texts = {
        Kind.HIGH: lambda: f"{words.label} above {words.value(limit)}",
        Kind.LOW: lambda: f"{words.label} below {words.value(limit)}",
        Kind.DEVIATION: lambda: f"{words.label} more than {words.difference(limit)} {side} the set point",
        Kind.RATE: lambda: f"{words.label} {way} by more than {words.difference(limit)} per minute",
        Kind.EQUALS: lambda: f"{words.label} is {' or '.join(_plain(v) for v in rule.equals)}",
        Kind.EQUIPMENT_ERROR: lambda: f"{words.label} is {' or '.join(_plain(v) for v in rule.equals)}",
        Kind.BAD: lambda: f"no usable value of {label(rule.signal) if rule.signal else 'any signal'}",
        Kind.STALE: lambda: f"no new data for {duration(rule.after_seconds or 0)}",
        Kind.REACH: lambda: f"{words.label} does not reach {words.value(limit)}{hold} before the cycle ends",
        Kind.CONNECTION_LOST: lambda: f"the machine cannot be read, {rule.failures} times in a row",
    }
    return texts[rule.kind]()
