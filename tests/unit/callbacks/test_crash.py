"""The heart: the process dies at every single step, and nothing is lost, nothing stays stuck.

A first life runs into its fate at the n-th point; a second one goes on over the same folder. The publisher sends again
what it got no answer for, or does not.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from shared.callbacks.model import NewCallback
from shared.clock import ManualClock
from shared.errors import NotFound
from shared.events import Event
from shared.services import Services
from shared.storage import Query, every
from tests.unit.callbacks.conftest import ENGINEER
from tests.unit.callbacks.mortal import CrashNow, Fate, alive, work_off
from tests.unit.callbacks.receiver import Receiver
from tests.unit.callbacks.world import EVENTS, World

pytestmark = pytest.mark.long


async def _world(folder: Path, clock: ManualClock, receiver: Receiver) -> World:
    world = World(folder, clock, receiver)
    await world.register()
    return world


async def _points(tmp_path: Path, clock: ManualClock, receiver: Receiver) -> Fate:
    """How many points an undisturbed life has."""
    world = await _world(tmp_path / "undisturbed", clock, receiver)
    fate = Fate()
    async with world.alive(fate) as house:
        await world.live(house)
    await world.check()
    return fate


@pytest.mark.parametrize(
    "publishing",
    [
        pytest.param(True, id="publisher sends again"),
        pytest.param(False, id="publisher is gone", marks=pytest.mark.soak),
    ],
)
async def test_death_at_every_step(tmp_path: Path, clock: ManualClock, receiver: Receiver, publishing: bool) -> None:
    fate = await _points(tmp_path, clock, receiver)
    assert fate.points > 60, fate.passed
    kinds = {name.split(" ", 1)[1] for name in fate.passed}
    assert {"store.create_each", "store.patch", "queue.send", "http.send", "queue.complete"} <= kinds
    for point in range(fate.points):
        world = await _world(tmp_path / f"{point}", clock, receiver)
        await _die(world, point)
        await world.afterlife(publishing=publishing)
        try:
            await world.check()
        except AssertionError as error:
            raise AssertionError(f"dead at point {point}, {fate.passed[point]}: {error}") from error


async def _die(world: World, point: int) -> None:
    async with world.alive(Fate(point)) as house:
        with pytest.raises(CrashNow):
            await world.live(house)


@pytest.mark.parametrize("seed", range(10))
async def test_many_deaths(tmp_path: Path, clock: ManualClock, receiver: Receiver, seed: int) -> None:
    """Up to eight lives that each end somewhere, the sweep included."""
    chance = random.Random(seed)
    world = await _world(tmp_path / "lives", clock, receiver)
    for _ in range(8):
        async with world.alive(Fate(chance.randrange(1, 50))) as house:
            try:
                await house.deliveries.sweep()
                await world.live(house)
                clock.advance(200)
                await house.deliveries.sweep()
                await work_off(house)
            except CrashNow:
                pass
    await world.afterlife(publishing=True)
    async with world.alive() as house:
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
