"""Which readings are worth telling, and how urgently: the mapping, what was told last, and this reading decide."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from shared.connectors.mapping import canonical_key
from shared.relay.messages import Device
from shared.relay.plant_spool import ALARM, HISTORY
from shared.relay.plant_spool_work import Lane
from shared.signals import Quality, Reading, SignalValue
from shared.telemetry.document import failed

__all__ = ["MAX_SILENCE_SECONDS", "Reporting"]

MAX_SILENCE_SECONDS = 60.0
"""A machine whose values stay within their deadbands is told all the same this often: the hub must see that it lives,
and an external request wants a value that is not old."""

_ALARM_FAMILIES = frozenset(("alarm", "alarms", "door", "error", "errors", "fault", "faults", "status"))
"""First parts of keys whose changes overtake history: what somebody may have to act on."""


class Reporting:
    """Of one machine. Where its mapping names no deadband every reading is told."""

    def __init__(self, device: Device) -> None:
        self._bands = _bands(device.iot_config.get("signals"))
        interval = device.poll_interval_seconds
        # Half a period early, because readings do not fall on the second.
        self._silence = max(MAX_SILENCE_SECONDS, interval) - interval / 2
        self.last: Reading | None = None
        """What was told last. Also a slow drift is noticed, because values are compared with this and not with what was
        read last."""

    def lane(self, reading: Reading) -> Lane | None:
        """In which lane it is told; ``None``: nothing new in it."""
        last = self.last
        if last is None:
            return ALARM if failed(reading) else HISTORY
        if failed(reading) or failed(last):
            return ALARM if failed(reading) is not failed(last) else HISTORY
        now, before = reading.values, last.values
        changed = now.keys() != before.keys()
        for key, value in now.items():
            old = before.get(key)
            # Most values are the very same as the time before: connectors keep what did not change.
            if value is not old and self._changed(key, value, old):
                changed = True
                if _urgent(key, value, old):
                    return ALARM
        if changed or not self._bands or abs((reading.at - last.at).total_seconds()) >= self._silence:
            return HISTORY
        return None

    def _changed(self, key: str, now: SignalValue, before: SignalValue | None) -> bool:
        if before is None:
            return True
        if now.quality is not before.quality or now.unit != before.unit:
            return True
        if _number(now.value) and _number(before.value):
            band = self._bands.get(key, 0.0)
            moved = abs(float(now.value) - float(before.value))  # type: ignore[arg-type]
            # Decimal steps are not exact in binary: 0.1 more than 180.2 must count as 0.1.
            return moved > 0 and (moved >= band or math.isclose(moved, band, abs_tol=1e-9))
        return now.value != before.value


def _urgent(key: str, now: SignalValue, before: SignalValue | None) -> bool:
    if before is None:
        return False
    if (now.quality is Quality.BAD) is not (before.quality is Quality.BAD):
        return True
    return not _measured(now.value) and key.partition(".")[0] in _ALARM_FAMILIES


def _measured(value: Any) -> bool:
    return isinstance(value, float)


def _number(value: Any) -> bool:
    if type(value) is float:
        return math.isfinite(value)
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _bands(signals: Any) -> dict[str, float]:
    """Deadbands by key, in the unit inside; a mapping that is broken is the connector's to complain about."""
    if not isinstance(signals, Mapping):
        return {}
    bands: dict[str, float] = {}
    for key, spec in signals.items():
        band = spec.get("deadband") if isinstance(spec, Mapping) else None
        if isinstance(spec, Mapping) and _number(band):
            fahrenheit = str(spec.get("unit") or "").strip("° ").upper() == "F"
            bands[canonical_key(str(key))] = float(str(band)) * (5 / 9 if fahrenheit else 1.0)
    return bands
