"""A process on a Modbus oven in a plant: started by a worker's request at the hub, through the relay, once."""

from __future__ import annotations

import asyncio

from shared.relay.messages import Command
from tests.unit.connectors.modbus_device import Device
from tests.unit.functions.test_write_relay import device, oven, relay
from tests.unit.relay.conftest import Hub, hub

__all__ = ["device", "hub", "oven", "relay"]

START = {
    "do": "start",
    "equipment_id": "oven-1",
    "signal": "program",
    "value": 7,
    "result": {"signal": "temperature.deck1", "when_signal": "program", "when_equals": [7]},
}
STEP = {"orderId": None, "progressId": 880011, "stepId": 2, "row": {"id": 21, "entries": []}}


async def test_a_program_is_started_through_the_relay(
    hub: Hub, oven: str, device: Device, relay: list[Command]
) -> None:
    made = await hub.api.put("/api/v1/request-profiles/bake", json={"actions": {"deck": START}})
    assert made.status == 201, made.body
    first, second = await asyncio.gather(*(hub.api.post("/api/v1/requests/bake", json=STEP) for _ in range(2)))
    assert (first.json(), second.json()) == ({"deck": 175}, {"deck": 175})
    assert device.registers[2] == 7
    assert [command.kind for command in relay].count("write") == 1
    entries = (await hub.api.get("/api/v1/audit?stream=equipment:oven-1")).json()["entries"]
    assert "profile:bake" in [e["actor"]["id"] for e in entries if e["action"] == "signal.written"]


async def test_a_relay_that_is_silent_starts_nothing(hub: Hub, oven: str, device: Device) -> None:
    await hub.api.put("/api/v1/request-profiles/bake", json={"actions": {"deck": START}})
    hub.clock.advance(600)
    answer = await hub.api.post("/api/v1/requests/bake", json=STEP)
    assert answer.status == 409
    assert "was not started" in answer.json()["detail"]
    assert device.registers[2] == 3
