"""Sending: in order, the same again until the hub has it, and nobody held up by one reading that is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.relay.messages import (
    Assignments,
    Command,
    CommandAnswer,
    Heartbeat,
    InboundBatch,
    InboundTaken,
    ReadingBatch,
    unpack,
)
from shared.relay.plant_assignments import KeptAssignments
from shared.relay.plant_hub_link import SCOUT_PAUSE, HubLink
from shared.relay.plant_sender import MOST_REFUSED, Sender
from shared.relay.plant_spool import ALARM, Spool
from shared.relay.uplink import HubAway, HubRefused
from tests.unit.relay.plant_house import device
from tests.unit.relay.test_plant_spool import document


class Hub:
    """Takes batches as a hub does: each reading once, by its id."""

    def __init__(self) -> None:
        self.away = False
        self.messages: list[str] = []
        self.taken: list[str] = []
        self.lost = 0
        self.refuses: Callable[[dict[str, Any]], bool] = lambda _: False
        self.dies_after_taking = False

    async def send(self, batch: bytes, message_id: str) -> None:
        if self.away:
            raise HubAway("It is away.")
        said = unpack(ReadingBatch, batch)
        if any(self.refuses(reading) for reading in said.readings):
            raise HubRefused("It is no reading.")
        self.messages.append(message_id)
        self.lost += said.lost.history
        self.taken += [reading["id"] for reading in said.readings]
        if self.dies_after_taking:
            raise HubAway("It died before it could answer.")

    async def assignments(self, etag: str | None) -> Assignments | None:
        raise NotImplementedError

    async def heartbeat(self, beat: Heartbeat) -> None:
        raise NotImplementedError

    async def commands(self, wait_seconds: float) -> Sequence[Command]:
        raise NotImplementedError

    async def answer(self, answer: CommandAnswer) -> None:
        raise NotImplementedError

    async def inbound(self, batch: InboundBatch) -> InboundTaken:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


@pytest.fixture
async def spool(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Spool]:
    made = Spool.open(tmp_path / "spool.db", clock, max_bytes=10**8, max_days=30)
    yield made
    await made.close()


def ids(*numbers: int) -> list[str]:
    return [document(n)["id"] for n in numbers]


async def all_sent(sender: Sender) -> None:
    while await sender.send_one():
        pass


async def test_readings_arrive_in_order_and_are_gone_here(spool: Spool, clock: ManualClock) -> None:
    hub = Hub()
    sender = Sender(spool, hub, "plant-1", clock)
    await spool.put([document(1), document(2)])
    await spool.put([document(3)], lane=ALARM)
    await all_sent(sender)
    assert hub.taken == ids(3, 1, 2)
    assert sender.sent == 3
    assert (await spool.state()).readings == 0


async def test_while_the_hub_is_away_everything_waits(spool: Spool, clock: ManualClock) -> None:
    hub = Hub()
    hub.away = True
    sender = Sender(spool, hub, "plant-1", clock)
    running = asyncio.create_task(sender.run())
    for n in range(20):
        await spool.put([document(n)])
    async with asyncio.timeout(5):
        while not sender.link.problem:  # noqa: ASYNC110 - the other task counts
            await asyncio.sleep(0.01)
    assert sender.link.away_since == clock.now()
    assert (await spool.state()).readings == 20
    hub.away = False
    async with asyncio.timeout(10):
        while len(hub.taken) < 20:  # noqa: ASYNC110 - the other task counts
            await asyncio.sleep(0.01)
    running.cancel()
    assert hub.taken == ids(*range(20))
    assert sender.link.problem == ""


async def test_an_answer_that_is_lost_makes_the_same_message_come_again(spool: Spool, clock: ManualClock) -> None:
    hub = Hub()
    hub.dies_after_taking = True
    sender = Sender(spool, hub, "plant-1", clock)
    await spool.put([document(1), document(2)])
    with pytest.raises(HubAway):
        await sender.send_one()
    hub.dies_after_taking = False
    await sender.send_one()
    assert hub.messages[0] == hub.messages[1]


async def test_one_reading_that_is_refused_holds_up_nobody(spool: Spool, clock: ManualClock) -> None:
    hub = Hub()
    hub.refuses = lambda reading: reading["id"] == document(7)["id"]
    sender = Sender(spool, hub, "plant-1", clock)
    await spool.put([document(n) for n in range(20)])
    await all_sent(sender)
    assert hub.taken == ids(*range(7), *range(8, 20))
    state = await spool.state()
    assert (state.readings, state.refused_total) == (0, 1)


async def test_a_hub_that_refuses_everything_is_at_fault_itself(spool: Spool, clock: ManualClock) -> None:
    hub = Hub()
    hub.refuses = lambda _: True
    sender = Sender(spool, hub, "plant-1", clock)
    await spool.put([document(n) for n in range(100)])
    with pytest.raises(HubAway, match="refuses every reading"):
        await all_sent(sender)
    assert (await spool.state()).readings == 100 - MOST_REFUSED
    hub.refuses = lambda _: False
    await all_sent(sender)
    assert len(hub.taken) == 100 - MOST_REFUSED


async def test_the_loss_is_told_once(tmp_path: Path, clock: ManualClock) -> None:
    spool = Spool.open(tmp_path / "small.db", clock, max_bytes=50_000, max_days=30)
    hub = Hub()
    for n in range(300):
        await spool.put([document(n, padding=200)])
    await all_sent(Sender(spool, hub, "plant-1", clock))
    assert hub.lost > 0
    assert hub.lost + len(hub.taken) == 300
    assert (await spool.state()).lost_total == hub.lost
    await spool.close()


def test_pauses_grow_to_a_bound_and_end(clock: ManualClock) -> None:
    link = HubLink("sending", clock, chance=lambda: 1.0)
    pauses = [link.failed(HubAway("It is away.")) for _ in range(20)]
    assert pauses[:4] == [1, 2, 4, 8]
    assert max(pauses) == SCOUT_PAUSE
    assert link.failed(HubAway("Busy.", retry_after=90)) == 90
    link.works()
    assert link.away_since is None
    assert link.failed(HubAway("It is away.")) == 1


# Assignments on disk -------------------------------------------------------------------------------------------------


async def test_assignments_are_kept(tmp_path: Path) -> None:
    kept = KeptAssignments(tmp_path / "relay" / "assignments.json", "plant-1")
    assert await kept.load() is None
    first = Assignments(relay_id="plant-1", etag="a", devices=(device("oven-1", credential_ref="key"),))
    await kept.keep(first)
    await kept.keep(first.model_copy(update={"etag": "b"}))
    found = await KeptAssignments(tmp_path / "relay" / "assignments.json", "plant-1").load()
    assert found is not None
    assert (found.etag, found.devices) == ("b", first.devices)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"v": 2}'])
async def test_assignments_that_are_broken_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "assignments.json").write_text(text)
    assert await KeptAssignments(tmp_path / "assignments.json", "plant-1").load() is None


async def test_assignments_of_another_relay_are_none(tmp_path: Path) -> None:
    await KeptAssignments(tmp_path / "a.json", "plant-1").keep(Assignments(relay_id="plant-1", etag="a"))
    assert await KeptAssignments(tmp_path / "a.json", "plant-2").load() is None
