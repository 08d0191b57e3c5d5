"""Notifications through a relay: the hub's delivery protocol, a relay's hands, and no secret on the way's papers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from shared.callbacks.browse import DeliveryFilter
from shared.callbacks.carrying import Carrier
from shared.callbacks.model import Callback, Credentials, NewCallback
from shared.clock import ManualClock
from shared.errors import Conflict, InvalidInput, UnsafeTarget
from shared.events import Event
from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy
from shared.relay.messages import Command, CommandAnswer, Heartbeat
from shared.relay.plant_commands import CommandLoop
from shared.relay.plant_delivery import SiteDelivery
from shared.storage import Query, every
from tests.api import Drained
from tests.unit.callbacks.receiver import Receiver, receiving
from tests.unit.relay.conftest import ANNA, Hub, beat

SECRET = "s3cret-of-the-line-pc"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


class Plant:
    """The relay `hall-1` at work, in this process: it fetches by the API, with its own token and its own policy."""

    def __init__(self, hub: Hub, policy: TargetPolicy) -> None:
        self._hub = hub
        self.http = OutgoingHttp(policy)
        self.fetched: list[Command] = []
        self.answered: list[CommandAnswer] = []
        self.deaf = False
        """It fetches and is gone."""
        site = SiteDelivery(Carrier(self.http))
        self.loop = CommandLoop(None, self, hub.clock, assigned=lambda _: None, delivery=site)  # type: ignore[arg-type]

    async def commands(self, wait_seconds: float) -> list[Command]:
        answer = await self._hub.relay.get(f"/api/v1/relays/hall-1/commands?wait={wait_seconds:g}")
        found = [Command.model_validate(one) for one in answer.json()["commands"]]
        self.fetched += found
        return [] if self.deaf else found

    async def answer(self, answer: CommandAnswer) -> None:
        self.answered.append(answer)
        path = f"/api/v1/relays/hall-1/commands/{answer.id}/answer"
        assert (await self._hub.relay.post(path, body=answer.model_dump_json().encode())).status == 204


@pytest.fixture
async def plant(hub: Hub) -> AsyncIterator[Plant]:
    await hub.house.relay_hub.watch.heard("hall-1", Heartbeat.model_validate(beat(hub.clock.now())))
    made = Plant(hub, TargetPolicy(allow_private=True, allow_http=True))
    running = asyncio.create_task(made.loop.run())
    yield made
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    await made.http.close()


@pytest.fixture
def told(hub: Hub, drain: Callable[[], Awaitable[Drained]]) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Publish an event, handle what is due; the delivery."""

    async def tell(callback: Callback, *, event: str | None = "E1") -> dict[str, Any]:
        if event is not None:
            await hub.house.events.publish(Event(id=event, type="EXTERNAL", timestamp=hub.clock.now(), name="Wärme"))
        drained = await drain()
        assert drained.failures == []
        page = await hub.house.deliveries.browse.list(DeliveryFilter(callback.id), limit=10, continuation=None)
        return page.items[0].document

    return tell


async def register(hub: Hub, url: str, **more: Any) -> Callback:
    return await hub.house.callbacks.create(NewCallback("EXTERNAL", url, deliver_via="hall-1", **more), caller=ANNA)


async def test_a_receiver_in_the_plant_is_told_and_no_secret_is_stored(
    hub: Hub, plant: Plant, receiver: Receiver, told: Any
) -> None:
    url = f"{receiver.url}/a%2fb?sig={SECRET}-q&x=ü".replace("ü", "%C3%BC")
    callback = await register(hub, url, credentials=Credentials(username="line", password=SECRET))
    document = await told(callback)
    assert document["status"] == "confirmed", document
    (tried,) = document["attempts"]
    assert (tried["via"], tried["status"]) == ("hall-1", 200)
    (seen,) = receiver.seen
    assert seen.path == url.removeprefix(receiver.url), "byte for byte"
    assert seen.headers["authorization"].startswith("Basic ")
    assert seen.webhook_id == f"{callback.id}-E1"
    assert seen.headers["x-ovenbridge-attempt"] == "1"
    assert seen.json()["properties"]["eventName"] == "Wärme"
    assert plant.fetched[0].body["url"] == url
    for container in ("relayCommands", "callbacks", "deliveries", "audit"):
        stored = [one.document async for one in every(hub.house.store, container, Query())]
        assert SECRET not in json.dumps(stored), container
        assert "bGluZTpz" not in json.dumps(stored), container
    assert SECRET not in plant.answered[0].model_dump_json()
    assert SECRET not in repr(plant.fetched[0].body["callback_id"])


async def test_the_retry_protocol_is_the_hubs(hub: Hub, plant: Plant, receiver: Receiver, told: Any) -> None:
    receiver.answer = 503
    callback = await register(hub, receiver.url + "/a", max_retries=1)
    document = await told(callback)
    assert (document["status"], document["attempts"][0]["reason"]) == ("retrying", "http_503")
    hub.clock.advance(10.1)
    document = await told(callback, event=None)
    assert (document["status"], document["discardReason"]) == ("discarded", "max_attempts")
    assert [one.headers["x-ovenbridge-attempt"] for one in receiver.seen] == ["1", "2"]
    assert len(receiver.ids()) == 1
    receiver.answer = 410
    assert (await told(callback, event="E2"))["discardReason"] == "gone"
    assert (await hub.house.callbacks.get(callback.id)).disabled_reason is not None


