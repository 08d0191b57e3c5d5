"""How a simulated proofer behaves: warm, damp, filled and emptied. Deterministic by seed, as the ovens are.

Units: Celsius, percent; time in simulated seconds.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

__all__ = ["ProoferSimulation"]

AMBIENT = 24.0
AMBIENT_HUMIDITY = 42.0
WARM = 35.0
DAMP = 78.0
PROOF_SECONDS = 50 * 60.0
FILL_SECONDS = 120.0
MOST_TROLLEYS = 6


@dataclass(slots=True)
class ProoferSimulation:
    """One proofer. Read its attributes after :meth:`advance`."""

    seed: int
    stage: str = "empty"
    """``empty``, ``filling``, ``proofing``, ``emptying``."""
    stage_seconds: float = 0.0
    temperature: float = 31.0
    humidity: float = 70.0
    trolleys: int = 0
    _random: random.Random = field(init=False, repr=False)
    _rest: float = 0.0
    _empty_for: float = 0.0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - dough, no cipher
        self._empty_for = self._random.uniform(10, 200)

    @property
    def door_open(self) -> bool:
        """Somebody moves trolleys."""
        return self.stage in ("filling", "emptying")

    @property
    def minutes_left(self) -> float:
        """Of this proof."""
        return max(0.0, PROOF_SECONDS - self.stage_seconds) / 60 if self.stage == "proofing" else 0.0

    def advance(self, seconds: float) -> None:
        """Let so many simulated seconds pass, in whole steps inside."""
        self._rest += max(0.0, seconds)
        while self._rest >= 1.0:
            self._rest -= 1.0
            self._step()

    def _step(self) -> None:
        self.stage_seconds += 1
        lengths = {"empty": self._empty_for, "proofing": PROOF_SECONDS}
        if self.stage_seconds >= lengths.get(self.stage, FILL_SECONDS):
            self._enter({"empty": "filling", "filling": "proofing", "proofing": "emptying"}.get(self.stage, "empty"))
        pace, warm, damp = (0.004, AMBIENT, AMBIENT_HUMIDITY) if self.door_open else (0.006, WARM, DAMP)
        self.temperature += (warm - self.temperature) * pace
        self.humidity += (damp - self.humidity) * pace * 2

    def _enter(self, stage: str) -> None:
        self.stage, self.stage_seconds = stage, 0.0
        if stage == "filling":
            self.trolleys = self._random.randint(2, MOST_TROLLEYS)
        elif stage == "empty":
            self.trolleys = 0
            self._empty_for = self._random.uniform(60, 400)
