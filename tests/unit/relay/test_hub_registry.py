"""Relays and their tokens, also when the process dies halfway."""

from __future__ import annotations

from typing import Any

import pytest

from shared.errors import Conflict, NotFound, Unauthorized, Unavailable
from shared.relay.hub_model import Relay
from shared.services import Services
from tests.unit.relay.conftest import ANNA, Hub


async def opens(house: Services, token: str) -> bool:
    try:
        caller = await house.access.identify({"authorization": f"Bearer {token}"}, key_checked=False)
    except Unauthorized:
        return False
    assert caller is not None
    assert (caller.id, caller.how, caller.roles) == ("relay:hall-1", "relay_token", frozenset())
    return True


async def test_a_token_is_the_relays_and_has_no_role(hub: Hub) -> None:
    assert await opens(hub.house, hub.token)
    entries = (await hub.api.get("/api/v1/audit?stream=relay:hall-1")).json()["entries"]
    assert [(e["action"], e["after"]) for e in entries] == [
        ("relay.created", {"name": "Madrid, hall 1", "site": "madrid"})
    ]
    assert hub.token[20:] not in (await hub.api.get("/api/v1/audit")).body.decode()


async def test_the_same_id_twice(hub: Hub) -> None:
    with pytest.raises(Conflict, match="hall-1"):
        await hub.house.relays.create("hall-1", name="x", site=None, caller=ANNA)
    assert await opens(hub.house, hub.token), "the first one is unharmed"


async def test_a_rotated_token_works_and_the_old_one_does_not(hub: Hub) -> None:
    assert await opens(hub.house, hub.token)
    _, fresh = await hub.house.relays.rotate("hall-1", ANNA)
    assert await opens(hub.house, fresh)
    assert not await opens(hub.house, hub.token)


async def test_a_token_that_nobody_ever_saw_goes_with_the_next_rotation(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = hub.house.access.tokens
    made: list[str] = []
    create = tokens.create

    async def dies(**how: Any) -> Any:
        made.append((await create(**how))[1])
        raise Unavailable("The process died here.")

    monkeypatch.setattr(tokens, "create", dies)
    with pytest.raises(Unavailable):
        await hub.house.relays.rotate("hall-1", ANNA)
    monkeypatch.undo()
    assert await opens(hub.house, hub.token), "nothing was given out, so the old one goes on"
    _, fresh = await hub.house.relays.rotate("hall-1", ANNA)
    assert await opens(hub.house, fresh)
    assert not await opens(hub.house, made[0])
    assert not await opens(hub.house, hub.token)


async def test_a_relay_that_is_gone_has_no_token(hub: Hub) -> None:
    await hub.house.relays.delete("hall-1", ANNA)
    assert not await opens(hub.house, hub.token)
    assert not await hub.house.relays.exists("hall-1")
    with pytest.raises(NotFound):
        await hub.house.relays.rotate("hall-1", ANNA)


async def test_what_is_stored_comes_back(hub: Hub) -> None:
    relay = await hub.house.relays.get("hall-1")
    assert Relay.from_document(relay.to_document()) == relay
    assert [r.id for r in await hub.house.relays.every()] == ["hall-1"]
    assert relay.standing(hub.clock.now()) == "never_seen"
