"""How a simulated oven behaves: heat, steam, doors, loaves. Deterministic: the same seed and the same time give the
same oven, whoever asks how often.

Units: Celsius, kilowatts, kilojoules, kilograms, percent; time in simulated seconds.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

__all__ = ["RECIPES", "STAGES", "OvenSimulation", "Recipe"]

STAGES = ("idle", "preheating", "loading", "baking", "unloading", "cleaning")

AMBIENT = 24.0
AMBIENT_HUMIDITY = 42.0
STANDBY = 160.0
CLEANING_TEMPERATURE = 95.0
THERMAL_MASS = 60.0
"""kJ/K of steel and stone."""
HEATER = 30.0
"""kW."""
LOSS = 0.03
"""kW/K through walls."""
DOOR_LOSS = 0.25
"""kW/K more through an open door."""
DOUGH_HEAT = 3.0
"""kJ/(kg K)."""
CLEAN_EVERY = 4
"""Batches."""
TEMPERATURE_BOUNDS = (0.0, 400.0)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is baked."""

    name: str
    set_point: float
    seconds: float
    kilograms: float
    core_target: float

    @property
    def warming(self) -> float:
        """Per second: how fast the core follows, so that it is done at nine tenths of the time."""
        start = self.set_point - AMBIENT
        return math.log(start / (self.set_point - self.core_target)) / (0.9 * self.seconds)


RECIPES = (
    Recipe("Baguettes", 240, 22 * 60, 40, 96),
    Recipe("Rye loaves", 235, 45 * 60, 70, 97),
    Recipe("Croissants", 190, 18 * 60, 18, 92),
    Recipe("Focaccia", 225, 20 * 60, 24, 94),
    Recipe("Muffins", 180, 24 * 60, 22, 93),
)


