"""Live data: the last stored reading in the implementation guide's words, judged by its age."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.clock import iso
from shared.signals import Quality, Reading, SignalValue
from shared.telemetry.document import failed
from shared.telemetry.fields import guide_fields, temperature

if TYPE_CHECKING:
    from shared.equipment.model import Equipment

__all__ = ["Live", "signal_view"]


@dataclass(frozen=True, slots=True)
class Live:
    """What may be said about now."""

    reading: Reading | None
    age_seconds: float | None
    values: Mapping[str, SignalValue]
    """Of an old reading: the same signals, without values."""
    quality: Quality
    reason: str | None

    @property
    def believed(self) -> bool:
        """Does the reading say something about now?"""
        return self.reading is not None and self.values is self.reading.values

    @classmethod
    def of(cls, equipment: Equipment, reading: Reading | None, now: datetime) -> Live:
        """Judge the latest reading. One older than ``Equipment.stale_after_seconds`` says nothing about now."""
        if reading is None:
            return cls(None, None, {}, Quality.BAD, _why_none(equipment))
        age = max(0.0, (now - reading.at).total_seconds())
        if age > equipment.stale_after_seconds:
            reason = (
                f"The last reading is {_spoken(age)} old; after {equipment.stale_after_seconds:g} s it counts as bad."
            )
            old = {
                key: replace(value, value=None, raw=None, raw_unit=None, quality=Quality.BAD, reason=reason)
                for key, value in reading.values.items()
            }
            return cls(reading, age, old, Quality.BAD, reason)
        return cls(reading, age, reading.values, reading.quality, reading.reason or _why_poor(reading))

    def view(self, equipment: Equipment, connection_status: str) -> dict[str, Any]:
        """The guide's answer, and beside it how old and how good each value is."""
        signals = {key: signal_view(value) for key, value in self.values.items()}
        overall = temperature(self.values)
        if overall is not None and not any(overall is value for value in self.values.values()):
            signals["temperature"] = signal_view(overall)  # a mean: its quality is told like any other's
        return {
            "equipment_id": equipment.id,
            "equipment_name": equipment.name,
            "timestamp": None if self.reading is None else iso(self.reading.at),
            "connection_status": connection_status,
            **guide_fields(self.values),
            "age_seconds": None if self.age_seconds is None else round(self.age_seconds, 3),
            "stale_after_seconds": equipment.stale_after_seconds,
            "quality": self.quality.value,
            "reason": self.reason,
            "signals": signals,
        }


def signal_view(signal: SignalValue) -> dict[str, Any]:
    """One value with what is known about it."""
    return {
        "value": signal.value,
        "unit": signal.unit,
        "quality": signal.quality.value,
        "reason": signal.reason,
        "source_time": None if signal.source_time is None else iso(signal.source_time),
    }


def _why_none(equipment: Equipment) -> str:
    if equipment.protocol is None:
        return "It has no IoT configuration yet."
    if not equipment.iot_enabled:
        return "It is not read: iot_enabled is false."
    return "There is no reading of today or yesterday."


def _why_poor(reading: Reading) -> str | None:
    """A sentence about the signals that are not good, where the reading itself has none."""
    if failed(reading):
        return "The machine could not be read."
    poor = [(key, value) for key, value in reading.values.items() if value.quality is not Quality.GOOD]
    if not poor:
        return None
    key, value = next((one for one in poor if one[1].quality is Quality.BAD), poor[0])
    more = f"; and {len(poor) - 1} more of {len(reading.values)} signals" if len(poor) > 1 else ""
    return f"{key}: {value.reason or value.quality.value}{more}"


def _spoken(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
