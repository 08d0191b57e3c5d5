"""What goes wrong with an oven now and then. Deterministic by seed, in real seconds."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

__all__ = ["FAULTS", "FaultPlan"]

FAULTS = ("offline", "hang", "slow", "error", "sensor", "drift")
"""``offline``: connections are cut; ``hang``: no answer ever; ``slow``: three seconds; ``error``: HTTP 500;
``sensor``: the core probe is torn off; ``drift``: the thermostat creeps."""

LENGTHS = {"offline": 60.0, "slow": 30.0, "error": 15.0, "sensor": 45.0}
"""Seconds of those that come by themselves."""


@dataclass(slots=True)
class FaultPlan:
    """Which fault an oven has at a time."""

    seed: int
    kinds: tuple[str, ...]
    """Those that come by themselves; none: the oven is sound until it is told otherwise."""
    every_seconds: float = 240.0
    """The mean between two."""
    forced: str | None = None
    """Set from outside; wins."""
    _random: random.Random = field(init=False, repr=False)
    _kind: str | None = None
    _from: float = 0.0
    _until: float = 0.0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed ^ 0x5EED)  # noqa: S311 - a fault plan, no cipher
        self._choose(0.0)

    def at(self, seconds: float) -> str | None:
        """The fault at so many seconds after the start; time only goes forward."""
        if self.forced is not None:
            return self.forced
        while self._kind is not None and seconds >= self._until:
            self._choose(self._until)
        return self._kind if self._kind is not None and seconds >= self._from else None

    def _choose(self, after: float) -> None:
        if not self.kinds:
            return
        self._kind = self._random.choice(self.kinds)
        self._from = after + self._random.uniform(0.4, 1.6) * self.every_seconds
        self._until = self._from + LENGTHS[self._kind]
