"""Commands: fetched once, answered once, and a sentence for whoever waited in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from shared.errors import NotFound, PayloadTooLarge, RelaySilent
from shared.relay.hub_commands import CommandBroker
from shared.relay.messages import Command, CommandAnswer, Heartbeat
from shared.services import Services
from tests.unit.relay.conftest import ANNA, Hub, beat

PATH = "/api/v1/relays/hall-1"


@pytest.fixture
async def online(hub: Hub) -> Hub:
    """The relay was heard just now."""
    await hub.house.relay_hub.watch.heard("hall-1", Heartbeat.model_validate(beat(hub.clock.now())))
    return hub


def broker_of(house: Services) -> CommandBroker:
    """Another process's: it hears no bell of ours."""
    return CommandBroker(house.store, house.relays, house.clock, look_every=0.01)


async def ask(broker: CommandBroker, seconds: float = 5.0, **how: Any) -> CommandAnswer:
    wanted: dict[str, Any] = {"equipment_id": "OVEN-1", "body": {}, "actor": ANNA.actor} | how
    return await broker.ask("hall-1", wanted.pop("kind", "read_now"), seconds=seconds, **wanted)


async def fetched(broker: CommandBroker, wait: float = 5.0) -> Sequence[Command]:
    return (await broker.give("hall-1", wait)).commands


def answer_to(command: Command, hub: Hub, **body: Any) -> CommandAnswer:
    return CommandAnswer(id=command.id, ok=True, body=body, at=hub.clock.now())


@pytest.mark.parametrize("processes", ["one", "three"])
async def test_there_and_back(online: Hub, processes: str) -> None:
    one = online.house.relay_hub.commands
    asking, giving, taking = (one,) * 3 if processes == "one" else [broker_of(online.house) for _ in range(3)]
    waiting = asyncio.create_task(fetched(giving))
    asked = asyncio.create_task(ask(asking, kind="write", body={"signal": "light", "value": True}))
    (command,) = await waiting
    assert (command.kind, command.equipment_id, command.body) == ("write", "OVEN-1", {"signal": "light", "value": True})
    assert command.actor == ANNA.actor
    assert (command.expires_at - online.clock.now()).total_seconds() == 5.0
    await taking.answered("hall-1", answer_to(command, online, after=1))
    assert (await asked).body == {"after": 1}


async def test_each_is_given_out_once_however_many_ask(online: Hub) -> None:
    brokers = [broker_of(online.house) for _ in range(4)]
    asked = [asyncio.create_task(ask(broker_of(online.house))) for _ in range(10)]
    got: list[Command] = []

    async def fetch(broker: CommandBroker) -> None:
        while len(got) < 10:
            got.extend(await fetched(broker, 0.05))

    async with asyncio.timeout(10):
        await asyncio.gather(*(fetch(broker) for broker in brokers))
    assert len({command.id for command in got}) == len(got) == 10
    for command in got:
        await brokers[0].answered("hall-1", answer_to(command, online))
    await asyncio.gather(*asked)


async def test_a_silent_relay_is_said_at_once_with_since_when(online: Hub) -> None:
    online.clock.advance(181)
    with pytest.raises(RelaySilent, match=r"silent since 2026-11-21T10:00:00\.000Z"):
        await ask(online.house.relay_hub.commands)
    assert await fetched(online.house.relay_hub.commands, 0) == (), "nothing was written down for it"


async def test_a_relay_that_was_never_heard(hub: Hub) -> None:
    with pytest.raises(RelaySilent, match="never heard"):
        await ask(hub.house.relay_hub.commands)


async def test_not_fetched_in_time_it_is_never_done(online: Hub) -> None:
    broker = broker_of(online.house)
    with pytest.raises(RelaySilent, match=r"last heartbeat came at 2026.*It was not fetched, and will not be done\."):
        await ask(broker, 0.05)
    assert await fetched(broker, 0) == ()


async def test_fetched_and_not_answered_it_may_have_been_done(online: Hub) -> None:
    broker = broker_of(online.house)
    asked = asyncio.create_task(ask(broker, 0.3))
    (command,) = await fetched(broker)
    with pytest.raises(RelaySilent, match="may have been done"):
        await asked
    assert await fetched(broker, 0) == (), "never twice"
    await broker.answered("hall-1", answer_to(command, online))  # too late, and no error


async def test_what_has_expired_is_not_given_out(online: Hub) -> None:
    broker = broker_of(online.house)
    asked = asyncio.create_task(ask(broker, 0.3))
    await asyncio.sleep(0.05)
    online.clock.advance(1)
    assert await fetched(broker, 0) == ()
    with pytest.raises(RelaySilent):
        await asked


async def test_the_first_answer_counts(online: Hub) -> None:
    broker = broker_of(online.house)
    asked = asyncio.create_task(ask(broker))
    (command,) = await fetched(broker)
    await broker.answered("hall-1", answer_to(command, online, n=1))
    await broker.answered("hall-1", answer_to(command, online, n=2))
    assert (await asked).body == {"n": 1}
    stored = await online.house.store.read("relayCommands", ("hall-1",), command.id)
    assert stored.document["answer"]["body"] == {"n": 1}


async def test_answers_to_what_nobody_asked(online: Hub) -> None:
    broker = broker_of(online.house)
    with pytest.raises(NotFound):
        await broker.answered("hall-1", CommandAnswer(id="NOBODY", ok=True, at=online.clock.now()))
    asked = asyncio.create_task(ask(broker, 0.5))
    (command,) = await fetched(broker)
    with pytest.raises(NotFound):
        await broker.answered("hall-2", answer_to(command, online))
    with pytest.raises(PayloadTooLarge):
        await broker.answered("hall-1", answer_to(command, online, text="x" * 1_600_000))
    with pytest.raises(RelaySilent):
        await asked


async def test_over_the_api(online: Hub) -> None:
    assert (await online.relay.get(f"{PATH}/commands?wait=0")).json() == {"v": 1, "commands": []}
    assert (await online.relay.get(f"{PATH}/commands?wait=21")).status == 400
    assert (await online.api.get(f"{PATH}/commands")).status == 403
    asked = asyncio.create_task(ask(online.house.relay_hub.commands))
    (command,) = (await online.relay.get(f"{PATH}/commands?wait=5")).json()["commands"]
    body = {"v": 1, "id": command["id"], "ok": True, "body": {"x": 1}, "at": "2026-11-21T10:00:00Z"}
    wrong = await online.relay.post(f"{PATH}/commands/{'0' * 32}/answer", json=body)
    assert wrong.status == 400
    assert (await online.api.post(f"{PATH}/commands/{command['id']}/answer", json=body)).status == 403
    assert (await online.relay.post(f"{PATH}/commands/{command['id']}/answer", json=body)).status == 204
    assert (await asked).body == {"x": 1}
    unknown = body | {"id": "0" * 32}
    assert (await online.relay.post(f"{PATH}/commands/{'0' * 32}/answer", json=unknown)).status == 404
