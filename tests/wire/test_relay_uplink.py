"""The relay's way through Service Bus, step by step: duplicates, lost locks, a hub that is away or lets nobody in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from shared.azure_connections import AzureConnections
from shared.azure_identity import AzureIdentity
from shared.clock import SystemClock
from shared.errors import RelaySilent, Unavailable
from shared.messaging import Outgoing
from shared.messaging.service_bus import ServiceBusQueue
from shared.relay.messages import Assignments, Command, CommandAnswer, Heartbeat, pack
from shared.relay.queue_uplink import QUEUE, QueueUplink
from shared.relay.signing import SIGNATURE
from shared.relay.uplink import HubAway, HubShut
from shared.services import Services
from shared.settings import Settings
from tests.unit.relay.conftest import ANNA, Hub, beat
from tests.unit.relay.test_hub_intake import readings_of
from tests.wire.service_bus import ServiceBusServer
from tests.wire.test_relay import OWN, queues


class Door:
    """The hub's HTTPS, without the wire: what ``HttpUplink`` asks there."""

    def __init__(self, house: Services) -> None:
        self._house = house
        self.away: Exception | None = None
        self.hub_date: str | None = None
        self.asked = 0

    def _open(self) -> None:
        self.asked += 1
        if self.away is not None:
            raise self.away

    async def assignments(self, etag: str | None) -> Assignments | None:
        self._open()
        found = await self._house.relay_hub.assignments.of("hall-1")
        return None if found.etag == etag else found

    async def heartbeat(self, said: Heartbeat) -> None:
        self._open()
        await self._house.relay_hub.watch.heard("hall-1", said)

    async def commands(self, wait_seconds: float) -> Sequence[Command]:
        self._open()
        return (await self._house.relay_hub.commands.give("hall-1", wait_seconds)).commands

    async def answer(self, answer: CommandAnswer) -> None:
        self._open()
        await self._house.relay_hub.commands.answered("hall-1", answer)


@dataclass
class World:
    """A hub over Service Bus, and the relay's half of the way."""

    namespace: ServiceBusServer
    hub: Hub
    door: Door
    uplink: QueueUplink

    async def take(self) -> None:
        """What the host does."""
        receiver = self.hub.house.receiver
        for received in await receiver.receive(QUEUE, 8):
            await self.hub.house.relay_hub.intake.arrived(
                received.body,
                message_id=received.message_id,
                signature=received.properties.get(SIGNATURE),
                enqueued_at=received.enqueued_at,
            )
            await receiver.complete(QUEUE, received)

    async def hears(self) -> None:
        """A heartbeat, and the assignments."""
        now = self.hub.clock.now()
        await self.uplink.heartbeat(Heartbeat.model_validate(beat(now)))
        await self.uplink.assignments(None)

    def asks(self, seconds: float = 10.0) -> asyncio.Task[CommandAnswer]:
        """Somebody wants something of the relay."""
        return asyncio.create_task(
            self.hub.house.relay_hub.commands.ask(
                "hall-1", "read_now", equipment_id="OVEN-1", body={}, actor=ANNA.actor, seconds=seconds
            )
        )

    def said(self, command: Command) -> CommandAnswer:
        return CommandAnswer(id=command.id, ok=True, at=self.hub.clock.now())

    async def until_settled(self) -> None:
        async with asyncio.timeout(10):
            while self.namespace.depth(OWN, "all"):  # noqa: ASYNC110 - another thread counts
                await asyncio.sleep(0.01)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock: Any = SystemClock()
    with ServiceBusServer(queues=queues()) as namespace:
        azure = AzureConnections.from_environment({"ServiceBusConnection": namespace.connection_string})
        house = Services(Settings(data_dir=tmp_path, azure=azure, allow_private_targets=True, allow_http_targets=True))
        _, token = await house.relays.create("hall-1", name="x", site=None, caller=ANNA, commands_by="queue")
        hub = Hub(house, clock, None, token)  # type: ignore[arg-type]
        await hub.machine("OVEN-1")
        queue = ServiceBusQueue(azure.service_bus, AzureIdentity(""), clock=clock, patience_seconds=2.0)
        door = Door(house)
        uplink = QueueUplink(door, queue, queue, relay_id="hall-1", token=token, clock=clock)  # type: ignore[arg-type]
        try:
            yield World(namespace, hub, door, uplink)
        finally:
            await queue.close()
            await house.close()


