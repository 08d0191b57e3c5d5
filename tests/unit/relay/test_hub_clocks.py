"""A relay's clock is not the hub's: what a command has left travels as seconds."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from shared.clock import ManualClock
from shared.relay.hub_commands import CommandBroker
from shared.relay.messages import Command, Heartbeat
from tests.unit.relay.conftest import ANNA, Hub, beat
from tests.unit.relay.plant_house import Ovens, plant
from tests.unit.relay.test_plant_commands import House


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
async def test_a_relay_whose_clock_is_off_does_what_is_wanted(
    hub: Hub, clock: ManualClock, tmp_path: Path, ahead: float
) -> None:
    await hub.house.relay_hub.watch.heard("hall-1", Heartbeat.model_validate(beat(clock.now())))
    broker = CommandBroker(hub.house.store, hub.house.relays, clock, look_every=0.01)
    asked = asyncio.create_task(
        broker.ask("hall-1", "read_now", equipment_id="oven-1", body={}, actor=ANNA.actor, seconds=20)
    )
    (command,) = (await broker.give("hall-1", 5)).commands
    assert command.valid_seconds == 20.0
    theirs = ManualClock(clock.now() + timedelta(seconds=ahead))
    ovens = Ovens(theirs)
    ovens.add("oven-1")
    here = plant(tmp_path / "relay", theirs, ovens)
    try:
        answer = await fetched_and_done(House(here, theirs), command)
    finally:
        await here.spool.close()
    assert answer == (True, None)
    asked.cancel()
    await asyncio.wait({asked})


async def fetched_and_done(house: House, command: Command) -> tuple[bool, object]:
    house.hub.waiting = [[command]]
    running = asyncio.create_task(house.loop.run())
    async with asyncio.timeout(10):
        while not house.hub.answers:  # noqa: ASYNC110 - the other task answers
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait({running})
    return house.hub.answers[0].ok, house.hub.answers[0].error
