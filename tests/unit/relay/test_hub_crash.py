"""The hub dies at every single step while batches of a relay are on their way: nothing is lost, nothing is there twice.

A first life takes what the relay sends, at the door and out of the queue, and ends at its n-th step; the relay sends
again what was not acknowledged; a second life over the same folder takes what is left.
"""

from __future__ import annotations

import contextlib
import random
import shutil
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from shared.alerts.rule_forms import NewRule
from shared.clock import ManualClock
from shared.events.catalogue import ALERT_RAISED
from shared.relay.hub_intake import QUEUE
from shared.relay.messages import ReadingBatch, pack
from shared.relay.signing import SIGNATURE
from shared.services import Services
from shared.storage import Query, every
from tests.unit.callbacks.mortal import CrashNow, Fate, alive
from tests.unit.relay.conftest import ANNA, Hub
from tests.unit.relay.test_hub_intake import HOT


@dataclass
class World:
    """A relay whose hub dies."""

    folder: Path
    clock: ManualClock
    token: str
    batches: list[ReadingBatch]
    acknowledged: set[str] = field(default_factory=set)

    async def live(self, house: Services) -> None:
        """The relay sends, in order, what it has no answer for; the host runs the queue's function."""
        for batch in self.batches:
            if batch.message_id not in self.acknowledged:
                await house.relay_hub.intake.accept("hall-1", pack(batch), token=self.token)
                self.acknowledged.add(batch.message_id)
            await work_off(house, most=1)
        await work_off(house)

    async def check(self) -> None:
        """Every reading is there, once; the alert was told once; nothing was given up or doubted."""
        sent = {reading["id"] for batch in self.batches for reading in batch.readings}
        async with alive(self.folder, self.clock) as house:
            stored = [s.document async for s in every(house.store, "readings", Query(limit=1000))]
            assert sorted(document["id"] for document in stored) == sorted(sent)
            raised = {
                (s.document["id"], s.document["data"]["alert_id"])
                async for s in every(house.store, "events", Query(limit=1000))
                if s.document["type"] == ALERT_RAISED
            }
            assert len({alert for _, alert in raised}) == 1, raised
            assert await house.receiver.dead_letters(QUEUE, 10) == []
            assert (await house.receiver.depth(QUEUE)).active == 0
            assert (await house.relays.get("hall-1")).doubted.count == 0


async def work_off(house: Services, most: int = 1_000) -> None:
    """What the host does, one message after the other."""
    while most and (await house.receiver.depth(QUEUE)).active:
        [received] = await house.receiver.receive(QUEUE, 1)
        await house.relay_hub.intake.arrived(
            received.body,
            message_id=received.message_id,
            signature=received.properties.get(SIGNATURE),
            enqueued_at=received.enqueued_at,
        )
        await house.receiver.complete(QUEUE, received)
        most -= 1


@pytest.fixture
async def hall(tmp_path: Path, clock: ManualClock) -> World:
    """A hub with a relay, a machine and a rule."""
    folder = tmp_path / "hall"
    async with alive(folder, clock) as house:
        _, token = await house.relays.create("hall-1", name="x", site=None, caller=ANNA)
        hub = Hub(house, clock, None, token)  # type: ignore[arg-type]
        await hub.machine("OVEN-1")
        await house.alert_rules.create("OVEN-1", NewRule.model_validate(HOT), ANNA)
        batches = [
            hub.batch(hub.reading("OVEN-1", -40, 180), hub.reading("OVEN-1", -30, 260), first=1),
            hub.batch(hub.reading("OVEN-1", -20, 270), first=3, priority="alarm"),
        ]
    return World(folder, clock, token, batches)


def copy(hall: World, to: Path) -> World:
    shutil.copytree(hall.folder, to)
    return World(to, ManualClock(hall.clock.now()), hall.token, hall.batches)


@pytest.mark.long
async def test_death_at_every_step(hall: World, tmp_path: Path) -> None:
    world, fate = copy(hall, tmp_path / "undisturbed"), Fate()
    async with alive(world.folder, world.clock, fate) as house:
        await world.live(house)
    await world.check()
    assert {"queue.send", "queue.complete", "store.create"} <= {name.split(" ", 1)[1] for name in fate.passed}
    for point in range(fate.points):
        world = copy(hall, tmp_path / f"{point}")
        async with alive(world.folder, world.clock, Fate(point)) as house:
            with pytest.raises(CrashNow):
                await world.live(house)
        world.clock.advance(timedelta(seconds=61).total_seconds())  # locks end
        async with alive(world.folder, world.clock) as house:
            await world.live(house)
        try:
            await world.check()
        except AssertionError as error:
            raise AssertionError(f"dead at point {point}, {fate.passed[point]}: {error}") from error
        shutil.rmtree(world.folder)


@pytest.mark.parametrize("seed", range(3))
async def test_many_deaths(hall: World, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    world = copy(hall, tmp_path / f"{seed}")
    for _ in range(6):
        async with alive(world.folder, world.clock, Fate(chance.randrange(1, 40))) as house:
            with contextlib.suppress(CrashNow):
                await world.live(house)
        world.clock.advance(61)
    async with alive(world.folder, world.clock) as house:
        await world.live(house)
    await world.check()
