"""A value that changes faster than it can is to be doubted: ``max_rate`` of the mapping.

Each value is held against the newest one that was believed, so that after a spike the value before it is right again
and the spike alone is doubted. What really moved is believed as soon as it could have come so far: nobody is shut out
for ever.

Every process remembers what it took itself, and begins with nothing. Where several take turns with a machine, each
compares over a longer time, which doubts less, never more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.connectors.mapping import canonical_key
from shared.connectors.values import is_temperature, worst
from shared.signals import Quality, Reading, SignalValue

if TYPE_CHECKING:
    from shared.equipment.model import Equipment

__all__ = ["RateLimits", "limits_of"]

MOST_MACHINES = 20_000
"""Remembered at a time; of who comes beyond, the one that was longest not read is forgotten."""


@dataclass(slots=True)
class _Memory:
    updated_at: datetime
    limits: Mapping[str, float]
    believed: dict[str, tuple[datetime, float]] = field(default_factory=dict)


class RateLimits:
    """What was believed last, of every machine whose mapping limits a rate."""

    def __init__(self, *, most: int = MOST_MACHINES) -> None:
        self._machines: OrderedDict[str, _Memory] = OrderedDict()
        self._most = most

    def judged(self, equipment: Equipment, reading: Reading) -> Reading:
        """The reading, in doubt where a value changed faster than it can. The same one gives the same again."""
        memory = self._of(equipment)
        if not memory.limits:
            return reading
        doubted = {
            key: replace(value, quality=Quality.UNCERTAIN, reason=reason)
            for key, value in reading.values.items()
            if (reason := _doubt(memory, key, value, reading.at)) is not None
        }
        if not doubted:
            return reading
        return replace(
            reading, values={**reading.values, **doubted}, quality=worst([reading.quality, Quality.UNCERTAIN])
        )

    def _of(self, equipment: Equipment) -> _Memory:
        memory = self._machines.get(equipment.id)
        if memory is None or memory.updated_at != equipment.updated_at:
            # Another configuration may mean another unit: what was believed under the old one is no measure.
            memory = self._machines[equipment.id] = _Memory(equipment.updated_at, limits_of(equipment.iot_config))
        self._machines.move_to_end(equipment.id)
        if len(self._machines) > self._most:
            self._machines.popitem(last=False)
        return memory


def limits_of(iot_config: Mapping[str, Any]) -> dict[str, float]:
    """By signal, how much it may change in a minute, in the unit of its readings (Celsius)."""
    mapped = iot_config.get("signals")
    default = iot_config.get("temperature_unit")
    limits: dict[str, float] = {}
    for name, spec in (mapped if isinstance(mapped, Mapping) else {}).items():
        rate = spec.get("max_rate") if isinstance(spec, Mapping) else None
        if isinstance(rate, bool) or not isinstance(rate, int | float) or rate <= 0:
            continue
        key = canonical_key(str(name))
        unit = str(spec.get("unit") or default or "C").strip().lstrip("°").upper()
        limits[key] = rate * 5 / 9 if is_temperature(key) and unit in ("F", "FAHRENHEIT") else float(rate)
    return limits


def _doubt(memory: _Memory, key: str, value: SignalValue, at: datetime) -> str | None:
    """Why this value cannot be; ``None``: it can, and is believed from now on, or nothing is known against it."""
    limit, number = memory.limits.get(key), value.value
    if limit is None or value.quality is not Quality.GOOD:
        return None
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    before = memory.believed.get(key)
    if before is not None:
        seconds = (at - before[0]).total_seconds()
        if seconds <= 0:
            return None  # late, or again: it says nothing about now
        change = abs(number - before[1])
        # A hair more, for what units and scales do to the last digit.
        if change > limit * seconds / 60 * (1 + 1e-9) + 1e-9:
            return (
                f"it changed by {change:.6g} {value.unit}".rstrip()
                + f" in {seconds:.6g} s, faster than it can ({limit:.6g} a minute): is its sensor loose?"
            )
    memory.believed[key] = (at, float(number))
    return None
