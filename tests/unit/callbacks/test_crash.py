"""The heart: the process dies at every single step, and nothing is lost, nothing stays stuck.

A first life runs into its fate at the n-th point; a second one goes on over the same folder. The publisher sends again
what it got no answer for, or does not.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from shared.callbacks.document import OPEN, QUEUE
from shared.callbacks.model import NewCallback
from shared.clock import ManualClock
from shared.errors import NotFound
from shared.events import Event
from shared.services import Services
from shared.storage import Query, every
from tests.unit.callbacks.conftest import ENGINEER
from tests.unit.callbacks.mortal import CrashNow, Fate, alive, work_off
from tests.unit.callbacks.receiver import Notification, Receiver

EVENTS = ("quick", "fails-once", "fails-always")
RETRIES = 2


class World:
    """What survives every death: the folder, the clock, the receiver, the publisher's knowledge."""

    def __init__(self, folder: Path, clock: ManualClock, receiver: Receiver) -> None:
        self.folder = folder
        self.clock = clock
        self.receiver = receiver
        self.acknowledged: set[str] = set()
        self.tries: Counter[str] = Counter()
        receiver.answer = self._answer

    def _answer(self, notification: Notification) -> int:
        name = notification.webhook_id[33:]
        self.tries[notification.webhook_id] += 1
        if name == "fails-always":
            return 500
        return 503 if name == "fails-once" and self.tries[notification.webhook_id] == 1 else 200

    async def register(self) -> None:
        """Two callbacks, made in peace."""
        async with alive(self.folder, self.clock) as house:
            for path in ("/a", "/b"):
                wanted = NewCallback("EXTERNAL", self.receiver.url + path, max_retries=RETRIES)
                await house.callbacks.create(wanted, caller=ENGINEER)

    async def live(self, house: Services, *, publishing: bool = True) -> None:
        """Publish what is not acknowledged, work, let time pass, sweep."""
        for name in EVENTS if publishing else ():
            if name not in self.acknowledged:
                await house.events.publish(Event(id=name, type="EXTERNAL", timestamp=self.clock.now()))
                self.acknowledged.add(name)
        for _ in range(RETRIES + 2):
            await work_off(house)
            self.clock.advance(10.1)

    async def afterlife(self, *, publishing: bool) -> None:
        """A new process over the same folder, until everything has had its time, twice swept."""
        async with alive(self.folder, self.clock) as house:
            await self.live(house, publishing=publishing)
            for _ in range(3):
                self.clock.advance(200)
                await house.deliveries.sweep()
                await self.live(house, publishing=False)

    async def check(self) -> None:
        """Everything acknowledged has ended as it should; nothing is stuck; duplicates are few."""
        async with alive(self.folder, self.clock) as house:
            documents = [s.document async for s in every(house.store, "deliveries", Query())]
            depth = await house.receiver.depth(QUEUE)
            assert (depth.active, depth.scheduled, depth.locked, depth.dead_lettered) == (0, 0, 0, 0)
        ended: dict[str, list[dict[str, Any]]] = {name: [] for name in EVENTS}
        for document in documents:
            assert document["status"] not in OPEN, document
            ended[document["id"][2:]].append(document)
        for name in self.acknowledged:
            expected = "discarded" if name == "fails-always" else "confirmed"
            assert [d["status"] for d in ended[name]] == [expected] * 2, name
        for webhook_id, count in self.tries.items():
            name = webhook_id[33:]
            usual = {"quick": 1, "fails-once": 2, "fails-always": RETRIES + 1}[name]
            assert usual <= count <= usual + 1, f"{webhook_id} was tried {count} times"


async def _world(folder: Path, clock: ManualClock, receiver: Receiver) -> World:
    receiver.seen.clear()
    world = World(folder, clock, receiver)
    await world.register()
    return world


async def _points(tmp_path: Path, clock: ManualClock, receiver: Receiver) -> Fate:
    """How many points an undisturbed life has."""
    world = await _world(tmp_path / "undisturbed", clock, receiver)
    fate = Fate()
    async with alive(world.folder, clock, fate) as house:
        await world.live(house)
    await world.check()
    return fate


