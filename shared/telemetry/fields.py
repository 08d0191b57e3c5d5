"""From signals to the implementation guide's named fields. Pure.

``temperature`` is the machine's own overall temperature where it tells one (signal ``temperature``), else the cabinet
(``temperature.cabinet``), else the mean of its zones: of a deck oven's decks. A core probe and set points are not part
of that mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.signals import Quality, SignalValue, Value

__all__ = ["NAMED", "guide_fields", "is_setpoint", "temperature", "zone_of"]

NAMED: dict[str, str] = {
    "humidity": "humidity",
    "status": "operational_status",
    "cycle.stage": "cycle_stage",
    "cycle.progress": "cycle_progress_percentage",
    "time.remaining": "time_remaining_minutes",
    "energy.kwh": "energy_consumption_kwh",
    "batch.id": "active_batch_id",
    "batch.name": "active_batch_name",
    "motor.speed": "motor_speed",
    "steam.level": "steam_level",
    "product.weight": "product_weight",
    "moisture": "moisture_content",
}
"""Signal -> the guide's field. ``door.open`` becomes ``door_status``, temperatures become ``temperature``,
``temperature_zones`` and ``setpoints``; every other signal goes to ``additional``."""

_NOT_THE_AIR = frozenset({"core", "probe", "product", "ambient", "outside", "flue", "exhaust"})


def is_setpoint(key: str) -> bool:
    """Is this what the oven should have, not what it has?"""
    return key == "setpoint" or key.endswith(".setpoint")


def zone_of(key: str) -> str | None:
    """``core`` of ``temperature.core``; ``None`` for set points and for what is no zone."""
    if not key.startswith("temperature.") or is_setpoint(key):
        return None
    return key.removeprefix("temperature.")


def temperature(values: Mapping[str, SignalValue]) -> SignalValue | None:
    """The one temperature of the machine, in Celsius; ``None``: it has none."""
    for key in ("temperature", "temperature.cabinet"):
        if key in values:
            return values[key]
    zones = {
        zone: value
        for key, value in values.items()
        if (zone := zone_of(key)) is not None and zone.split(".")[0].rstrip("0123456789_") not in _NOT_THE_AIR
    }
    if len(zones) == 1:
        return next(iter(zones.values()))
    return _mean(zones) if zones else None


def _mean(zones: Mapping[str, SignalValue]) -> SignalValue:
    numbers = {zone: float(v.value) for zone, v in zones.items() if isinstance(v.value, int | float)}
    missing = [zone for zone in zones if zone not in numbers]
    if not numbers:
        return SignalValue(None, Quality.BAD, f"None of its zones has a value: {', '.join(missing)}.", "C")
    mean = round(sum(numbers.values()) / len(numbers), 2)
    if missing:
        reason = f"Mean of {len(numbers)} of {len(zones)} zones; without a value: {', '.join(missing)}."
        return SignalValue(mean, Quality.UNCERTAIN, reason, "C")
    doubtful = [zone for zone, value in zones.items() if value.quality is not Quality.GOOD]
    if doubtful:
        return SignalValue(mean, Quality.UNCERTAIN, f"Mean of zones, uncertain: {', '.join(doubtful)}.", "C")
    return SignalValue(mean, unit="C")


def guide_fields(values: Mapping[str, SignalValue]) -> dict[str, Any]:
    """The named fields, all of them present; ``null`` where there is no value."""
    overall = temperature(values)
    body: dict[str, Any] = {"temperature": None if overall is None else overall.value, "temperature_zones": {}}
    body |= dict.fromkeys(NAMED.values())
    body["door_status"] = None
    body["setpoints"] = {}
    body["additional"] = {}
    for key, signal in values.items():
        _place(body, key, signal.value)
    return body


def _place(body: dict[str, Any], key: str, value: Value) -> None:
    zone = zone_of(key)
    if zone is not None:
        body["temperature_zones"][zone] = value
    elif key.startswith("temperature.") and is_setpoint(key):
        body["setpoints"][
            key.removeprefix("temperature.").removesuffix(".setpoint").replace("setpoint", "temperature")
        ] = value
    elif key in NAMED:
        body[NAMED[key]] = value
    elif key == "door.open":
        body["door_status"] = None if value is None else "open" if value else "closed"
    elif key != "temperature":
        body["additional"][key] = value
