"""Killed at each step of a response: never lost, never done twice in effect, an order to a machine never repeated."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.access import system
from shared.alerts.rule_forms import RuleForm
from shared.clock import ManualClock
from shared.connectors.modbus_line import lines
from shared.equipment.model import Equipment
from shared.services import Services
from shared.settings import Settings
from shared.signals import Reading, SignalValue
from shared.storage import Query
from tests.unit.callbacks.receiver import Receiver, receiving
from tests.unit.connectors.modbus_device import Device

SETPOINT = "temperature.deck1.setpoint"
CHANGES = ("create", "create_each", "replace", "upsert", "patch", "delete", "batch", "send")
WRITES = (5, 6, 16, 22)


class Killed(BaseException):
    """The process ends here; nothing catches it."""


@dataclass
class Script:
    """Dies before or after the n-th change of the store or the queue; nothing works from then on."""

    at: int = -1
    after: bool = False
    changes: list[str] = field(default_factory=list)
    dead: bool = False

    def wrap(self, real: Any) -> Any:
        """A backend that dies by this script."""
        script = self

        class Dying:
            def __getattr__(self, name: str) -> Any:
                member = getattr(real, name)
                return member if name not in CHANGES else script._dying(name, member)

        return Dying()

    def _dying(self, name: str, call: Any) -> Any:
        async def step(*args: Any, **more: Any) -> Any:
            mine = len(self.changes) == self.at
            self.changes.append(f"{name} {args[0]}")
            if self.dead or (mine and not self.after):
                self.dead = True
                raise Killed
            answer = await call(*args, **more)
            if mine:
                self.dead = True
                raise Killed
            return answer

        return step


class World:
    """A disk, a device, a receiver; and processes that come and go."""

    def __init__(self, folder: Path, device: Device, receiver: Receiver) -> None:
        self.clock = ManualClock(datetime(2026, 11, 21, 10, tzinfo=UTC))
        self.folder = folder
        self.device = device
        self.receiver = receiver
        self.oven = Equipment(
            id="OVEN-1",
            name="Deck oven",
            created_at=self.clock.now() - timedelta(days=30),
            updated_at=self.clock.now() - timedelta(days=30),
            iot_enabled=True,
            protocol="modbus",
            endpoint=f"modbus+tcp://127.0.0.1:{device.port}",
            iot_config={
                "signals": {SETPOINT: {"at": "holding:0:int16", "scale": 0.1, "min": 30, "max": 300, "writable": True}},
                "timeout": 2,
                "answer_timeout": 0.2,
            },
            supports_remote_control=True,
        )

    def copy(self, folder: Path) -> World:
        """The same at the same moment, on a disk of its own."""
        shutil.copytree(self.folder, folder)
        other = World(folder, self.device, self.receiver)
        other.clock.set(self.clock.now())
        return other

    def process(self, script: Script | None = None) -> Services:
        """A process over the same disk."""
        settings = Settings(data_dir=self.folder, allow_private_targets=True, allow_http_targets=True)
        house = Services(settings, self.clock)
        if script is not None:
            house.__dict__["store"] = script.wrap(house.store)
            house.__dict__["_queue"] = script.wrap(house._queue)
        return house

    async def prepare(self, response: dict[str, Any]) -> Reading:
        """A machine and a rule; the reading that will raise its alert."""
        house = self.process()
        await house.store.create("equipment", self.oven.to_document())
        form = RuleForm.model_validate(
            {"kind": "high", "signal": "temperature.deck1", "limit": 250, "responses": [{"name": "it", **response}]}
        )
        await house.alert_rules.create("OVEN-1", form, system("test"))
        self.clock.advance(10)
        reading = Reading("OVEN-1", self.clock.now(), {"temperature.deck1": SignalValue(260.0)})
        await house.readings.record(reading)
        await house.close()
        return reading

    async def live(self, house: Services, reading: Reading | None) -> None:
        """What a host does: the reading's message, then what is due in the queue."""
        if reading is not None:
            await house.alerts.evaluate(self.oven, reading)
        while (await house.receiver.depth("alert-responses")).active:
            for message in await house.receiver.receive("alert-responses", 10):
                await house.responding.work.handle(message.body)
                await house.receiver.complete("alert-responses", message)

    async def recover(self, reading: Reading) -> dict[str, Any]:
        """The next process: messages come again, timers run; the response at its end."""
        house = self.process()
        try:
            await self.live(house, reading)
            rounds = 8
            while rounds:
                self.clock.advance(61)
                await house.alerts.watch([self.oven])
                await house.tasks.tell()
                await house.responding.work.sweep()
                await self.live(house, None)
                (found,) = [s for s in await documents(house, "alertResponses") if s["id"] != "budget"]
                # One more round than it needs: nothing more may happen.
                rounds = min(rounds - 1, 1) if "wakeAt" not in found and rounds > 1 else rounds - 1
            self.tasks = await documents(house, "tasks")
            self.events = await documents(house, "events")
            return found
        finally:
            await house.close()


