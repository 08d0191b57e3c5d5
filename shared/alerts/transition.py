"""What an evaluation brings about: an alert begins, or ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.alerts.state import RuleState
from shared.signals import Quality, Value

__all__ = ["NOTHING", "Happening", "Outcome", "Transition"]


class Happening(StrEnum):
    """What an evaluation can bring about."""

    RAISED = "raised"
    CLEARED = "cleared"
    REACHED = "reached"
    """A cycle ended and the ``reach`` rule was met: nothing to tell, but a judgement all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """An alert begins or ends, with what its reader will want to know."""

    happening: Happening
    at: datetime
    """Time of the reading (or of the clock, for staleness) that brought it about."""
    opened_at: datetime
    """When the alert was raised: its identity."""
    since: datetime | None
    """Since when the condition holds (raised) or has been gone (cleared)."""
    value: Value = None
    setpoint: float | None = None
    quality: Quality = Quality.GOOD
    note: str | None = None
    """The machine's or our own reason, for the message."""
    failures: int = 0
    peak: Value = None
    bad_readings: int = 0
    batch: str | None = None


NOTHING: tuple[Transition, ...] = ()

Outcome = tuple[RuleState, tuple[Transition, ...]]
"""The new state, and what happened."""