# Readings ------------------------------------------------------------------------------------------------------------


async def test_a_batch_that_is_sent_twice_is_one(world: World) -> None:
    batch = world.hub.batch(world.hub.reading("OVEN-1", -1))
    for _ in range(2):
        await world.uplink.send(pack(batch), batch.message_id)
    assert world.namespace.depth(QUEUE) == 1
    await world.take()
    assert len(await readings_of(world.hub.house, "OVEN-1")) == 1


async def test_an_answer_that_is_lost_on_the_way(world: World) -> None:
    """The queue has it and the relay does not know: it is sent again, and is there once."""
    batch = world.hub.batch(world.hub.reading("OVEN-1", -1))
    world.namespace.fail("lose answer", "send", seconds=-1)
    await world.uplink.send(pack(batch), batch.message_id)
    assert world.namespace.calls("send", QUEUE) == 2
    assert world.namespace.depth(QUEUE) == 1


async def test_a_double_that_the_queue_does_not_see_changes_nothing(world: World) -> None:
    batch = world.hub.batch(world.hub.reading("OVEN-1", -2), world.hub.reading("OVEN-1", -1))
    world.namespace.fail("double", "send")
    await world.uplink.send(pack(batch), batch.message_id)
    assert world.namespace.depth(QUEUE) == 2
    while world.namespace.depth(QUEUE, "all"):
        await world.take()
    assert len(await readings_of(world.hub.house, "OVEN-1")) == 2


async def test_a_lock_that_is_lost_while_a_batch_is_taken(world: World) -> None:
    batch = world.hub.batch(world.hub.reading("OVEN-1", -2), world.hub.reading("OVEN-1", -1))
    await world.uplink.send(pack(batch), batch.message_id)
    receiver = world.hub.house.receiver
    [slow] = await receiver.receive(QUEUE, 1)
    world.namespace.advance(61)
    await world.take()  # another one, meanwhile
    await world.hub.house.relay_hub.intake.arrived(
        slow.body,
        message_id=slow.message_id,
        signature=slow.properties.get(SIGNATURE),
        enqueued_at=slow.enqueued_at,
    )
    await receiver.complete(QUEUE, slow)
    assert len(await readings_of(world.hub.house, "OVEN-1")) == 2
    assert world.namespace.depth(QUEUE, "all") == 0


async def test_readings_leave_while_the_hub_is_away(world: World) -> None:
    world.door.away = HubAway("It is away.")
    batch = world.hub.batch(world.hub.reading("OVEN-1", -1))
    await world.uplink.send(pack(batch), batch.message_id)
    with pytest.raises(HubAway):
        await world.uplink.assignments(None)
    await world.uplink.send(pack(batch), batch.message_id)
    assert world.namespace.depth(QUEUE) == 1


async def test_with_a_token_that_is_refused_readings_wait(world: World) -> None:
    world.door.away = HubShut("The hub answered 401.")
    with pytest.raises(HubShut):
        await world.uplink.assignments(None)
    batch = world.hub.batch(world.hub.reading("OVEN-1", -1))
    with pytest.raises(HubShut, match="wait here"):
        await world.uplink.send(pack(batch), batch.message_id)
    world.door.away = None
    await world.hears()
    await world.uplink.send(pack(batch), batch.message_id)


async def test_with_a_clock_that_is_ahead_readings_wait(world: World) -> None:
    world.door.hub_date = format_datetime(world.hub.clock.now() - timedelta(minutes=6), usegmt=True)
    await world.hears()
    batch = world.hub.batch(world.hub.reading("OVEN-1"))
    with pytest.raises(HubAway, match=r"36\d s ahead"):
        await world.uplink.send(pack(batch), batch.message_id)
    world.door.hub_date = format_datetime(world.hub.clock.now(), usegmt=True)
    await world.hears()
    await world.uplink.send(pack(batch), batch.message_id)


