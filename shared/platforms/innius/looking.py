"""What is so of a machine: its sensors, its open alerts, its connection, and the values in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.clock import Clock, iso, parse_iso
from shared.events import Event
from shared.events.catalogue import EQUIPMENT_CONNECTION_CHANGED
from shared.platforms.innius.standing import Cause, Standing, Truth
from shared.platforms.innius.words import SENSOR_STATE, State, state_of

if TYPE_CHECKING:
    from shared.alerts.service import Alerts
    from shared.collection.health import ConnectionHealth
    from shared.equipment.model import Equipment
    from shared.storage import Document
    from shared.telemetry.readings import Readings

__all__ = ["Looking", "sensors_of"]

CONNECTION = "connection"
LOST = ("disconnected", "error")
LOOK_BACK = timedelta(hours=24)
READINGS = 50
MOST_ALERTS = 1_000


class Looking:
    """Asks the other rooms. They are made when they are needed: the alerts tell by the very events this follows."""

    def __init__(
        self,
        alerts: Callable[[], Alerts],
        readings: Callable[[], Readings],
        health: Callable[[], ConnectionHealth],
        clock: Clock,
    ) -> None:
        self._alerts = alerts
        self._readings = readings
        self._health = health
        self._clock = clock

    async def connection(
        self, equipment_id: str, known: Mapping[str, Any] | None, event: Event | None
    ) -> dict[str, Any]:
        """``{"status", "since"}``: what an event says if it is newer than what is known; else that."""
        if event is not None and event.type == EQUIPMENT_CONNECTION_CHANGED:
            at = iso(event.timestamp)
            if known is None or known["since"] is None or known["since"] <= at:
                return {"status": event.data.get("status"), "since": at}
        if known is not None:
            return dict(known)
        status = await self._health().status(equipment_id)
        return {"status": status.status, "since": iso(status.since) if status.since is not None else None}

    async def truth(self, machine: Equipment | None, connection: Mapping[str, Any]) -> Truth:
        """What is so now; of a machine that is gone: nothing."""
        if machine is None:
            return Truth((), {})
        causes: dict[str, Cause] = {}
        for alert in await self._open_alerts(machine.id):
            _note(causes, alert)
        if connection["status"] in LOST and CONNECTION not in causes:
            causes[CONNECTION] = Cause(State.CAUTION, f"{machine.id}:{CONNECTION}:{connection['since']}", False)
        return Truth(sensors_of(machine), causes)

    async def as_of(self, begun: datetime, machine: Equipment | None, truth: Truth) -> Standing:
        """What was so when the first of our receivers registered: news is what came after."""
        if machine is None:
            return Standing()
        sensors = truth.sensors if machine.created_at <= begun else ()
        causes: dict[str, Cause] = {}
        for alert in await self._open_alerts(machine.id):
            if parse_iso(alert["raisedAt"]) < begun:
                _note(causes, alert)
        status = await self._health().status(machine.id)
        lost_before = status.status in LOST and status.since is not None and status.since < begun
        if lost_before and CONNECTION in truth.causes and CONNECTION not in causes:
            causes[CONNECTION] = truth.causes[CONNECTION]
        return Standing(sensors, causes)

    async def with_values(self, machine: Equipment, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """The body of a sensor's change with the values before and after it, as far as there are numbers."""
        if name != SENSOR_STATE:
            return body
        now = self._clock.now()
        page = await self._readings().history(
            machine.id, now - LOOK_BACK, now + timedelta(minutes=5), READINGS, order="newest_first"
        )
        signal = body["sensorid"]
        values = [n for r in page.readings if signal in r.values and (n := _number(r.values[signal].value)) is not None]
        current = body["currentValue"]
        if current is None:
            current = values[0] if values else None
        before = next((value for value in values if value != current), None)
        return {**body, "previousValue": current if before is None else before, "currentValue": current}

    async def _open_alerts(self, equipment_id: str) -> list[Document]:
        from shared.alerts.handling import AlertFilter

        found = await self._alerts().list(AlertFilter(equipment_id=equipment_id), limit=MOST_ALERTS)
        # One that was raised while it was shelved was told to nobody.
        return [alert for alert in found.alerts if alert.get("announced", True)]


def sensors_of(machine: Equipment) -> tuple[str, ...]:
    """The signals of its mapping."""
    mapped = machine.iot_config.get("signals")
    return tuple(sorted(mapped)) if isinstance(mapped, Mapping) else ()


def _note(causes: dict[str, Cause], alert: Document) -> None:
    """The worst alert of a signal speaks for it; those of the whole machine go by their type."""
    from shared.alerts import lifecycle

    state = state_of(alert["severity"])
    signal = alert.get("signal")
    name = str(signal or (CONNECTION if alert["alertType"] == "connection_lost" else alert["alertType"]))
    known = causes.get(name)
    if state is State.NORMAL or (known is not None and known.state >= state):
        return
    number = _number(alert.get("value"))
    causes[name] = Cause(state, lifecycle.alert_id(alert["equipmentId"], alert["id"]), bool(signal), number)


def _number(value: Any) -> float | None:
    """Truth values are 1 and 0; texts are no numbers."""
    return float(value) if isinstance(value, bool | int | float) else None
