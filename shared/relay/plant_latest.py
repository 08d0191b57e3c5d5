"""The newest of every machine and signal, in memory: what a worker asks for on site."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from shared.signals import Reading, SignalValue

__all__ = ["LatestReadings"]


class LatestReadings:
    """Of the machines that are assigned now. Answers like ``shared.telemetry.Readings``, as far as it goes."""

    def __init__(self) -> None:
        self._readings: dict[str, Reading] = {}
        self._values: dict[str, dict[str, tuple[SignalValue, datetime]]] = {}

    def note(self, reading: Reading) -> None:
        """A machine was read, or could not be."""
        self._readings[reading.equipment_id] = reading
        values = self._values.setdefault(reading.equipment_id, {})
        for key, value in reading.values.items():
            values[key] = (value, reading.at)

    def keep_only(self, equipment_ids: Collection[str]) -> None:
        """Forget machines that are no longer read here."""
        for gone in self._readings.keys() - set(equipment_ids):
            del self._readings[gone]
            self._values.pop(gone, None)

    async def latest(self, equipment_id: str) -> Reading | None:
        """The newest reading, a failed one included."""
        return self._readings.get(equipment_id)

    async def latest_value(self, equipment_id: str, signal: str) -> tuple[SignalValue, datetime] | None:
        """The newest value of a signal, whatever its quality, and when it was read."""
        return self._values.get(equipment_id, {}).get(signal)
