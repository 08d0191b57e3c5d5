"""Which fields a kind of rule takes and needs, and what may stand in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.alerts.model import Kind, is_temperature
from shared.errors import FieldProblem

__all__ = ["REQUIRED", "TAKEN", "problems_of"]

_DELAYS = frozenset({"on_delay_seconds", "off_delay_seconds"})
_GATED = frozenset({"when", "unless", "settle_seconds"})
_LIMIT = frozenset({"signal", "limit", "unit", "deadband"}) | _DELAYS | _GATED

COMMON = frozenset(
    {"kind", "severity", "enabled", "name", "message", "responses", "response_cooldown_seconds"},
)

TAKEN: Mapping[Kind, frozenset[str]] = {
    Kind.HIGH: _LIMIT,
    Kind.LOW: _LIMIT,
    Kind.DEVIATION: _LIMIT | {"setpoint_signal", "direction"},
    Kind.RATE: _LIMIT | {"window_seconds", "direction"},
    Kind.EQUALS: frozenset({"signal", "equals"}) | _DELAYS | _GATED,
    Kind.BAD: frozenset({"signal"}) | _DELAYS | _GATED,
    Kind.STALE: frozenset({"signal", "after_seconds"}),
    Kind.REACH: frozenset({"signal", "limit", "unit", "hold_seconds", "off_delay_seconds", "when", "settle_seconds"}),
    Kind.CONNECTION_LOST: frozenset({"failures"}) | _DELAYS,
    Kind.EQUIPMENT_ERROR: frozenset({"signal", "equals"}) | _DELAYS | _GATED,
}
"""Fields that mean something for a kind, beside the common ones."""

REQUIRED: Mapping[Kind, tuple[str, ...]] = {
    Kind.HIGH: ("signal", "limit"),
    Kind.LOW: ("signal", "limit"),
    Kind.DEVIATION: ("signal", "limit"),
    Kind.RATE: ("signal", "limit"),
    Kind.EQUALS: ("signal", "equals"),
    Kind.REACH: ("signal", "limit"),
}

_WHAT: Mapping[str, str] = {
    "signal": "the signal to look at, e.g. temperature.cabinet",
    "limit": "a number",
    "equals": "the value, or a list of values, that should not be",
}

_RESTING: Mapping[str, Any] = {
    "deadband": 0,
    "on_delay_seconds": 0,
    "off_delay_seconds": 0,
    "settle_seconds": 0,
    "enabled": True,
}
"""A field may always be sent with the value it has anyway: forms send all of theirs."""


def _needless(kind: Kind, given: Mapping[str, Any]) -> list[FieldProblem]:
    taken = sorted(TAKEN[kind])
    return [
        FieldProblem(name, f"A rule of kind {kind.value} has no {name}; leave it out. It takes: {', '.join(taken)}.")
        for name, value in given.items()
        if name not in TAKEN[kind] and name not in COMMON and value is not None and value != _RESTING.get(name)
    ]


def _missing(kind: Kind, given: Mapping[str, Any]) -> list[FieldProblem]:
    return [
        FieldProblem(name, f"A rule of kind {kind.value} needs {name}: {_WHAT[name]}.")
        for name in REQUIRED.get(kind, ())
        if given.get(name) is None
    ]


def _numbers(kind: Kind, given: Mapping[str, Any]) -> list[FieldProblem]:
    limit, deadband = given.get("limit"), given.get("deadband") or 0
    if kind not in (Kind.DEVIATION, Kind.RATE) or limit is None:
        return []
    if limit <= 0:
        return [FieldProblem("limit", f"The limit of a {kind.value} rule is a distance; write a number above 0.")]
    if deadband > limit:
        return [FieldProblem("deadband", "The deadband must not be larger than the limit, or the alert never clears.")]
    return []


def _gate(kind: Kind, given: Mapping[str, Any]) -> list[FieldProblem]:
    own_time = kind in (Kind.DEVIATION, Kind.REACH)  # a set point's step and a cycle have a beginning of their own
    gated = given.get("when") or given.get("unless")
    if given.get("settle_seconds") and not gated and not own_time and "settle_seconds" in TAKEN[kind]:
        return [
            FieldProblem(
                "settle_seconds",
                'The settle time counts from when the gate opens; add one, e.g. "when": {"signal": "status", '
                '"equals": "running"}.',
            )
        ]
    return []


def _unit(kind: Kind, given: Mapping[str, Any]) -> list[FieldProblem]:
    unit, signal = given.get("unit"), given.get("signal")
    if unit is None or signal is None or "unit" not in TAKEN[kind]:
        return []
    if is_temperature(signal) and unit not in ("C", "F"):
        return [FieldProblem("unit", "The unit of a temperature is C or F.")]
    if not is_temperature(signal) and unit == "F":
        return [FieldProblem("unit", "F is a unit of temperatures only; name this signal temperature.<zone> if it is.")]
    return []


def problems_of(kind: Kind, given: Mapping[str, Any]) -> list[FieldProblem]:
    """All that is wrong with these fields together; each field's own range is checked before."""
    return [p for check in (_missing, _needless, _numbers, _gate, _unit) for p in check(kind, given)]
