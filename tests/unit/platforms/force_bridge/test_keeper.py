"""The registration keeper: what is declared is there, once, whatever dies or happens twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.errors import OvenbridgeError
from shared.platforms.force_bridge.services import ForceBridgeRoom
from shared.services import Services
from tests.api import Api
from tests.platforms.force_bridge import CLIENT, SECRET, FakeForceBridge
from tests.unit.platforms.force_bridge.conftest import Connect

PHASES: dict[str, Any] = {"eventType": "OPERATION_PHASE_CHANGED", "hook_source": "force", "maxRedeliveryAttempts": 5}
STATES: dict[str, Any] = {
    "eventType": "WORKPLACE_OPERATING_STATE_CHANGED",
    "hook_source": "force",
    "objectFilter": [{"name": "id", "value": "DA892519507444768080F0E81879513"}],
    "maxRedeliveryAttempts": 7,
    "maxUnconfirmedMessages": 9,
}
KEEP = "/api/v1/connections/plant-1/registrations/keep"


async def keep(api: Api) -> dict[str, Any]:
    answer = await api.post(KEEP)
    assert answer.status == 200, answer.json()
    found: dict[str, Any] = answer.json()
    return found


def changes(force: FakeForceBridge) -> int:
    return force.count("POST callbacks") + force.count("DELETE callbacks")


async def test_what_is_declared_is_made_once(api: Api, connect: Connect, force: FakeForceBridge, hook: str) -> None:
    await connect(registrations=[PHASES, STATES])
    said = await keep(api)
    made = sorted(force.callbacks.values(), key=lambda one: one["eventType"])
    assert [(one["eventType"], one["maxRedeliveryAttempts"]) for one in made] == [
        ("OPERATION_PHASE_CHANGED", 5),
        ("WORKPLACE_OPERATING_STATE_CHANGED", 7),
    ]
    assert made[1]["objectFilter"] == STATES["objectFilter"], "31 characters, as the chapter has it"
    assert made[1]["maxUnconfirmedMessages"] == 9
    assert made[0]["eventName"] is None
    assert all(one["url"].startswith("http://127.0.0.1:7071/api/hooks/force/") for one in made)
    assert made[0]["url"] != hook, "an address of its own"
    assert said["done"]
    for _ in range(3):
        await keep(api)
    assert changes(force) == 2
    shown = await keep(api)
    assert {one["event_type"] for one in shown["registrations"]} == {one["eventType"] for one in made}
    assert made[0]["url"].rpartition("/")[2] not in str(shown)


async def test_its_address_takes_messages(api: Api, connect: Connect, force: FakeForceBridge, hook: str) -> None:
    await connect(registrations=[PHASES])
    await keep(api)
    (one,) = force.callbacks.values()
    path = one["url"].removeprefix("http://127.0.0.1:7071")
    assert (await api.post(path, json={"properties": {}})).status == 202
    assert (
        await api.post(hook.removeprefix("http://127.0.0.1:7071"), json={"properties": {"eventType": "A"}})
    ).status == 202
    assert (await api.post(path[:-1] + "x", json={})).status == 404
    await api.post("/api/v1/hook-sources/force/rotate", json={"keep_old_seconds": 0})
    assert (await api.post(path, json={"properties": {}})).status == 404
    await keep(api)
    (one,) = force.callbacks.values()
    path = one["url"].removeprefix("http://127.0.0.1:7071")
    assert (await api.post(path, json={"properties": {"eventType": "B"}})).status == 202


async def test_drift_is_repaired_and_others_are_left_alone(
    api: Api, connect: Connect, force: FakeForceBridge, hook: str
) -> None:
    other = {"id": "X", "eventType": "TOOL_UPDATED", "url": "http://somebody-else/", "objectFilter": []}
    force.callbacks["X"] = dict(other)
    await connect(registrations=[PHASES, STATES])
    await keep(api)
    mine = [name for name in force.callbacks if name != "X"]
    force.callbacks[mine[0]]["maxRedeliveryAttempts"] = 1  # somebody changed it
    del force.callbacks[mine[1]]  # and deleted the other
    await keep(api)
    await keep(api)
    assert sorted(one.get("maxRedeliveryAttempts", 0) for one in force.callbacks.values()) == [0, 5, 7]
    twin = {**next(one for one in force.callbacks.values() if one["id"] != "X"), "id": "Y", "creationDate": "2027"}
    force.callbacks["Y"] = twin  # a second one of a kind
    await keep(api)
    assert "Y" not in force.callbacks
    await connect(registrations=[])
    await keep(api)
    assert force.callbacks == {"X": other}


async def test_an_address_that_was_written_down_is_only_deleted_where_we_made_it(
    api: Api, connect: Connect, force: FakeForceBridge
) -> None:
    lan = {"eventType": "TOOL_UPDATED", "url": "mqtt://10.0.0.2:1883/external/tools"}
    theirs = {"id": "T", "eventType": "TOOL_DELETED", "url": lan["url"], "objectFilter": []}
    force.callbacks["T"] = dict(theirs)
    await connect(registrations=[lan])
    await keep(api)
    assert len(force.callbacks) == 2
    await connect(registrations=[])
    await keep(api)
    assert force.callbacks == {"T": theirs}


@pytest.mark.parametrize(
    ("spelling", "posts", "left"),
    [("maxRedeliveryAttempts", 1, 5), ("maxRedeliverAttempts", 2, 5), (None, 2, None)],
)
async def test_the_retry_count_is_checked_by_its_echo(
    api: Api, connect: Connect, force: FakeForceBridge, hook: str, spelling: str | None, posts: int, left: int | None
) -> None:
    force.spelling = spelling
    await connect(registrations=[PHASES])
    for _ in range(3):
        await keep(api)
    assert force.count("POST callbacks") == posts
    (one,) = force.callbacks.values()
    assert one.get("maxRedeliveryAttempts", one.get("maxRedeliverAttempts")) == left


async def test_a_killed_round_makes_no_second_one(
    api: Api,
    connect: Connect,
    force: FakeForceBridge,
    hook: str,
    house: Services,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed after the POST was done and before its answer was noted."""
    connection = await connect(registrations=[PHASES, STATES])
    keeper = house.platforms.force_bridge.keeper

    async def dies(*_: Any) -> Any:
        raise asyncio.CancelledError

    made = keeper._made
    monkeypatch.setattr(keeper, "_made", dies)
    with pytest.raises(asyncio.CancelledError):
        await keeper.keep(connection, at_once=True)
    monkeypatch.setattr(keeper, "_made", made)
    assert len(force.callbacks) == 1
    assert not await keeper.keep(connection, at_once=True), "whoever died still holds the lease"
    clock.advance(301)
    assert await keeper.keep(connection, at_once=True)
    assert len(force.callbacks) == 2
    assert force.count("POST callbacks") == 2


