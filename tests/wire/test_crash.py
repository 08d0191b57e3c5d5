"""The delivery protocol over Azure's SDKs: the process dies at every step, the next one goes on, nothing is lost.

The world of ``tests/unit/callbacks/world.py`` stands over the protocol servers; a process that "dies" raises at every
later call, and what it held - locks, half-done writes - stays with the servers, as it would. Worlds run side by side,
because most of a life over AMQP is waiting: each has a database, a namespace, a clock and a receiver of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from shared.azure_connections import AzureConnections
from shared.callbacks.document import QUEUE
from shared.clock import ManualClock
from tests.unit.callbacks.mortal import CrashNow, Fate
from tests.unit.callbacks.receiver import receiving
from tests.unit.callbacks.world import World
from tests.wire.azure import AzureWire
from tests.wire.service_bus import ServiceBusServer

PARTS = 4
"""The points are shared out among so many tests, every fourth to each; `make test` runs the first, `make soak` all;"""
SIDE_BY_SIDE = 10
"""and each of them runs so many worlds at a time."""


@pytest.fixture
def azure(clock: ManualClock) -> Iterator[AzureWire]:
    with AzureWire(clock=clock) as wire:
        yield wire


@asynccontextmanager
async def _world(azure: AzureWire, folder: Path, name: str) -> AsyncIterator[World]:
    """A world of its own in this Azure, its callbacks registered."""
    clock = ManualClock(datetime(2026, 11, 21, 10, tzinfo=UTC))
    azure.cosmos.create_topology(name)
    async with receiving() as receiver:
        with ServiceBusServer(clock=clock) as namespace:
            own = AzureConnections.from_environment({"ServiceBusConnection": namespace.connection_string})
            connections = replace(azure.connections, service_bus=own.service_bus)
            due = partial(namespace.depth, QUEUE)
            world = World(folder / name, clock, receiver, connections, database=name, due=due)
            await world.register()
            yield world


async def _undisturbed(azure: AzureWire, folder: Path) -> Fate:
    fate = Fate()
    async with _world(azure, folder, "undisturbed") as world:
        async with world.alive(fate) as house:
            await world.live(house)
        await world.check()
    return fate


async def test_an_undisturbed_life(azure: AzureWire, tmp_path: Path) -> None:
    fate = await _undisturbed(azure, tmp_path)
    kinds = {name.split(" ", 1)[1] for name in fate.passed}
    assert {"store.create_each", "store.patch", "queue.send", "http.send", "queue.complete"} <= kinds
    assert azure.cosmos.cross_partition_orders == []


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.soak) for part in range(1, PARTS))])
async def test_death_at_every_step(azure: AzureWire, tmp_path: Path, part: int) -> None:
    fate = await _undisturbed(azure, tmp_path)
    places = asyncio.Semaphore(SIDE_BY_SIDE)

    async def die(point: int) -> None:
        async with places, _world(azure, tmp_path, f"point-{point}") as world:
            async with world.alive(Fate(point)) as house:
                with pytest.raises(CrashNow):
                    await world.live(house)
            await world.afterlife(publishing=bool(point // PARTS % 2))
            try:
                await world.check()
            except AssertionError as error:
                raise AssertionError(f"dead at point {point}, {fate.passed[point]}: {error}") from error

    async with asyncio.TaskGroup() as deaths:
        for point in range(part, fate.points, PARTS):
            deaths.create_task(die(point))
