"""A bad morning in the plant, in simulated time: the hub is away for more than an hour, and meanwhile everything else
goes wrong too. Both halves are the real ones; between them is the hub's own door.

A ledger is kept of every reading that was taken. In the end the hub has exactly these, each once, with its own time.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.clock import ManualClock, iso, parse_iso
from shared.relay.messages import ReadingBatch, unpack
from shared.relay.plant_machine import Machine, Plant
from shared.relay.plant_sender import Sender
from shared.relay.uplink import HubAway, HubRefused
from shared.signals import Quality, Reading
from shared.storage import Query, every
from tests.unit.relay.conftest import Hub
from tests.unit.relay.plant_house import Behaviour, Oven, Ovens, device, plant, sound

MACHINES = ("OVEN-1", "OVEN-2", "OVEN-3", "OVEN-4")
SECONDS = 4
"""Simulated, between two rounds."""
HOUR = 3_600 // SECONDS
QUEUES = ("relay-ingest",)


class Door:
    """The hub's door, in this process; it can be shut, and it can swallow its answer."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.away = False
        self.loses_answers = False
        self.lost = 0

    async def send(self, batch: bytes, message_id: str) -> None:
        if self.away:
            raise HubAway("The hub is away.")
        answer = await self._hub.relay.post("/api/v1/relays/hall-1/readings", body=batch)
        if answer.status == 422:
            raise HubRefused(answer.body.decode())
        assert answer.status == 202, answer.body
        if self.loses_answers:
            self.loses_answers = False
            raise HubAway("Cut before the answer.")
        self.lost += unpack(ReadingBatch, batch).lost.history


class Site:
    """The relay's plant half over one folder; it can die and be started again."""

    def __init__(self, folder: Path, clock: ManualClock, door: Door) -> None:
        self.folder, self.clock, self.door = folder, clock, door
        self.ovens = Ovens(clock)
        for name in MACHINES:
            self.ovens.add(name)
        self.taken: dict[str, list[datetime]] = {name: [] for name in MACHINES}
        self._uneven = random.Random(7)
        self.start()

    def start(self) -> None:
        self.plant: Plant = plant(self.folder, self.clock, self.ovens)
        self.sender = Sender(self.plant.spool, self.door, "hall-1", self.clock)  # type: ignore[arg-type]
        self.machines = {name: Machine(device(name, timeout_seconds=0.05), self.plant) for name in MACHINES}

    async def die_and_start(self) -> None:
        """As after ``kill -9``: nothing is told to anybody; only the file's lock goes with the process."""
        await self.plant.spool.close()
        self.start()

    async def round(self) -> None:
        """Every machine is read once. What is on disk afterwards was taken; the rest is counted as lost."""
        before = {name: len(self.ovens.of[name].times) for name in MACHINES}
        lost = (await self.plant.spool.state()).lost_total
        await asyncio.gather(*(machine.visit() for machine in self.machines.values()))
        now = iso(self.clock.now())
        there = await self.on_disk(now)
        for name in MACHINES:
            assert len(self.ovens.of[name].times) == before[name] + 1, "each is read, whatever happens to another"
            if name in there:
                self.taken[name].append(parse_iso(now))
        assert (await self.plant.spool.state()).lost_total - lost == len(MACHINES) - len(there)
        self.clock.advance(SECONDS + self._uneven.random() / 10)

    async def on_disk(self, at: str) -> set[str]:
        rows = await self.plant.spool._file.query(
            lambda connection: connection.execute("SELECT equipment FROM waiting WHERE at = ?", (at,)).fetchall()
        )
        return {name for (name,) in rows}

    async def rounds(self, count: int) -> None:
        for _ in range(count):
            await self.round()

    async def send_all(self) -> None:
        while True:
            try:
                if not await self.sender.send_one():
                    return
            except HubAway:
                if self.door.away:
                    return


async def hangs(oven: Oven) -> Reading:
    await asyncio.sleep(60)
    raise AssertionError


async def refuses(oven: Oven) -> Reading:
    return trouble(oven, "authentication_failed", "The device refuses the password.")


