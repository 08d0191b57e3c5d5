"""The delivery log, replay and the health of callbacks over their routes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from shared.clock import ManualClock
from shared.services import Services
from tests.api import Api, Drained
from tests.unit.callbacks.receiver import Receiver, receiving

BASE = "/ffwebservices/api/v2"

Drain = Callable[[], Awaitable[Drained]]
Tick = Callable[[str], Awaitable[None]]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


async def _register(api: Api, receiver: Receiver, **more: object) -> str:
    body = {"eventType": "EXTERNAL", "url": receiver.url + "/in", **more}
    return str((await api.post(f"{BASE}/callbacks", json=body)).json()["properties"]["id"])


async def _send(api: Api, number: int = 1) -> None:
    assert (await api.post(f"{BASE}/events", json={"eventType": "EXTERNAL", "data": {"n": number}})).status == 204


async def test_a_delivery_from_end_to_end(api: Api, receiver: Receiver, drain: Drain, clock: ManualClock) -> None:
    callback = await _register(api, receiver)
    receiver.answer = 500
    await _send(api)
    (waiting,) = (await api.get("/api/v1/deliveries?status=pending")).json()["deliveries"]
    assert (waiting["status"], waiting["attempts"], waiting["callback_id"]) == ("pending", [], callback)
    await drain()
    (retrying,) = (await api.get(f"/api/v1/deliveries?callback_id={callback}&status=pending")).json()["deliveries"]
    assert retrying["next_attempt_at"] == "2026-11-21T10:00:10.000Z"
    assert retrying["attempts"][0]["status_code"] == 500
    receiver.answer = 200
    clock.advance(10.1)
    await drain()
    (seen,) = {n.webhook_id for n in receiver.seen}
    answer = await api.get(f"/api/v1/deliveries/{seen}")
    said = answer.json()
    assert (answer.status, said["id"], said["status"], said["discard_reason"]) == (200, seen, "confirmed", None)
    assert [a["number"] for a in said["attempts"]] == [1, 2]
    assert said["event"]["data"] == {"n": 1}


async def test_replay_one(api: Api, receiver: Receiver, drain: Drain) -> None:
    await _register(api, receiver)
    await _send(api)
    await drain()
    seen = receiver.seen[0].webhook_id
    assert (await api.post(f"/api/v1/deliveries/{seen}/replay")).status == 202
    assert (await api.post(f"/api/v1/deliveries/{seen}/replay")).status == 409
    await drain()
    assert receiver.ids() == {seen: 2}
    unknown = await api.post(f"/api/v1/deliveries/{'F' * 32}-nothing/replay")
    assert (unknown.status, unknown.headers["content-type"]) == (404, "application/problem+json")
    assert (await api.get(f"/api/v1/deliveries/{'F' * 32}-nothing")).status == 404


async def test_replay_many(api: Api, receiver: Receiver, drain: Drain) -> None:
    callback = await _register(api, receiver, maxRedeliverAttempts=0)
    receiver.answer = 500
    for n in range(4):
        await _send(api, n)
    await drain()
    discarded = (await api.get(f"/api/v1/deliveries?callback_id={callback}&status=discarded")).json()["deliveries"]
    assert {d["discard_reason"] for d in discarded} == {"max_attempts"}
    assert all("500" in d["discard_detail"] for d in discarded)
    receiver.answer = 200
    answer = await api.post("/api/v1/deliveries/replay", json={"callback_id": callback, "limit": 3})
    assert (answer.status, answer.json()) == (202, {"replayed": 3, "skipped": 0, "more": True})
    answer = await api.post("/api/v1/deliveries/replay", json={})
    assert answer.json() == {"replayed": 1, "skipped": 0, "more": False}
    await drain()
    assert sorted(receiver.ids().values()) == [2] * 4


async def test_pages(api: Api, receiver: Receiver, drain: Drain, clock: ManualClock) -> None:
    callback = await _register(api, receiver)
    for n in range(5):
        await _send(api, n)
        clock.advance(1)
    await drain()
    for path in (f"/api/v1/deliveries?limit=2&callback_id={callback}", "/api/v1/deliveries?limit=2"):
        found: list[str] = []
        more = ""
        for _ in range(10):
            page = (await api.get(path + more)).json()
            found += [d["id"] for d in page["deliveries"]]
            if page["continuation"] is None:
                break
            more = f"&continuation={page['continuation']}"
        assert len(found) == len(set(found)) == 5


@pytest.mark.parametrize(
    "query", ["status=open", "limit=0", "since=yesterday", "callback_id=a/b", "continuation=x", "colour=red"]
)
async def test_bad_filters(api: Api, query: str) -> None:
    answer = await api.get(f"/api/v1/deliveries?{query}")
    assert (answer.status, answer.json()["problems"][0]["field"]) == (400, query.partition("=")[0])


@pytest.mark.parametrize(
    "body", [{"status": "pending"}, {"limit": 1001}, {"continuation": "x"}, {"until": 5.5e300}], ids=str
)
async def test_bad_replays(api: Api, body: dict[str, object]) -> None:
    answer = await api.post("/api/v1/deliveries/replay", json=body)
    assert (answer.status, answer.json()["problems"][0]["field"]) == (400, next(iter(body)))


async def test_health_of_callbacks(api: Api, receiver: Receiver, drain: Drain, tick: Tick, clock: ManualClock) -> None:
    callback = await _register(api, receiver)
    receiver.answer = 500
    await _send(api)
    for _ in range(3):
        await drain()
        clock.advance(10.1)
    await tick("sweep_deliveries")
    (shown,) = (await api.get("/api/v1/callbacks")).json()["callbacks"]
    assert (shown["id"], shown["status"], shown["pending"]) == (callback, "degraded", 1)
    assert shown["failing_since"] == "2026-11-21T10:00:00.000Z"
    assert shown["last_triggered_at"] == "2026-11-21T10:00:20.200Z"
    assert shown["last_successful_at"] is None
    receiver.answer = 410
    await drain()
    (shown,) = (await api.get("/api/v1/callbacks")).json()["callbacks"]
    assert (shown["status"], shown["pending"]) == ("disabled", 0)
    assert "410" in shown["disabled_reason"]
    assert (await api.post(f"/api/v1/callbacks/{callback}/test")).status == 409
    enabled = await api.post(f"/api/v1/callbacks/{callback}/enable")
    assert (enabled.status, enabled.json()["status"]) == (200, "healthy")
    assert (await api.post(f"/api/v1/callbacks/{callback}/enable")).status == 409


async def test_a_test_notification(api: Api, receiver: Receiver, drain: Drain) -> None:
    callback = await _register(api, receiver)
    await _register(api, receiver)
    answer = await api.post(f"/api/v1/callbacks/{callback}/test")
    assert answer.status == 202
    await drain()
    (seen,) = receiver.seen
    assert (seen.webhook_id, seen.json()["properties"]["eventType"]) == (answer.json()["delivery_id"], "TEST")
    assert answer.headers["location"].endswith(f"/api/v1/deliveries/{seen.webhook_id}")
    assert (await api.post("/api/v1/callbacks/nobody/test")).status == 404


async def test_a_poison_message_ends_in_the_dead_letters(house: Services, drain: Drain) -> None:
    from shared.messaging import Outgoing

    await house.queue.send("callback-deliveries", [Outgoing(b"no json", "poison")])
    drained = await drain()
    assert len(drained.failures) == 10
    assert (await house.receiver.depth("callback-deliveries")).dead_lettered == 1