async def test_an_answer_that_got_lost_makes_no_second_one(
    api: Api, connect: Connect, force: FakeForceBridge, hook: str, house: Services, clock: ManualClock
) -> None:
    connection = await connect(registrations=[PHASES])
    keeper = house.platforms.force_bridge.keeper
    force.trouble = ["ok", "ok", "lost"]
    with pytest.raises(OvenbridgeError):
        await keeper.keep(connection)
    assert len(force.callbacks) == 1
    clock.advance(61)
    assert await keeper.keep(connection)
    assert (len(force.callbacks), force.count("POST callbacks")) == (1, 1)


async def test_two_instances_at_once(connect: Connect, force: FakeForceBridge, hook: str, house: Services) -> None:
    connection = await connect(registrations=[PHASES, STATES])
    keepers = [ForceBridgeRoom(house).keeper for _ in range(4)]
    done = await asyncio.gather(*(one.keep(connection) for one in keepers))
    assert sum(one is True for one in done) == 1
    assert (len(force.callbacks), force.count("POST callbacks")) == (2, 2)


async def test_two_who_both_made_one_leave_one(
    connect: Connect, force: FakeForceBridge, hook: str, house: Services, clock: ManualClock
) -> None:
    """One slept past the end of its lease; the next round keeps the older."""
    connection = await connect(registrations=[PHASES])
    keeper = house.platforms.force_bridge.keeper
    await keeper.keep(connection)
    (first,) = force.callbacks
    force.callbacks["Z"] = {**force.callbacks[first], "id": "Z", "creationDate": "2026-12-01T00:00:00.000Z"}
    clock.advance(301)
    await keeper.keep(connection)
    assert list(force.callbacks) == [first]


