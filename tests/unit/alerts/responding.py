"""A machine with a Modbus device behind it, rules with responses, and readings that raise and end alerts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.clock import ManualClock
from shared.services import Services
from shared.signals import Reading, SignalValue
from shared.storage import Query
from tests.api import Api, Drained
from tests.unit.connectors.modbus_device import Device

__all__ = ["Bakery"]

SETPOINT = "temperature.deck1.setpoint"
SIGNALS: dict[str, Any] = {
    SETPOINT: {"at": "holding:0:int16", "scale": 0.1, "min": 30, "max": 300, "writable": True},
    "temperature.deck1": "holding:2",
    "lamp": {"at": "coil:5", "writable": True},
}
WRITES = (5, 6, 16, 22)


@dataclass
class Bakery:
    """One house with one oven."""

    house: Services
    api: Api
    clock: ManualClock
    drain: Callable[..., Awaitable[Drained]]
    device: Device

    async def oven(self, id: str = "oven-1", **more: Any) -> None:
        """Register it, open for remote control."""
        body = {
            "id": id,
            "name": "Deck oven",
            "site": "madrid",
            "iot_protocol": "modbus",
            "iot_endpoint": f"modbus+tcp://127.0.0.1:{self.device.port}",
            "iot_config": {"signals": SIGNALS, "timeout": 2, "answer_timeout": 0.2},
            "supports_remote_control": True,
            **more,
        }
        answer = await self.api.post("/api/v1/equipment", json=body)
        assert answer.status == 201, answer.body

    async def rule(self, *responses: dict[str, Any], **more: Any) -> str:
        """A rule above 250 with these responses; its id."""
        body = {
            "equipment_id": "oven-1",
            "kind": "high",
            "signal": "temperature.deck1",
            "limit": 250,
            "name": "too hot",
            "responses": list(responses),
            **more,
        }
        answer = await self.api.post("/api/v1/alert-rules", json=body)
        assert answer.status == 201, answer.body
        return str(answer.json()["id"])

    async def reads(self, value: float, *, after: float = 10) -> None:
        """The oven says this, so many seconds later."""
        self.clock.advance(after)
        machine, _ = await self.house.equipment.get("oven-1")
        reading = Reading("oven-1", self.clock.now(), {"temperature.deck1": SignalValue(value)})
        await self.house.readings.record(reading)
        await self.house.alerts.evaluate(machine, reading)

    async def pass_(self, seconds: float) -> None:
        """Time goes by, and what is due is done."""
        end = self.clock.now() + timedelta(seconds=seconds)
        while self.clock.now() < end:
            self.clock.advance(min(30.0, (end - self.clock.now()).total_seconds()))
            await self.respond()

    async def respond(self) -> None:
        """Do what is due."""
        done = await self.drain(queues=("alert-responses",))
        assert not done.failures, done.failures

    async def alert(self) -> dict[str, Any]:
        """The newest alert, as the API shows it."""
        listed = (await self.api.get("/api/v1/equipment/iot-alerts?status=all")).json()["alerts"]
        answer = await self.api.get(f"/api/v1/alerts/{listed[0]['id']}")
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.json()
        return found

    async def responses(self) -> dict[str, dict[str, Any]]:
        """Of the newest alert, by name."""
        return {one["name"]: one for one in (await self.alert())["responses"]}

    async def told(self, event_type: str) -> list[dict[str, Any]]:
        """Events of a type."""
        page = await self.house.store.query("events", Query(limit=1000))
        return [s.document for s in page.items if s.document["type"] == event_type]

    async def noted(self) -> list[tuple[str, Any]]:
        """What the audit log says of responses, oldest first."""
        entries = (await self.house.audit.entries(stream="alert:oven-1")).entries
        return [(e.action, e.after) for e in reversed(entries) if e.action.startswith("alert_response.")]

    @property
    def writes(self) -> int:
        """Orders that reached the device."""
        return sum(request.function in WRITES for request in self.device.requests)
