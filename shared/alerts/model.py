"""What an alert rule is, and the words of alerts: kinds, severities, types, states."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.alerts.response_model import DEFAULT_COOLDOWN_SECONDS, Response
from shared.signals import Value

__all__ = [
    "ERROR_WORDS",
    "MAX_SHELF_MINUTES",
    "AlertState",
    "AlertType",
    "Direction",
    "Gate",
    "Kind",
    "Rule",
    "Severity",
    "Status",
    "alert_type_of",
    "is_temperature",
    "status_of",
]


MAX_SHELF_MINUTES = 24 * 60
"""Nobody puts an alert away for longer than a day."""


class Kind(StrEnum):
    """What a rule looks at."""

    HIGH = "high"
    """The value is above the limit."""
    LOW = "low"
    """The value is below the limit."""
    DEVIATION = "deviation"
    """The value is further from its set point than the limit."""
    RATE = "rate"
    """The value changes faster than the limit, per minute."""
    EQUALS = "equals"
    """The value is one of those named: a door that stays open, a mode that should not be."""
    BAD = "bad"
    """The signal has no usable value although the machine answers."""
    STALE = "stale"
    """Nothing new came for too long; judged by a clock."""
    REACH = "reach"
    """The value did not reach the limit (for so long) before the cycle ended; judged once, at its end (HACCP)."""
    CONNECTION_LOST = "connection_lost"
    """The machine cannot be read."""
    EQUIPMENT_ERROR = "equipment_error"
    """The machine itself says that something is wrong."""


class Severity(StrEnum):
    """How urgent it is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Direction(StrEnum):
    """Which side of a deviation, or which way of a change, counts."""

    BOTH = "both"
    ABOVE = "above"
    """Above the set point; rising."""
    BELOW = "below"
    """Below the set point; falling."""


class AlertType(StrEnum):
    """The kinds of alert a person sees. The first three are the implementation guide's."""

    TEMPERATURE_DEVIATION = "temperature_deviation"
    CONNECTION_LOST = "connection_lost"
    EQUIPMENT_ERROR = "equipment_error"
    VALUE_DEVIATION = "value_deviation"
    """As temperature_deviation, of any other signal."""
    UNEXPECTED_STATE = "unexpected_state"
    """A door, a mode, a switch is what it should not be."""
    DATA_QUALITY = "data_quality"
    DATA_STALE = "data_stale"
    HACCP_NOT_REACHED = "haccp_not_reached"
    VALUE_MISMATCH = "value_mismatch"
    """What a person entered is not what the machine says. No rule raises it: see ``reported.py``."""


class AlertState(StrEnum):
    """Where an alert stands: whether its condition holds, and whether somebody has seen it."""

    ACTIVE_UNACKNOWLEDGED = "active_unacknowledged"
    ACTIVE_ACKNOWLEDGED = "active_acknowledged"
    CLEARED_UNACKNOWLEDGED = "cleared_unacknowledged"
    CLOSED = "closed"


class Status(StrEnum):
    """The implementation guide's three words for it."""

    ACTIVE = "active"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


_STATUS = {
    AlertState.ACTIVE_UNACKNOWLEDGED: Status.ACTIVE,
    AlertState.ACTIVE_ACKNOWLEDGED: Status.ACKNOWLEDGED,
    # The condition is over, which is what `resolved` says; that nobody has seen it is told by the state.
    AlertState.CLEARED_UNACKNOWLEDGED: Status.RESOLVED,
    AlertState.CLOSED: Status.RESOLVED,
}

ERROR_WORDS: tuple[str, ...] = ("error", "fault", "failure", "alarm")
"""What a status says when the machine is in trouble, unless the rule names other words."""

RUNNING_WORDS: tuple[str, ...] = ("running", "baking", "cooking")
"""What a status says while a cycle runs, unless a ``reach`` rule has a gate of its own."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition on another signal: ``status`` is one of ``running``, ``baking``."""

    signal: str
    equals: tuple[Value, ...]
    """Any of these. Text is compared without regard to case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that should not happen. Limits are in the signal's unit inside (Celsius for temperatures)."""

    id: str
    """Unique within its scope; the same id in an equipment's own scope replaces a default."""
    scope: str
    """Whose rule: an equipment id, ``profile:{name}``, or ``builtin``."""
    kind: Kind
    signal: str | None = None
    limit: float | None = None
    deadband: float = 0.0
    """How far back from the limit the value must come before the alert may clear."""
    on_delay_seconds: float = 0.0
    """How long the condition must hold, by the time of the readings, before the alert is raised."""
    off_delay_seconds: float = 0.0
    """How long it must be gone before the alert clears."""
    when: tuple[Gate, ...] = ()
    """The rule is judged only while one of these holds; empty: always."""
    unless: tuple[Gate, ...] = ()
    """The rule is not judged while one of these holds; what a reading does not mention holds nothing back."""
    settle_seconds: float = 0.0
    """How long after the gate opened (or the set point jumped) nothing is raised; a shorter cycle is not judged."""
    setpoint_signal: str | None = None
    """``deviation``: ``None`` means ``{signal}.setpoint``, for temperatures else ``temperature.setpoint``."""
    direction: Direction = Direction.BOTH
    window_seconds: float = 60.0
    """``rate``: the change is measured over at least this time."""
    equals: tuple[Value, ...] = ()
    after_seconds: float | None = None
    """``stale``: how long without news is too long; ``None``: 3 poll intervals and a timeout."""
    hold_seconds: float = 0.0
    """``reach``: how long the limit must be held without interruption; 0: one reading is enough."""
    gap_seconds: float | None = None
    """``reach``: a longer silence interrupts the hold. Worked out from the poll interval, never stored."""
    failures: int = 2
    """``connection_lost``: so many reads in a row must fail."""
    severity: Severity = Severity.WARNING
    enabled: bool = True
    name: str | None = None
    message: str | None = None
    """Instead of our own sentence; may hold {equipment}, {signal}, {value}, {limit}, {unit}."""
    unit: str | None = None
    """How the limit was entered and is shown: ``C`` or ``F`` for temperatures (inside it is Celsius), else any text."""
    responses: tuple[Response, ...] = ()
    """What Ovenbridge does by itself about its alerts."""
    response_cooldown_seconds: float = DEFAULT_COOLDOWN_SECONDS
    """A response is not begun again on the same machine within this time."""
    version: int = 1
    """Counts the changes of this rule; an alert keeps the version it was raised by."""


def is_temperature(signal: str | None) -> bool:
    """Is this signal a temperature, in Celsius inside?"""
    return signal is not None and (signal == "temperature" or signal.startswith("temperature."))


def status_of(state: AlertState) -> Status:
    """The guide's word for a state."""
    return _STATUS[state]


_LIMIT_KINDS = frozenset({Kind.HIGH, Kind.LOW, Kind.DEVIATION, Kind.RATE})

_TYPES = {
    Kind.EQUALS: AlertType.UNEXPECTED_STATE,
    Kind.BAD: AlertType.DATA_QUALITY,
    Kind.STALE: AlertType.DATA_STALE,
    Kind.REACH: AlertType.HACCP_NOT_REACHED,
    Kind.CONNECTION_LOST: AlertType.CONNECTION_LOST,
    Kind.EQUIPMENT_ERROR: AlertType.EQUIPMENT_ERROR,
}


def alert_type_of(rule: Rule) -> AlertType:
    """What an alert of this rule is called."""
    if rule.kind in _LIMIT_KINDS:
        return AlertType.TEMPERATURE_DEVIATION if is_temperature(rule.signal) else AlertType.VALUE_DEVIATION
    return _TYPES[rule.kind]
