"""What a device can do, told from the signals it has. Pure; shared by every protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shared.connectors.base import Capabilities
from shared.signals import Quality, Reading, SignalValue

__all__ = ["capabilities_of", "features_of"]

_FEATURE = {"time": "cycle", "product": "weight"}
"""Where the first part of a key is not the word a person would use."""


def features_of(values: Mapping[str, SignalValue]) -> tuple[str, ...]:
    """``temperature``, ``humidity``, ``energy``, ``door`` ... of the signals that have a value, in their order."""
    usable = (key for key, value in values.items() if value.quality is not Quality.BAD)
    firsts = (key.partition(".")[0] for key in usable)
    return tuple(dict.fromkeys(_FEATURE.get(first, first) for first in firsts))


def capabilities_of(mapped: Iterable[str], reading: Reading) -> Capabilities:
    """What the mapping names, and what one read found beside it."""
    readable = [key for key, value in reading.values.items() if value.quality is not Quality.BAD]
    signals = tuple(dict.fromkeys([*mapped, *readable]))
    return Capabilities(
        supports_realtime=bool(readable),
        supports_humidity="humidity" in signals,
        supports_energy_monitoring="energy.kwh" in signals,
        supports_remote_control=False,  # nothing is written in this version, whatever a device could take
        temperature_zones=tuple(dict.fromkeys(zone for key in signals if (zone := _zone(key)))),
        signals=signals,
    )


def _zone(key: str) -> str | None:
    """``core`` of ``temperature.core``; set points are no zones."""
    parts = key.split(".")
    if len(parts) < 2 or parts[0] != "temperature" or parts[-1] == "setpoint":
        return None
    return ".".join(parts[1:])
