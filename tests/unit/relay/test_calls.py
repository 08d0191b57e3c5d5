"""Requests to a platform in a plant, through its relay: done there, once, and no secret on the way's papers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from shared.errors import InvalidInput
from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy
from shared.relay.call_words import new_key, seal, unseal
from shared.relay.messages import Command, CommandAnswer, Heartbeat
from shared.relay.plant_calls import SiteCalls
from shared.relay.plant_commands import CommandLoop
from shared.storage import Query, every
from tests.platforms.force_bridge import CLIENT, SECRET, FakeForceBridge
from tests.unit.relay.conftest import Hub, beat

LOGIN = {"client_id": CLIENT, "client_secret": SECRET}


class Plant:
    """The relay `hall-1` at work in this process, with its own policy."""

    def __init__(self, hub: Hub, policy: TargetPolicy) -> None:
        self._hub = hub
        self.http = OutgoingHttp(policy)
        self.answered: list[CommandAnswer] = []
        site = SiteCalls(self.http)
        self.loop = CommandLoop(None, self, hub.clock, assigned=lambda _: None, calls=site)  # type: ignore[arg-type]

    async def commands(self, wait_seconds: float) -> list[Command]:
        answer = await self._hub.relay.get(f"/api/v1/relays/hall-1/commands?wait={wait_seconds:g}")
        return [Command.model_validate(one) for one in answer.json()["commands"]]

    async def answer(self, answer: CommandAnswer) -> None:
        self.answered.append(answer)
        path = f"/api/v1/relays/hall-1/commands/{answer.id}/answer"
        assert (await self._hub.relay.post(path, body=answer.model_dump_json().encode())).status == 204


@pytest.fixture
async def force() -> AsyncIterator[FakeForceBridge]:
    server = await FakeForceBridge().start()
    yield server
    await server.stop()


@pytest.fixture
def policy() -> TargetPolicy:
    return TargetPolicy(allow_private=True, allow_http=True)


@pytest.fixture
async def plant(hub: Hub, policy: TargetPolicy) -> AsyncIterator[Plant]:
    await hub.house.relay_hub.watch.heard("hall-1", Heartbeat.model_validate(beat(hub.clock.now())))
    made = Plant(hub, policy)
    running = asyncio.create_task(made.loop.run())
    yield made
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    await made.http.close()


async def connected(hub: Hub, force: FakeForceBridge) -> None:
    options = {"base_url": force.base, "via": "hall-1"}
    wanted = {"id": "plant-1", "platform": "force_bridge", "options": options, "credentials": LOGIN}
    answer = await hub.api.post("/api/v1/connections", json=wanted)
    assert answer.status == 201, answer.json()


async def test_a_platform_in_the_plant_is_asked_and_no_secret_is_stored(
    hub: Hub, plant: Plant, force: FakeForceBridge
) -> None:
    await connected(hub, force)
    answer = (await hub.api.post("/api/v1/connections/plant-1/test")).json()
    assert answer["success"], answer
    assert force.asked == ["POST oauth/token", "GET callbacks"]
    assert len(plant.answered) == 2
    stored = json.dumps([one.document async for one in every(hub.house.store, "relayCommands", Query())])
    assert stored
    hidden = [SECRET, *force.tokens, "R2l0SHV", "oauth"]  # also as Basic
    assert [one for one in hidden if one in stored] == []


@pytest.mark.parametrize("policy", [TargetPolicy(allow_private=False, allow_http=True)])
async def test_the_relays_own_rules_hold(hub: Hub, plant: Plant, force: FakeForceBridge, policy: TargetPolicy) -> None:
    await connected(hub, force)
    answer = (await hub.api.post("/api/v1/connections/plant-1/test")).json()
    assert (answer["success"], force.asked) == (False, [])
    assert "At relay hall-1" in answer["message"]


async def test_metadata_is_refused_at_once(hub: Hub) -> None:
    options = {"base_url": "http://169.254.169.254/api/v3", "via": "hall-1"}
    wanted = {"id": "plant-1", "platform": "force_bridge", "options": options, "credentials": LOGIN}
    answer = await hub.api.post("/api/v1/connections", json=wanted)
    assert (answer.status, answer.json()["problems"][0]["field"]) == (400, "options.base_url")


async def test_a_relay_that_is_silent_is_said(hub: Hub, force: FakeForceBridge) -> None:
    await connected(hub, force)
    answer = (await hub.api.post("/api/v1/connections/plant-1/test")).json()
    assert (answer["success"], "hall-1" in answer["message"] or "Madrid" in answer["message"]) == (False, True)


def test_what_is_sealed_opens_with_its_key_alone() -> None:
    key = new_key()
    sealed = seal(key, b"x" * 1_000)
    assert unseal(key, sealed) == b"x" * 1_000
    changed = ("A" if sealed[0] != "A" else "B") + sealed[1:]
    for wrong_key, text in ((new_key(), sealed), (key, changed), (key, "%"), (key, "")):
        with pytest.raises(InvalidInput):
            unseal(wrong_key, text)
