"""Which units of a line answer. One that does not is left alone for a while, so that it does not delay the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

__all__ = ["UnitHealth", "Units"]

FIRST_SECONDS = 2.0
MOST_SECONDS = 60.0


@dataclass(slots=True)
class UnitHealth:
    """One unit. Times are of the loop's clock, which no step of the wall clock moves."""

    known: bool = False
    """It has answered since this process began."""
    misses: int = 0
    """Since it last answered."""
    missed_at: float = 0.0
    blocked_until: float = 0.0
    silent_since: datetime | None = None


@dataclass(slots=True)
class Units:
    """The units seen on a line."""

    seen: dict[int, UnitHealth] = field(default_factory=dict)

    def of(self, unit: int) -> UnitHealth:
        """A unit's health; from now on it counts as one of the line."""
        health = self.seen.get(unit)
        if health is None:
            health = self.seen[unit] = UnitHealth()
        return health

    def blocked_seconds(self, unit: int, now: float) -> float:
        """How long it is still left alone. A unit that has the line to itself never is: it delays nobody."""
        health = self.of(unit)
        return max(0.0, health.blocked_until - now) if health.misses and len(self.seen) > 1 else 0.0

    def missed(self, unit: int, now: float, at: datetime) -> None:
        """It did not answer: 2 s of peace for the others, then 4, 8 ... 60."""
        health = self.of(unit)
        health.misses += 1
        health.missed_at = now
        health.blocked_until = now + min(FIRST_SECONDS * 2.0 ** min(health.misses - 1, 10), MOST_SECONDS)
        if health.silent_since is None:
            health.silent_since = at

    def answered(self, unit: int) -> None:
        """It is there."""
        health = self.of(unit)
        health.known = True
        if health.misses:
            health.misses, health.blocked_until, health.silent_since = 0, 0.0, None