async def test_the_timer_looks_when_it_is_due(
    connect: Connect, force: FakeForceBridge, hook: str, tick: Any, clock: ManualClock
) -> None:
    await connect(registrations=[PHASES])
    await tick("keep_registrations")
    assert len(force.callbacks) == 1
    asked = len(force.asked)
    clock.advance(20)
    await tick("keep_registrations")
    assert len(force.asked) == asked
    force.callbacks.clear()
    clock.advance(61)
    await tick("keep_registrations")
    assert len(force.callbacks) == 1


async def test_one_that_is_away_is_said_on_the_connection(
    api: Api, connect: Connect, force: FakeForceBridge, hook: str, tick: Any, clock: ManualClock
) -> None:
    await connect(registrations=[PHASES])
    force.trouble = ["ok", 500]
    await tick("keep_registrations")
    shown = (await api.get("/api/v1/connections/plant-1")).json()
    assert "answered 500" in shown["last_error"]
    clock.advance(61)
    await tick("keep_registrations")
    assert (await api.get("/api/v1/connections/plant-1")).json()["last_error"] is None


async def test_notifications_that_fail_are_told(
    api: Api, connect: Connect, force: FakeForceBridge, hook: str, house: Services, clock: ManualClock
) -> None:
    from shared.storage import Query

    async def told() -> list[str]:
        found = await house.store.query("events", Query(limit=100))
        return sorted(one.document["type"] for one in found.items)

    await connect(registrations=[PHASES])
    await keep(api)
    (one,) = force.callbacks.values()
    one |= {"lastTriggeredDate": "2026-11-21T09:30:00.000Z", "lastSuccessfulDate": "2026-11-21T09:00:00.000Z"}
    for _ in range(2):
        said = await keep(api)
    assert (said["failing"], said["registrations"][0]["failing_since"]) == (1, "2026-11-21T09:00:00.000Z")
    assert await told() == ["PLATFORM_NOTIFICATIONS_FAILING"]
    shown = (await api.get("/api/v1/connections/plant-1")).json()
    assert "OPERATION_PHASE_CHANGED" in shown["last_error"]
    one["lastSuccessfulDate"] = "2026-11-21T09:59:00.000Z"
    one["lastTriggeredDate"] = "2026-11-21T09:59:00.000Z"
    assert (await keep(api))["failing"] == 0
    assert await told() == ["PLATFORM_NOTIFICATIONS_FAILING", "PLATFORM_NOTIFICATIONS_RECOVERED"]


async def test_pages_of_registrations(api: Api, connect: Connect, force: FakeForceBridge, hook: str) -> None:
    force.page_limit = 2
    for n in range(5):
        force.callbacks[f"X{n}"] = {"id": f"X{n}", "eventType": "TOOL_UPDATED", "url": "http://somebody-else/"}
    await connect(registrations=[PHASES])
    await keep(api)
    await keep(api)
    assert len(force.callbacks) == 6


async def test_without_registrations_nothing_is_asked(api: Api, connect: Connect, force: FakeForceBridge) -> None:
    await connect()
    await keep(api)
    assert force.asked == []


async def test_a_fault_of_ours_at_one_connection_keeps_no_other_waiting(
    api: Api, connect: Connect, force: FakeForceBridge, hook: str, house: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connect(registrations=[PHASES])
    first = {
        "id": "a-first",
        "platform": "force_bridge",
        "credentials": {"client_id": CLIENT, "client_secret": SECRET},
        "options": {"base_url": force.base, "registrations": [PHASES]},
    }
    assert (await api.post("/api/v1/connections", json=first)).status == 201
    keeper = house.platforms.force_bridge.keeper
    keep_one = keeper.keep

    async def breaks(connection: Any, **more: Any) -> bool:
        if connection.id == "a-first":
            raise RuntimeError("a fault")
        return await keep_one(connection, **more)

    monkeypatch.setattr(keeper, "keep", breaks)
    assert await keeper.round() == 1
    assert len(force.callbacks) == 1
    shown = (await api.get("/api/v1/connections/a-first")).json()
    assert "the log of the hub has the details" in shown["last_error"]