async def test_a_queue_that_is_missing_is_named(world: World) -> None:
    world.namespace.remove_queue(QUEUE)
    batch = world.hub.batch(world.hub.reading("OVEN-1"))
    with pytest.raises(HubAway, match="There is no queue relay-ingest"):
        await world.uplink.send(pack(batch), batch.message_id)
    await world.hears()
    world.namespace.remove_queue(OWN)
    with pytest.raises(HubAway, match=r"There is no queue relay-hall-1-commands.*`relays` of infra/main\.bicep"):
        await world.uplink.commands(3.0)
    with pytest.raises(Unavailable, match="nothing is done"):
        await world.asks()


# Commands ------------------------------------------------------------------------------------------------------------


async def test_a_command_is_done_with_when_its_answer_is_kept(world: World) -> None:
    await world.hears()
    before = world.door.asked
    asked = world.asks()
    [command] = await world.uplink.commands(10.0)
    assert command.kind == "read_now"
    assert world.door.asked == before + 1, "one call for one command"
    assert world.namespace.depth(OWN, "locked") == 1, "not before"
    await world.uplink.answer(world.said(command))
    assert (await asked).ok
    await world.until_settled()


async def test_a_lost_lock_does_nothing_twice(world: World) -> None:
    """The relay died after it fetched the command, or took longer than the lock: its message comes again."""
    await world.hears()
    asked = world.asks()
    [command] = await world.uplink.commands(10.0)
    world.namespace.advance(61)
    assert await world.uplink.commands(3.0) == (), "it was given out once"
    await world.uplink.answer(world.said(command))
    assert (await asked).ok
    await world.until_settled()


async def test_an_answer_that_does_not_get_through_leaves_nothing_behind(world: World) -> None:
    await world.hears()
    asked = world.asks(seconds=1.0)
    [command] = await world.uplink.commands(10.0)
    world.door.away = HubAway("It is away.")
    with pytest.raises(HubAway):
        await world.uplink.answer(world.said(command))
    with pytest.raises(RelaySilent, match="may have been done"):
        await asked
    world.door.away = None
    world.namespace.advance(61)
    assert await world.uplink.commands(3.0) == ()
    await world.until_settled()


async def test_a_hub_that_is_away_gives_the_message_back(world: World) -> None:
    await world.hears()
    asked = world.asks()
    world.door.away = HubAway("It is away.")
    with pytest.raises(HubAway):
        await world.uplink.commands(10.0)
    world.door.away = None
    [command] = await world.uplink.commands(10.0)
    await world.uplink.answer(world.said(command))
    assert (await asked).ok
    await world.until_settled()


async def test_one_that_is_too_old_is_dropped_and_whoever_asked_hears(world: World) -> None:
    await world.hears()
    with pytest.raises(RelaySilent, match="was not fetched, and will not be done"):
        await world.asks(seconds=0.3)
    assert world.namespace.depth(OWN) == 1
    assert await world.uplink.commands(5.0) == ()
    await world.until_settled()


async def test_what_is_no_message_of_ours_is_set_aside(world: World) -> None:
    await world.hears()
    await world.hub.house.queue.send(OWN, [Outgoing(b"nonsense", "n")])
    assert await world.uplink.commands(5.0) == ()
    async with asyncio.timeout(5):
        while world.namespace.depth(OWN, "dead_lettered") != 1:  # noqa: ASYNC110 - another thread counts
            await asyncio.sleep(0.01)


async def test_nothing_comes_within_the_time(world: World) -> None:
    await world.hears()
    before = world.door.asked
    assert await world.uplink.commands(0.2) == ()
    assert world.door.asked == before, "no call stands open at the hub"


async def test_a_relay_that_is_to_ask_by_http_does(world: World) -> None:
    await world.hub.house.relays.edit("hall-1", lambda relay: replace(relay, commands_by="http"), ANNA)
    await world.hears()
    asked = world.asks()
    [command] = await world.uplink.commands(10.0)
    await world.uplink.answer(world.said(command))
    assert (await asked).ok
    assert world.namespace.calls("send", OWN) == 0