async def stranger(oven: Oven) -> Reading:
    return trouble(oven, "certificate_error", "The server shows another certificate than the pinned one.")


def trouble(oven: Oven, code: str, reason: str) -> Reading:
    return Reading(oven.name, oven.clock.now(), {}, quality=Quality.BAD, reason=reason, error_code=code)


@pytest.fixture
def door(hub: Hub) -> Door:
    return Door(hub)


@pytest.fixture
async def site(hub: Hub, tmp_path: Path, clock: ManualClock, door: Door, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("shared.relay.plant_machine.GRACE_SECONDS", 0.01)
    for name in MACHINES:
        await hub.machine(name)
    made = Site(tmp_path / "relay", clock, door)
    yield made
    await made.plant.spool.close()


async def at_the_hub(hub: Hub) -> tuple[dict[str, Counter[datetime]], dict[str, list[Reading]]]:
    """What the hub has of each machine: how often each time, and the readings."""
    times: dict[str, Counter[datetime]] = {name: Counter() for name in MACHINES}
    readings: dict[str, list[Reading]] = {name: [] for name in MACHINES}
    for name in MACHINES:
        now, more = hub.clock.now(), None
        while True:
            page = await hub.house.readings.history(name, now - timedelta(days=1), now + timedelta(days=1), 1_000, more)
            times[name].update(reading.at for reading in page.readings)
            readings[name] += page.readings
            more = page.continuation
            if more is None:
                break
    return times, readings


@pytest.mark.long
async def test_an_hour_without_the_hub_and_everything_else(
    hub: Hub, site: Site, door: Door, drain: Callable[..., Awaitable[Any]]
) -> None:
    await site.rounds(30)
    await site.send_all()
    door.away = True
    await site.rounds(HOUR // 4)

    await with_trouble(site, "OVEN-2", hangs, rounds=3)  # its cable is out for twelve seconds
    await with_trouble(site, "OVEN-3", refuses, rounds=20)
    await with_trouble(site, "OVEN-4", stranger, rounds=20)
    await site.die_and_start()
    await site.rounds(HOUR // 4)

    site.clock.advance(-300)  # somebody corrects the clock
    await site.rounds(HOUR // 8)
    await site.die_and_start()
    site.clock.advance(900)
    await site.rounds(HOUR // 8)

    full = await fill_the_disk(site)
    await site.rounds(15)
    lost = (await site.plant.spool.state()).lost_total
    assert lost > 10 * len(MACHINES)
    full()
    await site.rounds(HOUR // 4)

    door.away = False
    door.loses_answers = True
    await site.send_all()
    await drain(queues=QUEUES)
    assert (await site.plant.spool.state()).readings == 0
    assert door.lost == lost, "the hub is told of the loss, once"

    times, readings = await at_the_hub(hub)
    for name in MACHINES:
        assert times[name] == Counter(site.taken[name]), f"{name}: each once, with its own time, and no other"
    of_the_cable = [reading for reading in readings["OVEN-2"] if reading.error_code]
    assert {reading.error_code for reading in of_the_cable} == {"timeout"}
    assert len(of_the_cable) == 3
    assert all(not reading.error_code for reading in readings["OVEN-1"]), "the others are unaffected"
    alerts = [s.document async for s in every(hub.house.store, "alerts", Query(limit=100))]
    assert all(alert["equipmentId"] != "OVEN-1" for alert in alerts)


async def with_trouble(site: Site, name: str, behaviour: Behaviour, rounds: int) -> None:
    oven = site.ovens.of[name]
    oven.behaviour = behaviour
    await site.rounds(rounds)
    oven.behaviour = sound
    await site.rounds(1)
    assert site.machines[name].failing is False, "it comes back without a restart"


async def fill_the_disk(site: Site) -> Callable[[], None]:
    """No page more; the answer makes room again."""
    writer = site.plant.spool._file._writer
    writer.execute("PRAGMA max_page_count=1")

    def room() -> None:
        writer.execute("PRAGMA max_page_count=1000000")

    return room
