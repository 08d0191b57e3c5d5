"""FORCE Bridge notifications over mosquitto: into the inbox once, out as events, and who is not let in is told why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from shared.clock import ManualClock
from shared.errors import Unavailable
from shared.services import Services
from tests.api import Api, Drained
from tests.peers.conftest import need
from tests.peers.mosquitto import Broker, installed, publish
from tests.peers.tcp_proxy import TcpProxy

pytestmark = pytest.mark.process

TOPIC = "external/bakery/workplaces"


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    need(installed(), "mosquitto")
    async with Broker(tmp_path / "broker") as running:
        yield running


def notification(number: int, **changes: Any) -> tuple[str, str]:
    """As the chapter has it (3.2.3)."""
    properties = {
        "callbackId": "DA892519507444768080F0E81879513",
        "timestamp": f"2026-11-21T09:30:{number:02}.000Z",
        "data": {"currentOperatingState": {"code": str(number)}},
        "objectId": "4D13E9A3",
        "objectType": "WORKPLACE",
        "eventType": "WORKPLACE_OPERATING_STATE_CHANGED",
    } | changes
    links = {"callback": {"method": "GET", "embeddable": True, "href": "https://force.plant/callbacks/1"}}
    return TOPIC, json.dumps({"properties": properties, "_links": links})


async def create(api: Api, port: int, **broker: Any) -> dict[str, Any]:
    form = {"endpoint": f"mqtt://127.0.0.1:{port}", "path": "external/bakery/#"} | broker
    answer = await api.post("/api/v1/hook-sources", json={"id": "force", "kind": "force_bridge_mqtt", "broker": form})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.json()
    return made


async def inbox(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.get("/api/v1/inbox?source=force&limit=1000")).json()["messages"]
    return found


async def test_notifications_become_events(
    api: Api, house: Services, broker: Broker, drain: Callable[..., Awaitable[Drained]],
    tick: Callable[[str], Awaitable[None]],
) -> None:  # fmt: skip
    await create(api, broker.port)
    await tick("fetch_notifications")
    messages = [notification(n) for n in range(30)]
    await asyncio.to_thread(publish, broker.port, [*messages, messages[3]])
    await asyncio.to_thread(publish, broker.port, [("internal/bakery/x", "{}")])
    await tick("fetch_notifications")
    found = await inbox(api)
    assert len(found) == 30, "the one that came twice is one"
    assert sum(m["duplicates"] for m in found) == 1
    assert {m["event"] for m in found} == {"WORKPLACE_OPERATING_STATE_CHANGED"}
    assert (await drain(queues=("inbound-events",))).failures == []
    message = (await api.get(f"/api/v1/inbox/{(await inbox(api))[0]['id']}")).json()
    assert message["status"] == "handled"
    assert message["effect"]["eventType"] == "EXTERNAL"
    assert message["headers"]["mqtt-topic"] == TOPIC
    source = (await api.get("/api/v1/hook-sources/force")).json()
    assert source["broker_error"] is None
    assert source["last_used_at"] is not None
    await tick("fetch_notifications")
    assert len(await inbox(api)) == 30


async def test_what_was_not_kept_comes_again(
    api: Api, house: Services, broker: Broker, tick: Callable[[str], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    await create(api, broker.port)
    await tick("fetch_notifications")
    await asyncio.to_thread(publish, broker.port, [notification(n) for n in range(20)])
    accept, calls = house.inbox.accept, 0

    async def failing(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 12:
            raise Unavailable("The store is away.")
        return await accept(*args, **kwargs)

    monkeypatch.setattr(house.inbox, "accept", failing)
    with pytest.raises(Unavailable):
        await house.lan_notifications.fetch()
    assert len(await inbox(api)) == 12
    monkeypatch.undo()
    await tick("fetch_notifications")
    assert len(await inbox(api)) == 20


async def test_what_is_no_notification_is_kept_and_says_so(
    api: Api, broker: Broker, drain: Callable[..., Awaitable[Drained]], tick: Callable[[str], Awaitable[None]]
) -> None:
    await create(api, broker.port)
    await tick("fetch_notifications")
    await asyncio.to_thread(publish, broker.port, [(TOPIC, "hello"), (TOPIC, "[1]")])
    await tick("fetch_notifications")
    await drain(queues=("inbound-events",))
    assert {(m["status"], m["event"]) for m in await inbox(api)} == {("failed", None)}


async def test_a_broker_that_is_away_is_told_and_left_alone_for_a_while(
    api: Api, house: Services, broker: Broker, tick: Callable[[str], Awaitable[None]]
) -> None:
    async with TcpProxy("127.0.0.1", broker.port) as proxy:
        await create(api, proxy.port)
        await tick("fetch_notifications")
        await asyncio.to_thread(publish, broker.port, [notification(1)])
        await proxy.set("reset")
        await tick("fetch_notifications")
        error = (await api.get("/api/v1/hook-sources/force")).json()["broker_error"]
        assert f"127.0.0.1:{proxy.port}" in error
        await proxy.set("pass")
        cast("ManualClock", house.clock).advance(timedelta(minutes=6).total_seconds())
        await tick("fetch_notifications")
        assert len(await inbox(api)) == 1
        assert (await api.get("/api/v1/hook-sources/force")).json()["broker_error"] is None


async def test_a_password_is_a_secret(api: Api, broker: Broker) -> None:
    made = await create(api, broker.port, username="relay", password="k3epSecret", allow_plain_password=True)
    assert made["broker_credentials_set"] is True
    answers = [await api.get("/api/v1/hook-sources"), await api.get("/api/v1/audit"), json.dumps(made)]
    assert all(b"k3epSecret" not in getattr(a, "body", str(a).encode()) for a in answers)
    assert (await api.delete("/api/v1/hook-sources/force")).status == 204


@pytest.mark.parametrize(
    ("broker", "field"),
    [
        ({"endpoint": "http://10.0.0.2"}, "broker.endpoint"),
        ({"endpoint": "mqtt://10.0.0.2", "path": "bakery/#"}, "broker.path"),
        ({"endpoint": "mqtt://10.0.0.2", "path": ["external/a", "external/#/b"]}, "broker.path"),
        ({"endpoint": "mqtt://10.0.0.2", "username": "u", "password": "p"}, "broker.endpoint"),
        ({"endpoint": "mqtts://169.254.169.254"}, "broker.endpoint"),
        ({"endpoint": "mqtts://10.0.0.2", "topic": "x"}, "broker.topic"),
        (None, None),
    ],
)
async def test_what_cannot_work_is_refused(api: Api, broker: dict[str, Any] | None, field: str | None) -> None:
    answer = await api.post("/api/v1/hook-sources", json={"id": "f", "kind": "force_bridge_mqtt", "broker": broker})
    assert answer.status == 400
    if field is not None:
        assert field in [problem["field"] for problem in answer.json()["problems"]], answer.body
