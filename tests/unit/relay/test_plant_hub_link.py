"""A hundred relays and a hub that goes away: each finds it again within ten seconds, and they do not come as a wave."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from shared.relay.messages import Command
from shared.relay.plant_commands import CommandLoop
from shared.relay.plant_hub_link import LONGEST_PAUSE, SCOUT_PAUSE, HubLink, HubSight
from shared.relay.plant_relay import PlantRelay
from shared.relay.plant_sender import Sender
from shared.relay.uplink import HubAway
from tests.unit.relay.simulated_time import SimulatedClock, per_second, simulate

RELAYS = 100
AWAY, BACK, END = 100.0, 1000.0, 1100.0


class Hub:
    """Answers at once, or is away; notes who asked what, and when."""

    def __init__(self) -> None:
        self.asked: dict[str, list[float]] = {"assignments": [], "readings": [], "commands": []}
        self.served: dict[tuple[str, int], list[float]] = {}

    def ask(self, what: str, relay: int) -> None:
        now = asyncio.get_running_loop().time()
        self.asked[what].append(now)
        if AWAY <= now < BACK:
            raise HubAway("It is away.")
        self.served.setdefault((what, relay), []).append(now)

    def first_after(self, what: str, relay: int, moment: float) -> float:
        return next((at for at in self.served[what, relay] if at >= moment), float("inf"))


class Filled:
    """A spool in which there is always something."""

    def __init__(self) -> None:
        self.filled = asyncio.Event()
        self.filled.set()


class Sending(Sender):
    def __init__(self, hub: Hub, relay: int, clock: Any) -> None:
        super().__init__(Filled(), None, f"relay-{relay}", clock)  # type: ignore[arg-type]
        self.hub, self.relay = hub, relay

    async def send_one(self) -> int:
        self.hub.ask("readings", self.relay)
        self.link.works()
        return 1


class Commands:
    def __init__(self, hub: Hub, relay: int) -> None:
        self.hub, self.relay = hub, relay

    async def commands(self, wait_seconds: float) -> Sequence[Command]:
        self.hub.ask("commands", self.relay)
        await asyncio.sleep(wait_seconds)
        return ()


class Asking(PlantRelay):
    def __init__(self, hub: Hub, relay: int, link: HubLink) -> None:
        self.hub, self.relay, self._link = hub, relay, link

    async def refresh(self) -> None:
        self.hub.ask("assignments", self.relay)
        self._link.works()


async def plant(hub: Hub, relay: int, clock: SimulatedClock, chance: random.Random) -> None:
    sight = HubSight()
    sending = Sending(hub, relay, clock)
    commands = CommandLoop(None, Commands(hub, relay), clock, assigned=lambda _: None)  # type: ignore[arg-type]
    asking = Asking(hub, relay, HubLink("asking", clock, sight=sight, scout=True, chance=chance.random))
    for link in (sending.link, commands.link):
        link.sight, link._chance = sight, chance.random
    await asyncio.sleep(chance.random() * 15)
    await asyncio.gather(sending.run(), commands.run(), asking._follow_assignments())


@pytest.fixture(scope="module")
def hub() -> Hub:
    hub = Hub()
    chance = random.Random(4)

    async def story(clock: SimulatedClock) -> None:
        relays = [asyncio.create_task(plant(hub, relay, clock, chance)) for relay in range(RELAYS)]
        await asyncio.sleep(END)
        for task in relays:
            task.cancel()
        await asyncio.gather(*relays, return_exceptions=True)

    simulate(story)
    return hub


@pytest.mark.parametrize("what", ["assignments", "readings", "commands"])
def test_every_relay_finds_the_hub_within_ten_seconds(hub: Hub, what: str) -> None:
    waited = [hub.first_after(what, relay, BACK) - BACK for relay in range(RELAYS)]
    # A long poll that is open when the hub goes away is broken off in truth; here it ends in its own time.
    assert max(waited) <= SCOUT_PAUSE + 0.1


def test_the_hub_is_not_asked_more_while_it_is_away_than_when_it_works(hub: Hub) -> None:
    working = sum(20 <= at < AWAY for times in hub.asked.values() for at in times) / (AWAY - 20)
    away = sum(AWAY + 60 <= at < BACK for times in hub.asked.values() for at in times) / (BACK - AWAY - 60)
    assert away < 25 < working, "a dozen scouts a second, and the others now and then"
    assert per_second(hub.asked, AWAY + 60, BACK) <= 45


def test_they_come_back_one_after_the_other(hub: Hub) -> None:
    first = [hub.first_after("readings", relay, BACK) for relay in range(RELAYS)]
    assert per_second({"readings": first}, BACK, END) <= 35


def test_only_the_queue_is_away() -> None:
    """The scout finds the hub, so nobody waits long."""

    async def story(clock: SimulatedClock) -> list[float]:
        sight = HubSight()
        HubLink("asking", clock, sight=sight, scout=True).works()
        link = HubLink("sending", clock, sight=sight, chance=lambda: 1.0)
        return [link.failed(HubAway("Its queue is away.")) for _ in range(8)]

    assert max(simulate(story)) == SCOUT_PAUSE


def test_a_hub_that_says_how_long_is_not_asked_earlier() -> None:
    async def story(clock: SimulatedClock) -> tuple[float, float]:
        sight = HubSight()
        link = HubLink("sending", clock, sight=sight)
        begun = asyncio.get_running_loop().time()
        asyncio.get_running_loop().call_later(5, sight.found)
        await link.pause(HubAway("Busy.", retry_after=90))
        middle = asyncio.get_running_loop().time()
        asyncio.get_running_loop().call_later(0.1, sight.found)
        sight.out_of_sight = True
        await link.pause(HubAway("Away."))
        return middle - begun, asyncio.get_running_loop().time() - middle

    told, found = simulate(story)
    assert told >= 90
    assert found < 0.2
    assert LONGEST_PAUSE > SCOUT_PAUSE
