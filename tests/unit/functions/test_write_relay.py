"""`POST /equipment/{id}/write` to a Modbus device of a plant: hub, relay and device, with only the network left out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.connectors.modbus_line import lines
from shared.relay.hub_assignments import device_of
from shared.relay.hub_commands import CommandBroker
from shared.relay.hub_control import ON_THE_WAY, PlantReach
from shared.relay.messages import Command, CommandAnswer, CommandError, Heartbeat
from shared.relay.plant_commands import CommandLoop
from tests.api import ApiAnswer
from tests.unit.connectors.modbus_device import Device
from tests.unit.relay.conftest import Hub, beat, hub
from tests.unit.relay.plant_house import plant

__all__ = ["hub"]

SIGNALS: dict[str, Any] = {
    "temperature.deck1.setpoint": {"at": "holding:0:int16", "unit": "F", "min": 86, "max": 572, "writable": True},
    "temperature.deck1": "holding:1",
    "program": {"at": "holding:2", "min": 0, "max": 70000, "writable": True},
}


@pytest.fixture
async def device() -> AsyncIterator[Device]:
    async with Device(registers={0: 356, 1: 175, 2: 3}) as there:
        yield there
        lines().close()


@pytest.fixture
async def oven(hub: Hub, device: Device) -> str:
    """Read by the relay hall-1, which was heard just now."""
    await hub.machine(
        "oven-1",
        iot_protocol="modbus",
        iot_endpoint=f"modbus+tcp://127.0.0.1:{device.port}",
        iot_config={"signals": SIGNALS, "answer_timeout": 0.2},
        supports_remote_control=True,
    )
    await hub.house.relay_hub.watch.heard("hall-1", Heartbeat.model_validate(beat(hub.clock.now())))
    return "oven-1"


@pytest.fixture
async def relay(hub: Hub, oven: str, tmp_path: Path) -> AsyncIterator[list[Command]]:
    """A relay at work; the commands that it was given."""
    equipment, _ = await hub.house.equipment.get(oven)
    here = plant(tmp_path / "relay", hub.clock, hub.house.connectors)
    known = {oven: device_of(equipment, timeout_seconds=5)}
    loop = CommandLoop(here, None, hub.clock, assigned=known.get)  # type: ignore[arg-type]
    given: list[Command] = []

    async def work() -> None:
        while True:
            for command in (await hub.house.relay_hub.commands.give("hall-1", 5)).commands:
                given.append(command)
                await hub.house.relay_hub.commands.answered("hall-1", await loop.do(command))

    working = asyncio.create_task(work())
    yield given
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await here.spool.close()


async def write(hub: Hub, signal: str, value: Any, **more: Any) -> ApiAnswer:
    body = {"signal": signal, "value": value, "reason": "new recipe"} | more
    return await hub.api.post("/api/v1/equipment/oven-1/write", json=body)


async def entries(hub: Hub) -> list[str]:
    page = await hub.house.audit.entries(stream="equipment:oven-1")
    return [entry.action for entry in reversed(page.entries) if entry.action.startswith("signal.")]


async def test_there_and_back(hub: Hub, relay: list[Command], device: Device) -> None:
    answer = await write(hub, "temperature.deck1.setpoint", 200, expected=180)
    body = answer.json()
    assert (answer.status, body["success"], body["status"]) == (200, True, "written"), body
    assert (body["before"], body["requested"], body["after"], body["verified"]) == (180, 200, 200, True)
    assert device.registers[0] == 392
    assert [command.kind for command in relay] == ["read_now", "write"]
    assert relay[1].actor["id"] == "developer"
    assert await entries(hub) == ["signal.written", "signal.read_back"]


async def test_what_the_hub_refuses_the_relay_never_hears(hub: Hub, relay: list[Command]) -> None:
    assert (await write(hub, "temperature.deck1.setpoint", 301)).status == 400
    assert (await write(hub, "temperature.deck1", 100)).status == 409
    assert relay == []
    assert (await write(hub, "temperature.deck1.setpoint", 200, expected=170)).status == 412
    assert [command.kind for command in relay] == ["read_now"]
    assert await entries(hub) == []


async def test_what_the_relay_refuses_was_not_written(hub: Hub, relay: list[Command], device: Device) -> None:
    body = (await write(hub, "program", 69_000)).json()  # more than the register holds
    assert (body["success"], body["status"]) == (False, "invalid")
    assert body["error_details"].startswith("Nothing was written. ")
    assert device.registers[2] == 3
    assert await entries(hub) == ["signal.written", "signal.written.failed"]


async def test_a_machine_that_is_off(hub: Hub, relay: list[Command], device: Device) -> None:
    device.silent.add(1)
    body = (await write(hub, "program", 5)).json()
    assert (body["success"], body["before"], body["status"]) == (False, None, "timeout")
    assert body["error_details"].startswith("Nothing was written. ")
    assert [command.kind for command in relay] == ["read_now"]


async def test_a_silent_relay(hub: Hub, oven: str, device: Device) -> None:
    hub.clock.advance(3_600)
    answer = await write(hub, "program", 5)
    assert (answer.status, "silent since" in answer.json()["detail"]) == (504, True)
    assert answer.json()["detail"].startswith("Nothing was written")
    assert (await entries(hub), device.connections) == ([], 0)


class Broker(CommandBroker):
    """Answers as it is told."""

    def __init__(self, hub: Hub, *answers: CommandAnswer) -> None:
        super().__init__(hub.house.store, hub.house.relays, hub.clock)
        self.answers = list(answers)
        self.asked: list[tuple[str, float]] = []

    async def ask(self, relay_id: str, kind: Any, *, seconds: float, **_: Any) -> CommandAnswer:
        self.asked.append((kind, seconds))
        return self.answers.pop(0)


@pytest.mark.parametrize(
    ("code", "said", "told"),
    [
        ("timeout", "It is slow.", "It is slow. It may have taken program all the same: look at its value"),
        ("timeout", "It may have been written all the same.", "It may have been written all the same."),
        ("internal_error", "See the log.", "See the log. It may have taken program all the same"),
        ("unexpected_answer", "It refuses.", "It refuses."),
        ("expired", "Too late.", "Nothing was written. Too late."),
        ("not_assigned", "Whose?", "Nothing was written. Whose?"),
    ],
)
async def test_what_may_have_been_done_is_said(hub: Hub, oven: str, code: str, said: str, told: str) -> None:
    equipment, _ = await hub.house.equipment.get(oven)
    now = hub.clock.now() + timedelta(seconds=1)
    no = CommandAnswer(id="c1", ok=False, error=CommandError(code=code, detail=said), at=now)
    broker = Broker(hub, no)
    with pytest.raises(Exception, match=told.replace(".", r"\.")) as refused:
        await PlantReach(broker, seconds=7).write(equipment, "program", 5, {"id": "a"})
    assert getattr(refused.value, "code", None) == code
    assert str(refused.value).count("all the same") <= 1
    assert broker.asked == [("write", 7 + ON_THE_WAY)]


@pytest.mark.parametrize("body", [{}, {"after": 5}, {"after": {"v": ["x"]}}])
async def test_an_answer_that_cannot_be_read_hides_nothing(hub: Hub, oven: str, body: dict[str, Any]) -> None:
    equipment, _ = await hub.house.equipment.get(oven)
    broker = Broker(hub, CommandAnswer(id="c1", ok=True, body=body, at=hub.clock.now()))
    with pytest.raises(Exception, match="program was written, and what the relay says of it cannot be read"):
        await PlantReach(broker, seconds=7).write(equipment, "program", 5, {"id": "a"})
