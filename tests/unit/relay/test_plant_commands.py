"""Commands: done at most once and in time, refused with a sentence, written only where that is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.clock import ManualClock, iso
from shared.connectors.base import ServerCertificate
from shared.errors import DeviceConnectionError
from shared.relay import answers
from shared.relay.messages import Assignments, Command, CommandAnswer, Device, Heartbeat, InboundBatch, InboundTaken
from shared.relay.plant_commands import CommandLoop
from shared.relay.plant_machine import Plant
from shared.relay.uplink import HubAway
from shared.signals import Reading
from shared.telemetry.document import from_document
from tests.unit.relay.plant_house import Oven, Ovens, device, plant

WRITABLE = {"signals": {"temperature": {"at": "t", "writable": True}, "status": "s"}}


class Hub:
    """Gives out commands and takes answers."""

    def __init__(self) -> None:
        self.waiting: list[list[Command]] = []
        self.answers: list[CommandAnswer] = []
        self.fails = 0

    async def commands(self, wait_seconds: float) -> Sequence[Command]:
        if not self.waiting:
            await asyncio.Event().wait()
        return self.waiting.pop(0)

    async def answer(self, answer: CommandAnswer) -> None:
        if self.fails:
            self.fails -= 1
            raise HubAway("It is away.")
        self.answers.append(answer)

    async def assignments(self, etag: str | None) -> Assignments | None:
        raise NotImplementedError

    async def send(self, batch: bytes, message_id: str) -> None:
        raise NotImplementedError

    async def heartbeat(self, beat: Heartbeat) -> None:
        raise NotImplementedError

    async def inbound(self, batch: InboundBatch) -> InboundTaken:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


@pytest.fixture
def ovens(clock: ManualClock) -> Ovens:
    made = Ovens(clock)
    made.add("oven-1")
    return made


@pytest.fixture
async def here(tmp_path: Path, clock: ManualClock, ovens: Ovens) -> AsyncIterator[Plant]:
    made = plant(tmp_path, clock, ovens)
    yield made
    await made.spool.close()


class House:
    def __init__(self, here: Plant, clock: ManualClock, *devices: Device) -> None:
        self.hub = Hub()
        self._clock = clock
        known = {one.equipment_id: one for one in devices or (device("oven-1", iot_config=WRITABLE),)}
        self.loop = CommandLoop(here, self.hub, clock, assigned=known.get)

    def command(self, kind: Any, body: dict[str, Any] | None = None, **more: Any) -> Command:
        fields = {"id": "c1", "equipment_id": "oven-1", "expires_at": self._clock.now() + timedelta(seconds=30)} | more
        return Command(kind=kind, body=body or {}, **fields)

    async def does(self, kind: Any, body: dict[str, Any] | None = None, **more: Any) -> CommandAnswer:
        return await self.loop.do(self.command(kind, body, **more))


@pytest.fixture
def house(here: Plant, clock: ManualClock) -> House:
    return House(here, clock)


async def test_a_connection_is_tested(house: House) -> None:
    answer = await house.does("test_connection")
    assert answer.ok
    assert answers.test_from(answer.body).success


async def test_a_machine_that_is_not_saved_is_tested(house: House, ovens: Ovens) -> None:
    oven = ovens.add("new")
    described = device("new", endpoint="http://10.0.0.9").model_dump(mode="json")
    assert (await house.does("test_connection", {"device": described}, equipment_id="new")).ok
    assert oven.opened[0]["endpoint"] == "http://10.0.0.9"
    assert oven.closed == 1


async def test_a_certificate_is_shown(house: House, ovens: Ovens, clock: ManualClock) -> None:
    shown = ServerCertificate("ab" * 32, "cd" * 20, "CN=Combi", clock.now(), False)
    ovens.of["oven-1"].certificate = shown
    answer = await house.does("certificate")
    assert answer.ok, answer.error
    assert answers.certificate_from(answer.body) == shown
    with pytest.raises(answers.UnreadableAnswer):
        answers.certificate_from({"server_certificate": {"fingerprint": "ab"}})


async def test_a_machine_is_read_now(house: House, clock: ManualClock) -> None:
    answer = await house.does("read_now")
    reading = from_document(answer.body["reading"])
    assert reading.at == clock.now()
    assert reading.values["temperature.cabinet"].value == 1.0


async def test_a_writable_signal_is_written(here: Plant, clock: ManualClock, ovens: Ovens) -> None:
    house = House(here, clock, device("oven-1", iot_config=WRITABLE, supports_remote_control=True))
    answer = await house.does("write", {"signal": "temperature", "value": 190.0})
    assert answer.ok, answer.error
    assert ovens.of["oven-1"].written == [("temperature", 190.0)]
    said = answers.read_signals(answer.body)
    assert (said["before"].value, said["after"].value) == (1.0, 190.0)


@pytest.mark.parametrize(
    ("remote", "body"),
    [
        (False, {"signal": "temperature", "value": 190.0}),
        (True, {"signal": "status", "value": "off"}),
        (True, {"signal": "humidity", "value": 1}),
        (True, {"signal": "temperature"}),
        (True, {"signal": "temperature", "value": [1]}),
        (True, {}),
    ],
)
async def test_anything_else_is_not_written(
    here: Plant, clock: ManualClock, ovens: Ovens, remote: bool, body: dict[str, Any]
) -> None:
    house = House(here, clock, device("oven-1", iot_config=WRITABLE, supports_remote_control=remote))
    # A description in the command does not make a machine writable.
    body["device"] = device("oven-1", iot_config=WRITABLE, supports_remote_control=True).model_dump(mode="json")
    answer = await house.does("write", body)
    assert not answer.ok
    assert answer.error is not None
    assert answer.error.code == "invalid"
    assert ovens.of["oven-1"].written == []


async def test_what_nobody_waits_for_is_not_begun(house: House, clock: ManualClock, ovens: Ovens) -> None:
    answer = await house.does("read_now", expires_at=clock.now())
    assert answer.error is not None
    assert answer.error.code == "expired"
    assert iso(clock.now()) in answer.error.detail
    assert not ovens.of["oven-1"].times


async def test_what_takes_too_long_is_ended(house: House, clock: ManualClock, ovens: Ovens) -> None:
    async def hangs(oven: Oven) -> Reading:
        await asyncio.Event().wait()
        raise AssertionError

    ovens.of["oven-1"].behaviour = hangs
    answer = await house.does("read_now", expires_at=clock.now() + timedelta(seconds=0.05))
    assert answer.error is not None
    assert answer.error.code == "timeout"
    assert ovens.of["oven-1"].closed == 1


@pytest.mark.parametrize(
    ("kind", "body", "more", "code"),
    [
        ("read_now", {}, {"equipment_id": "other"}, "not_assigned"),
        ("read_now", {}, {"equipment_id": None}, "not_assigned"),
        ("discover", {}, {}, "not_supported"),
        ("certificate", {}, {}, "not_supported"),
        ("discover", {"seconds": -1}, {}, "invalid"),
        ("deliver", {}, {}, "invalid"),
        ("test_connection", {"device": {"endpoint": "x"}}, {}, "invalid"),
    ],
)
async def test_refusals(house: House, kind: str, body: dict[str, Any], more: dict[str, Any], code: str) -> None:
    answer = await house.does(kind, body, **more)
    assert answer.error is not None
    assert answer.error.code == code


@pytest.mark.parametrize(
    ("error", "code"), [(DeviceConnectionError("Off."), "cannot_connect"), (RuntimeError("x"), "internal_error")]
)
async def test_whatever_goes_wrong_is_the_answer(house: House, ovens: Ovens, error: Exception, code: str) -> None:
    async def fails(oven: Oven) -> Reading:
        raise error

    ovens.of["oven-1"].behaviour = fails
    answer = await house.does("read_now")
    assert answer.error is not None
    assert answer.error.code == code


async def test_commands_are_done_at_most_once_and_answered(house: House, ovens: Ovens) -> None:
    house.hub.fails = 1
    first, second = house.command("read_now"), house.command("read_now", id="c2")
    house.hub.waiting = [[first], [first, second]]
    running = asyncio.create_task(house.loop.run())
    async with asyncio.timeout(10):
        while len(house.hub.answers) < 2:  # noqa: ASYNC110 - the other task counts
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait({running})
    assert {answer.id for answer in house.hub.answers} == {"c1", "c2"}
    assert len(ovens.of["oven-1"].times) == 2