async def test_what_the_relay_cannot_reach_is_said(hub: Hub, plant: Plant, told: Any) -> None:
    document = await told(await register(hub, "http://127.0.0.1:9/x"))
    (tried,) = document["attempts"]
    assert tried["reason"] == "refused"
    assert tried["detail"].startswith("At relay hall-1: Nothing listens on 127.0.0.1:9")


async def test_the_relays_own_policy_holds(hub: Hub, plant: Plant, receiver: Receiver, told: Any) -> None:
    """Whatever the hub let through: a name that points to metadata in the plant, or a stricter relay."""

    async def rebound(host: str, port: int) -> list[str]:
        return ["169.254.169.254"]

    plant.http.targets._resolve = rebound
    document = await told(await register(hub, "http://line-pc.plant.example/x"))
    assert document["attempts"][0]["reason"] == "unsafe"
    plant.http.targets._allow_private = False
    assert (await told(await register(hub, receiver.url), event="E2"))["attempts"][0]["reason"] == "unsafe"
    assert receiver.seen == []


async def test_a_silent_relay_is_a_failed_attempt_with_since_when(hub: Hub, plant: Plant, told: Any) -> None:
    callback = await register(hub, "http://10.0.0.9/x")
    hub.clock.advance(181)
    document = await told(callback)
    (tried,) = document["attempts"]
    assert (document["status"], tried["reason"], tried["via"]) == ("retrying", "relay_silent", "hall-1")
    assert "brings these notifications, is silent since 2026-11-21T10:00:00.000Z" in tried["detail"]
    assert plant.fetched == []


async def test_what_nobody_fetched_in_time_is_never_delivered(
    hub: Hub, receiver: Receiver, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay's heartbeat is young, and it is gone: nothing is brought when it is back."""
    await hub.house.relay_hub.watch.heard("hall-1", Heartbeat.model_validate(beat(hub.clock.now())))
    monkeypatch.setattr("shared.relay.hub_delivery.ON_THE_WAY", 0.0)
    object.__setattr__(hub.house.deliveries._attempts, "timeout_seconds", 0.2)
    document = await told(await register(hub, receiver.url))
    (tried,) = document["attempts"]
    assert tried["reason"] == "relay_silent"
    assert "It was not fetched, and will not be done." in tried["detail"]
    assert (await hub.relay.get("/api/v1/relays/hall-1/commands?wait=0")).json()["commands"] == []


async def test_an_order_that_comes_late_is_not_begun(hub: Hub, plant: Plant, receiver: Receiver) -> None:
    body = {"callback_id": "C", "headers": {}, "content": "{}", "timeout_seconds": 10.0, "url": receiver.url}
    late = Command(id="c9", kind="deliver", body=body, expires_at=hub.clock.now())
    answer = await plant.loop.do(late)
    assert answer.error is not None
    assert (answer.error.code, receiver.seen) == ("expired", [])


async def test_a_deleted_relay_is_said(hub: Hub, plant: Plant, receiver: Receiver, told: Any) -> None:
    callback = await register(hub, receiver.url)
    refused = await hub.api.delete("/api/v1/relays/hall-1")
    assert (refused.status, callback.id in refused.json()["detail"]) == (409, True)
    await hub.house.relays.delete("hall-1", ANNA)  # another process, a moment before
    (tried,) = (await told(callback))["attempts"]
    assert tried["reason"] == "relay_unknown"
    assert "registered no more" in tried["detail"]


async def test_an_address_that_the_vault_lost_is_said(hub: Hub, plant: Plant, receiver: Receiver, told: Any) -> None:
    callback = await register(hub, receiver.url)

    async def gone(_: str) -> Any:
        raise Conflict("The vault is being restored.")

    monkey = pytest.MonkeyPatch()
    monkey.setitem(hub.house.relay_hub.commands._fills, "deliver", gone)
    (tried,) = (await told(callback))["attempts"]
    monkey.undo()
    assert (tried["reason"], "being restored" in tried["detail"]) == ("not_given", True)
    assert plant.fetched == []


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://169.254.169.254/latest", UnsafeTarget),
        ("http://[fd00:ec2::254]/", UnsafeTarget),
        ("mqtt://100.100.100.200/external/a", UnsafeTarget),
        ("ftp://10.0.0.1/", InvalidInput),
        ("mqtt://10.0.0.1/internal/a", InvalidInput),
    ],
)
async def test_targets_that_the_hub_refuses_already(hub: Hub, url: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await register(hub, url)


async def test_a_plants_names_and_addresses_are_not_looked_up_by_the_hub(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    """Also where the hub itself reaches neither private nor unencrypted targets."""
    targets = hub.house.targets
    monkeypatch.setattr(targets, "_allow_private", False)
    monkeypatch.setattr(targets, "_allow_http", False)

    async def never(host: str, port: int) -> list[str]:
        raise AssertionError(host)

    monkeypatch.setattr(targets, "_resolve", never)
    for url in ("http://10.0.0.9/x", "http://line-pc.local/x", "mqtt://10.0.0.9/external/x"):
        shown = (
            await hub.api.post(
                "/ffwebservices/api/v2/callbacks", json={"eventType": "EXTERNAL", "url": url, "deliverVia": "hall-1"}
            )
        ).json()
        assert (shown["properties"]["url"], shown["properties"]["deliverVia"]) == (url, "hall-1")
    with pytest.raises(UnsafeTarget):
        await hub.house.callbacks.create(NewCallback("EXTERNAL", "mqtt://10.0.0.9/external/x"), caller=ANNA)
