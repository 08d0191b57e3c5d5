"""Signals: the names of what a machine measures, and one value with its quality.

A device is described once, in one shape for every protocol: ``signals: {key: {"at": address, ...}}``.
The well-known keys feed the named fields of the equipment API; any other key goes to its flexible field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

__all__ = ["WELL_KNOWN_SIGNALS", "Quality", "Reading", "SignalValue", "Value"]
Value = float | int | str | bool | None

WELL_KNOWN_SIGNALS: dict[str, str] = {
    "humidity": "%",
    "energy.kwh": "kWh",
    "door.open": "",
    "status": "",
    "cycle.stage": "",
    "cycle.progress": "%",
    "time.remaining": "min",
    "steam.level": "%",
    "motor.speed": "rpm",
    "product.weight": "kg",
    "moisture": "%",
    "batch.id": "",
    "batch.name": "",
}
"""Well-known keys with the unit they have inside. Beside them stands the family ``temperature.<zone>``
(Celsius; ``temperature.setpoint`` or ``temperature.<zone>.setpoint`` for set points)."""


class Quality(StrEnum):
    """May this value be believed? After OPC UA's three classes."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    """Usable with care: out of its plausible range, or changing faster than it can."""
    BAD = "bad"
    """No value. The reason says why; an old value never takes its place."""


@dataclass(frozen=True, slots=True)
class SignalValue:
    """One value of one signal at one time."""

    value: Value
    """In the unit inside (Celsius for temperatures). ``None`` when the quality is bad."""
    quality: Quality = Quality.GOOD
    reason: str | None = None
    """Why the quality is not good, as a sentence for a person."""
    unit: str = ""
    raw: Value = None
    """As the device said it, where that differs (``356.7`` with ``raw_unit`` ``F``)."""
    raw_unit: str | None = None
    source_time: datetime | None = None
    """When the device says it measured; not when we read it. An unchanged value may be old and still live."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one machine said at one time, every signal with its quality. A failed read is a reading too."""

    equipment_id: str
    at: datetime
    """When we read it (or tried to). Never the time of an older value."""
    values: Mapping[str, SignalValue]
    """By signal key. Empty when nothing could be read at all."""
    quality: Quality = Quality.GOOD
    """The worst of the values; ``bad`` when nothing could be read."""
    reason: str | None = None
    """Why nothing could be read, as a sentence for a person."""
    error_code: str | None = None
    """``DeviceError.code`` of the failure, if the whole read failed."""
    source: str = "poll"
    """``poll``, ``relay`` or ``push``: part of the reading's id."""
    response_ms: float | None = None
    """How long the device took."""
    received_at: datetime | None = None
    """When the hub took it; later than ``at`` for what a relay stored on the way."""
    retry_after_seconds: float | None = None
    """On a failed read: how long the device or its cloud asked us to stay away (``Retry-After``)."""