async def documents(house: Services, container: str) -> list[dict[str, Any]]:
    return [s.document for s in (await house.store.query(container, Query(limit=1000))).items]


@pytest.fixture
async def peers() -> AsyncIterator[tuple[Device, Receiver]]:
    async with Device(registers={0: 1800, 1: 0}, coils={}) as device, receiving() as receiver:
        yield device, receiver
        lines().close()


async def died_at_every_step(
    tmp_path: Path, peers: tuple[Device, Receiver], response: dict[str, Any], *, stored_only: bool = False
) -> AsyncIterator[tuple[str, World, dict[str, Any]]]:
    """A world for each step at which a process can die, after the next process has put things in order.

    ``stored_only``: all that the response does lies in the store and the queue. Then dying before a step is dying after
    the one before it. Otherwise the steps that raise the alert are left out: they are the same whatever the response.
    """
    device, receiver = peers
    template = World(tmp_path / "template", device, receiver)
    reading = await template.prepare(response)
    steps = await _steps(template, reading)
    first = next(n for n, step in enumerate(steps) if "alertResponses" in step)
    if stored_only:
        first -= 2
    for at in range(first, len(steps)):
        for after in (True,) if stored_only else (False, True):
            world = template.copy(tmp_path / f"{at}-{after}")
            device.requests.clear()
            device.registers[0] = 1800
            receiver.seen.clear()
            script = Script(at, after)
            house = world.process(script)
            with pytest.raises(Killed):
                await world.live(house, reading)
            script.dead = False
            script.at = -1
            await house.close()
            place = f"{'after' if after else 'before'} {at}: {script.changes[at]}"
            yield place, world, await world.recover(reading)


async def _steps(template: World, reading: Reading) -> list[str]:
    """What changes when nobody dies."""
    world = template.copy(template.folder.with_name("whole"))
    script = Script()
    house = world.process(script)
    await world.live(house, reading)
    await house.close()
    return script.changes


async def test_a_task_is_made_once(tmp_path: Path, peers: tuple[Device, Receiver]) -> None:
    seen = []
    response = {"on": "raised", "task": {"title": "Look at {equipment.name}"}}
    async for place, world, found in died_at_every_step(tmp_path, peers, response, stored_only=True):
        seen.append(place)
        assert found["status"] == "done", place
        assert [task["id"] for task in world.tasks] == [found["result"]["task_id"]], place
        assert "unpublished" not in world.tasks[0], place
        told = {e["eventId"] for e in world.events if e["type"] == "TASK_CREATED"}
        assert len(told) == 1, place
    assert any("replace alertResponses" in place for place in seen)
    assert any("send alert-responses" in place for place in seen)
    assert len(seen) >= 12


async def test_a_ticket_is_asked_for_once(tmp_path: Path, peers: tuple[Device, Receiver]) -> None:
    response = {"on": "raised", "ticket": {"title": "Look at {equipment.name}"}}
    async for place, world, found in died_at_every_step(tmp_path, peers, response, stored_only=True):
        assert found["status"] == "done", place
        told = {e["eventId"] for e in world.events if e["type"] == "TICKET_REQUESTED"}
        assert told == {found["result"]["ticket_id"]}, place


async def test_an_order_to_a_machine_is_never_repeated(tmp_path: Path, peers: tuple[Device, Receiver]) -> None:
    ends = []
    response = {"on": "raised", "write": {"signal": SETPOINT, "value": 150}}
    async for place, world, found in died_at_every_step(tmp_path, peers, response):
        orders = sum(request.function in WRITES for request in world.device.requests)
        told = {e["eventId"] for e in world.events if e["type"] == "ALERT_RESPONSE_FAILED"}
        assert orders <= 1, place
        if found["status"] == "done":
            assert (orders, told) == (1, set()), place
        else:
            assert (found["status"], len(told)) == ("unknown", 1), place
            assert "nobody knows whether it was" in found["outcome"], place
        ends.append((found["status"], orders))
    assert {("done", 1), ("unknown", 0), ("unknown", 1)} == set(ends)


async def test_a_call_is_repeated_where_its_rule_says_so(tmp_path: Path, peers: tuple[Device, Receiver]) -> None:
    response = {"on": "raised", "call": {"url": peers[1].url, "method": "PUT"}}
    async for place, world, found in died_at_every_step(tmp_path, peers, response):
        assert found["status"] == "done", place
        assert len({n.headers["idempotency-key"] for n in world.receiver.seen}) == 1, place


async def test_and_not_where_it_does_not(tmp_path: Path, peers: tuple[Device, Receiver]) -> None:
    ends = set()
    response = {"on": "raised", "call": {"url": peers[1].url}}
    async for place, world, found in died_at_every_step(tmp_path, peers, response):
        calls = len(world.receiver.seen)
        assert calls <= 1, place
        ends.add((found["status"], calls))
    assert ends == {("done", 1), ("unknown", 0), ("unknown", 1)}
