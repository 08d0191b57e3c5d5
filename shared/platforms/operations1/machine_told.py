"""What a machine does at the moment, in the words a worker reads: from its last reading, its connection, its alerts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from shared.alerts.handling import AlertFilter
from shared.clock import Clock
from shared.errors import NotFound
from shared.platforms.operations1.actions import MachineInfo
from shared.platforms.operations1.judgement import TagAnswer, judge
from shared.platforms.operations1.profile import TagSource
from shared.signals import Quality, Reading, SignalValue, Value

if TYPE_CHECKING:
    from shared.alerts.service import Alerts
    from shared.collection.health import ConnectionHealth
    from shared.equipment.registry import EquipmentRegistry

__all__ = ["HubKnows", "MachinesTold"]

SIGNALS = {
    "status": "status",
    "stage": "cycle.stage",
    "progress": "cycle.progress",
    "time_remaining": "time.remaining",
}
SHOWN_ALERTS = 5


class Readings(Protocol):
    """Where values come from: the hub's store, or a relay's own last readings."""

    async def latest(self, equipment_id: str) -> Reading | None: ...
    async def latest_value(self, equipment_id: str, signal: str) -> tuple[SignalValue, datetime] | None: ...


@dataclass(frozen=True, slots=True)
class HubKnows:
    """What only the hub knows of machines."""

    equipment: EquipmentRegistry
    health: ConnectionHealth
    alerts: Alerts


class MachinesTold:
    """Tells of machines; asks none of them."""

    def __init__(self, readings: Readings, clock: Clock, hub: HubKnows | None = None) -> None:
        self._readings = readings
        self._clock = clock
        self._hub = hub

    async def tell(self, action: MachineInfo, *, accept_uncertain: bool) -> TagAnswer:
        """One thing of a machine."""
        machine = action.equipment_id
        now = self._clock.now()
        if self._hub is not None:
            try:
                await self._hub.equipment.get(machine)
            except NotFound:
                return _nothing(f"There is no equipment {machine} any more; change the profile.")
        if action.tell in ("connection", "alerts", "alert_count"):
            return await self._of_hub(action)
        reading = await self._readings.latest(machine)
        if action.tell in SIGNALS:
            return await self._signal(action, reading, SIGNALS[action.tell], now, accept_uncertain)
        source = TagSource(equipment_id=machine, signal="status", max_age_seconds=action.max_age_seconds)
        if reading is None or not reading.values or (now - reading.at).total_seconds() > action.max_age_seconds:
            values = () if reading is None else tuple(reading.values.values())
            found = (values[0], reading.at) if reading is not None and values else None
            return judge(source, reading, found, now, accept_uncertain=accept_uncertain)
        temperatures = _temperatures(reading)
        age = round(max(0.0, (now - reading.at).total_seconds()), 3)
        if action.tell == "temperatures":
            if not temperatures:
                return _nothing(f"{machine} tells no temperature at the moment.")
            return TagAnswer(temperatures, "", Quality.GOOD, age, None)
        parts = [_text(reading, "status"), _text(reading, "cycle.stage"), temperatures]
        remaining = _text(reading, "time.remaining")
        parts.append(f"{remaining} min left" if remaining else "")
        if self._hub is not None:
            messages = await _alert_messages(self._hub.alerts, machine)
            parts.append(_listed(messages) if messages else "no alerts")
        return TagAnswer("; ".join(part for part in parts if part), "", Quality.GOOD, age, None)

    async def _signal(
        self, action: MachineInfo, reading: Reading | None, signal: str, now: datetime, accept_uncertain: bool
    ) -> TagAnswer:
        source = TagSource(
            equipment_id=action.equipment_id, signal=signal, max_age_seconds=action.max_age_seconds, digits=1
        )
        found = None
        if reading is not None and reading.values:
            value = reading.values.get(signal)
            found = (
                (value, reading.at)
                if value is not None
                else await self._readings.latest_value(reading.equipment_id, signal)
            )
        return judge(source, reading, found, now, accept_uncertain=accept_uncertain)

    async def _of_hub(self, action: MachineInfo) -> TagAnswer:
        if self._hub is None:
            return _nothing(f"A relay does not know the {action.tell} of {action.equipment_id}: let it ask the hub.")
        if action.tell == "connection":
            return _said((await self._hub.health.status(action.equipment_id)).status)
        messages = await _alert_messages(self._hub.alerts, action.equipment_id)
        return _said(len(messages) if action.tell == "alert_count" else _listed(messages))


async def _alert_messages(alerts: Alerts, machine: str) -> list[str]:
    page = await alerts.list(AlertFilter(equipment_id=machine), limit=100)
    return [str(alert["message"]) for alert in page.alerts]


def _temperatures(reading: Reading) -> str:
    told = [
        f"{key.removeprefix('temperature.')} {value.value:.1f} {value.unit}".rstrip()
        for key, value in sorted(reading.values.items())
        if key.startswith("temperature.")
        and "setpoint" not in key
        and isinstance(value.value, int | float)
        and value.quality is not Quality.BAD
    ]
    return ", ".join(told)


def _text(reading: Reading, signal: str) -> str:
    value = reading.values.get(signal)
    if value is None or value.value is None or value.quality is Quality.BAD:
        return ""
    return f"{value.value:g}" if isinstance(value.value, float) else str(value.value)


def _listed(messages: list[str]) -> str:
    if not messages:
        return "none"
    more = f" and {len(messages) - SHOWN_ALERTS} more" if len(messages) > SHOWN_ALERTS else ""
    return " ".join(messages[:SHOWN_ALERTS]) + more


def _said(value: Value) -> TagAnswer:
    return TagAnswer(value, "", Quality.GOOD, 0.0, None)


def _nothing(reason: str) -> TagAnswer:
    return TagAnswer(None, "", Quality.BAD, None, reason)