@pytest.mark.parametrize("publishing", [True, False], ids=["publisher sends again", "publisher is gone"])
async def test_death_at_every_step(tmp_path: Path, clock: ManualClock, receiver: Receiver, publishing: bool) -> None:
    fate = await _points(tmp_path, clock, receiver)
    assert fate.points > 60, fate.passed
    kinds = {name.split(" ", 1)[1] for name in fate.passed}
    assert {"store.create_each", "store.patch", "sqlite_queue.send", "http.send", "sqlite_queue.complete"} <= kinds
    for point in range(fate.points):
        world = await _world(tmp_path / f"{point}", clock, receiver)
        await _die(world, point)
        await world.afterlife(publishing=publishing)
        try:
            await world.check()
        except AssertionError as error:
            raise AssertionError(f"dead at point {point}, {fate.passed[point]}: {error}") from error


async def _die(world: World, point: int) -> None:
    async with alive(world.folder, world.clock, Fate(point)) as house:
        with pytest.raises(CrashNow):
            await world.live(house)


@pytest.mark.parametrize("seed", range(10))
async def test_many_deaths(tmp_path: Path, clock: ManualClock, receiver: Receiver, seed: int) -> None:
    """Up to eight lives that each end somewhere, the sweep included."""
    chance = random.Random(seed)
    world = await _world(tmp_path / "lives", clock, receiver)
    for _ in range(8):
        async with alive(world.folder, clock, Fate(chance.randrange(1, 50))) as house:
            try:
                await house.deliveries.sweep()
                await world.live(house)
                clock.advance(200)
                await house.deliveries.sweep()
                await work_off(house)
            except CrashNow:
                pass
    await world.afterlife(publishing=True)
    async with alive(world.folder, clock) as house:
        statuses = {s.document["status"] async for s in every(house.store, "deliveries", Query())}
    assert statuses == {"confirmed", "discarded"}, f"seed {seed}"
    assert world.acknowledged == set(EVENTS)
    delivered = {webhook_id[33:] for webhook_id in world.tries}
    assert delivered == set(EVENTS), f"seed {seed}"


# Registrations ------------------------------------------------------------------------------------------------------


async def _left(house: Services) -> tuple[int, int]:
    """Documents and secrets of callbacks."""
    documents = [s async for s in every(house.store, "callbacks", Query())]
    secrets = [s for s in await house.vault.list() if s.name.startswith("cb-")]
    return len(documents), len(secrets)


async def test_death_while_registering(tmp_path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """Either it is there and works, or nothing of it is left."""
    wanted = NewCallback("EXTERNAL", receiver.url + "/a")
    point, done = 0, False
    while not done:
        folder = tmp_path / str(point)
        async with alive(folder, clock, Fate(point)) as house:
            try:
                await house.callbacks.create(wanted, caller=ENGINEER)
                done = True
            except CrashNow:
                pass
        clock.advance(700)
        async with alive(folder, clock) as house:
            await house.deliveries.sweep()
            page = await house.callbacks.list()
            assert await _left(house) == ((1, 1) if page.items else (0, 0)), point
            if page.items:
                await house.callbacks.test(page.items[0].id, caller=ENGINEER)
                await work_off(house)
                assert receiver.at("/a"), point
                receiver.seen.clear()
        point += 1
    assert point > 6


async def test_death_while_deleting(tmp_path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """Either it is still there, or it goes away completely with a reason on what waited."""
    point, done = 0, False
    while not done:
        folder = tmp_path / str(point)
        async with alive(folder, clock) as house:
            callback = await house.callbacks.create(NewCallback("EXTERNAL", receiver.url + "/a"), caller=ENGINEER)
            await house.events.publish(Event(id="E", type="EXTERNAL", timestamp=clock.now()))
        async with alive(folder, clock, Fate(point)) as house:
            try:
                await house.callbacks.delete(callback.id, caller=ENGINEER)
                done = True
            except CrashNow:
                pass
        async with alive(folder, clock) as house:
            await house.deliveries.sweep()
            delivery = (await house.store.read("deliveries", (callback.id,), "d:E")).document
            try:
                await house.callbacks.get(callback.id)
                assert (await _left(house), delivery["status"]) == ((1, 1), "pending"), point
            except NotFound:
                assert (await _left(house), delivery.get("discardReason")) == ((0, 0), "callback_deleted"), point
        point += 1
    assert point > 6