@dataclass(slots=True)
class OvenSimulation:
    """One oven. Read its attributes after :meth:`advance`."""

    seed: int
    recipes: tuple[Recipe, ...] = RECIPES
    drifts: bool = False
    """Does its thermostat creep away every now and then?"""

    stage: str = "idle"
    stage_seconds: float = 0.0
    recipe: Recipe = field(init=False)
    batch_number: int = 100
    temperature: float = 90.0
    """In the cabinet."""
    core: float | None = None
    """Of the product; ``None`` when the oven is empty."""
    humidity: float = AMBIENT_HUMIDITY
    steam: float = 0.0
    """Percent in the generator."""
    door_open: bool = False
    power: float = 0.0
    """kW drawn now."""
    energy: float = 0.0
    """kWh since the oven was installed."""
    drift: float = 0.0
    """Kelvin that the thermostat measures too little."""
    pinned: float | None = None
    """Holds the cabinet at this temperature, for tests."""
    by_hand: float | None = None
    """A set point in place of the programme's, until the oven is empty and idle again."""
    seconds: float = 0.0
    """Simulated since the start."""

    _random: random.Random = field(init=False, repr=False)
    _rest: float = 0.0
    _idle_for: float = 0.0
    _peek_at: float = 0.0
    _drifting: bool = False
    _drift_at: float = 0.0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - an oven, no cipher
        self.energy = round(self._random.uniform(8_000, 40_000), 1)
        self.batch_number += self._random.randrange(80)
        self.recipe = self._random.choice(self.recipes)
        self._drift_at = self._random.uniform(600, 1_200)
        self._enter("idle")
        # Half of a plant is at work when one looks in.
        self._idle_for = self._random.uniform(10, 240)

    # What a person would read off it ------------------------------------------------------------------------------

    @property
    def set_point(self) -> float:
        """What the controller aims at."""
        if self.by_hand is not None:
            return self.by_hand
        if self.stage == "idle":
            return STANDBY
        return CLEANING_TEMPERATURE if self.stage == "cleaning" else float(self.recipe.set_point)

    @property
    def status(self) -> str:
        """The operational status."""
        return self.stage if self.stage in ("idle", "cleaning") else "running"

    @property
    def stage_length(self) -> float | None:
        """Simulated seconds of this stage; ``None``: it lasts until it is hot."""
        lengths = {"idle": self._idle_for, "loading": 90, "baking": self.recipe.seconds, "unloading": 90}
        return 600 if self.stage == "cleaning" else lengths.get(self.stage)

    @property
    def progress(self) -> float | None:
        """Percent of the bake; ``None`` when nothing is in."""
        if self.stage == "baking":
            return min(100.0, 100.0 * self.stage_seconds / self.recipe.seconds)
        return {"loading": 0.0, "unloading": 100.0}.get(self.stage)

    @property
    def minutes_left(self) -> float | None:
        """Of the bake."""
        if self.stage == "baking":
            return max(0.0, self.recipe.seconds - self.stage_seconds) / 60
        return {"loading": self.recipe.seconds / 60, "unloading": 0.0}.get(self.stage)

    @property
    def load(self) -> float:
        """Kilograms inside. A loaf loses an eighth of its weight as steam."""
        if self.core is None:
            return 0.0
        return self.recipe.kilograms * (1 - 0.125 * (self.progress or 0.0) / 100)

    @property
    def batch_name(self) -> str | None:
        """``Baguettes - Batch #123`` while something is being made."""
        if self.stage in ("idle", "cleaning"):
            return None
        return f"{self.recipe.name} - Batch #{self.batch_number}"

    @property
    def fan(self) -> float:
        """Revolutions per minute."""
        return (
            0.0
            if self.door_open
            else {"baking": 1400.0, "preheating": 1400.0, "cleaning": 700.0}.get(self.stage, 350.0)
        )

    # Time ---------------------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let so many simulated seconds pass. In whole steps inside, so that the pieces do not matter."""
        self._rest += max(0.0, seconds)
        while self._rest >= 1.0:
            self._rest -= 1.0
            self._step()

    def start_drift(self) -> None:
        """Begin to creep now."""
        self._drifting = True

    def stop_drift(self) -> None:
        """The technician was here."""
        self._drifting = False
        self.drift = 0.0

    def _step(self) -> None:
        self.seconds += 1
        self.stage_seconds += 1
        self._follow_programme()
        self._creep()
        self._heat()
        self._moisten()

    def _enter(self, stage: str) -> None:
        self.stage = stage
        self.stage_seconds = 0.0
        self.door_open = stage in ("loading", "unloading")
        if stage == "idle":
            self._idle_for = self._random.uniform(60, 300)
            self.core = self.by_hand = None
        elif stage == "preheating":
            self.recipe = self._random.choice(self.recipes)
            self.batch_number += 1
        elif stage == "baking":
            self.core = AMBIENT
            self.steam = 100.0
            self._peek_at = self._random.uniform(0.3, 0.95) * self.recipe.seconds

    def _follow_programme(self) -> None:
        length = self.stage_length
        if self.stage == "preheating":
            if self.temperature >= self.set_point - 4:
                self._enter("loading")
        elif length is not None and self.stage_seconds >= length:
            self._enter(self._next())
        elif self.stage == "baking":
            # The baker looks in for a few seconds.
            self.door_open = 0 <= self.stage_seconds - self._peek_at < 12

    def _next(self) -> str:
        if self.stage == "unloading":
            return "cleaning" if self.batch_number % CLEAN_EVERY == 0 else "idle"
        return {"idle": "preheating", "loading": "baking", "baking": "unloading"}.get(self.stage, "idle")

    def _creep(self) -> None:
        if self.drifts and not self._drifting and self.seconds >= self._drift_at:
            self._drifting = True
        if self._drifting:
            self.drift += 0.06
            if self.drift >= 45:
                self.stop_drift()
                self._drift_at = self.seconds + self._random.uniform(2_400, 4_200)

    def _heat(self) -> None:
        measured = self.temperature - self.drift
        loss = LOSS * (self.temperature - AMBIENT) + (DOOR_LOSS * (self.temperature - AMBIENT) if self.door_open else 0)
        into_dough = 0.0
        if self.core is not None:
            # Water boils off near 100 degrees: a core gets no hotter.
            rise = self.recipe.warming * (self.temperature - self.core) * min(1.0, max(0.0, (99.5 - self.core) / 6))
            self.core += rise
            into_dough = rise * self.recipe.kilograms * DOUGH_HEAT
        wanted = LOSS * (self.set_point - AMBIENT) + into_dough + 1.5 * (self.set_point - measured)
        self.power = 0.0 if self.door_open else min(HEATER, max(0.0, wanted))
        self.temperature += (self.power - loss - into_dough) / THERMAL_MASS
        self.temperature = min(max(self.temperature, TEMPERATURE_BOUNDS[0]), TEMPERATURE_BOUNDS[1])
        if self.pinned is not None:
            self.temperature = self.pinned
        self.energy += (self.power + 0.4) / 3600

    def _moisten(self) -> None:
        used = min(self.steam, 0.25) if self.stage == "baking" else 0.0
        self.steam -= used
        aim = AMBIENT_HUMIDITY if self.door_open else {"baking": 55.0, "cleaning": 97.0}.get(self.stage, 30.0)
        if used:
            aim = 88.0
        self.humidity += (aim - self.humidity) * (0.15 if self.door_open else 0.01)
