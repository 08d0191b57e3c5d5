"""A silent relay is noticed once, told once, shown at once; and it comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from shared.errors import Unavailable
from shared.metrics import RELAY_HEARTBEAT_AGE, RELAY_SPOOL_DEPTH
from shared.services import Services
from shared.storage import Query, every
from tests.unit.relay.conftest import ANNA, Hub, beat

PATH = "/api/v1/relays/hall-1"


async def told(house: Services) -> list[tuple[str, str]]:
    found = {
        d["eventId"]: d["type"] for d in [s.document async for s in every(house.store, "events", Query(limit=1000))]
    }
    return sorted((kind, event) for event, kind in found.items())


async def send(hub: Hub, **more: Any) -> None:
    answer = await hub.relay.post(f"{PATH}/heartbeat", json=beat(hub.clock.now(), **more))
    assert answer.status == 204, answer.body


async def shown(hub: Hub) -> Mapping[str, Any]:
    body: dict[str, Any] = (await hub.api.get(PATH)).json()
    return body


async def test_what_a_heartbeat_tells_is_shown(hub: Hub) -> None:
    await hub.machine("OVEN-1")
    etag = (await hub.relay.get(f"{PATH}/assignments")).headers["etag"].strip('"')
    spool = {"readings": 7, "bytes": 900, "oldest_at": "2026-11-21T09:59:00Z"}
    late = beat(hub.clock.now(), spool=spool, devices={"connected": 3, "failing": 1}, assignments_etag=etag)
    hub.clock.advance(-90)
    assert (await hub.relay.post(f"{PATH}/heartbeat", json=late)).status == 204
    body = await shown(hub)
    assert body["status"] == "online"
    assert body["clock_offset_seconds"] == 90.0, "its clock is ahead of ours"
    assert body["spool"] == spool | {"oldest_at": "2026-11-21T09:59:00.000Z"}
    assert body["devices"] == {"connected": 3, "failing": 1}
    assert (body["version"], body["silent_since"], body["assignments_in_force"]) == ("1.4", None, True)
    await hub.machine("OVEN-2")
    assert (await shown(hub))["assignments_in_force"] is False


async def test_silence_is_told_once_and_so_is_the_return(hub: Hub, tick: Callable[..., Any]) -> None:
    await send(hub, devices={"connected": 2, "failing": 1})
    hub.clock.advance(180)
    await tick("watch_relays")
    assert await told(hub.house) == []
    hub.clock.advance(1)
    assert (await shown(hub))["status"] == "silent", "seen at once, not only with the timer"
    for _ in range(3):
        await tick("watch_relays")
        hub.clock.advance(30)
    ((kind, _),) = await told(hub.house)
    assert kind == "RELAY_SILENT"
    assert (await shown(hub))["silent_since"] == "2026-11-21T10:00:00.000Z"
    for _ in range(2):
        await send(hub)
    assert [kind for kind, _ in await told(hub.house)] == ["RELAY_BACK", "RELAY_SILENT"]
    assert (await shown(hub))["silent_since"] is None
    hub.clock.advance(200)
    await tick("watch_relays")
    assert len(await told(hub.house)) == 3, "the next silence is another one"
    documents = [s.document async for s in every(hub.house.store, "events", Query(limit=10))]
    event = next(d for d in documents if d["type"] == "RELAY_SILENT")
    assert (event["objectType"], event["objectId"], event["site"]) == ("RELAY", "hall-1", "madrid")
    assert event["severity"] == "critical"


async def test_a_relay_that_was_never_heard_is_not_silent(hub: Hub, tick: Callable[..., Any]) -> None:
    hub.clock.advance(86_400)
    await tick("watch_relays")
    assert await told(hub.house) == []
    assert (await shown(hub))["status"] == "never_seen"


async def test_a_subscriber_is_told(hub: Hub, tick: Callable[..., Any]) -> None:
    answer = await hub.api.post(
        "/ffwebservices/api/v2/callbacks",
        json={"eventType": "RELAY_SILENT", "url": "http://127.0.0.1:9/hook"},
    )
    assert answer.status in (200, 201), answer.body
    await send(hub)
    hub.clock.advance(181)
    await tick("watch_relays")
    assert len([s async for s in every(hub.house.store, "deliveries", Query(limit=10))]) == 1


async def test_what_could_not_be_told_is_told_later(
    hub: Hub, tick: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> int:
        raise Unavailable("The queue is away.")

    await send(hub)
    hub.clock.advance(200)
    with monkeypatch.context() as broken:
        broken.setattr(type(hub.house.events), "publish", away)
        await tick("watch_relays")
        await send(hub)  # a sign of life is one, whoever cannot be told of it
    assert await told(hub.house) == []
    await tick("watch_relays")
    assert [kind for kind, _ in await told(hub.house)] == ["RELAY_BACK", "RELAY_SILENT"]
    assert (await hub.house.relays.get("hall-1")).untold == ()


async def test_one_relay_does_not_hold_up_another(
    hub: Hub, tick: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await hub.house.relays.create("aaa", name="x", site=None, caller=ANNA)
    await send(hub)
    _, token = await hub.house.relays.rotate("aaa", ANNA)
    own = {"Authorization": f"Bearer {token}"}
    body = dict(beat(hub.clock.now())) | {"relay_id": "aaa"}
    assert (await hub.api.post("/api/v1/relays/aaa/heartbeat", json=body, headers=own)).status == 204
    hub.clock.advance(200)
    change = hub.house.relays.change

    async def busy(relay_id: str, step: Any) -> Any:
        if relay_id == "aaa":
            raise Unavailable("Busy.")
        return await change(relay_id, step)

    monkeypatch.setattr(hub.house.relays, "change", busy)
    await tick("watch_relays")
    assert [event for _, event in await told(hub.house)] == ["relay:hall-1:silent:20261121T100000000Z"]


async def test_dropped_readings_are_told(hub: Hub) -> None:
    await send(hub)
    await send(hub, lost_total=40)
    await send(hub, lost_total=40)
    await send(hub, lost_total=45)
    assert [kind for kind, _ in await told(hub.house)] == ["RELAY_READINGS_DROPPED"] * 2
    assert (await shown(hub))["readings_lost"] == 45
    found = [s.document["data"] async for s in every(hub.house.store, "events", Query(limit=10))]
    assert sorted((d["readings"], d["readings_total"]) for d in found) == [(5, 45), (40, 40)]


async def test_it_is_measured(hub: Hub, tick: Callable[..., Any]) -> None:
    seen: dict[str, tuple[float, dict[str, str]]] = {}
    listeners = {
        measure: (lambda value, attributes, name=measure.name: seen.update({name: (value, attributes)}))
        for measure in (RELAY_HEARTBEAT_AGE, RELAY_SPOOL_DEPTH)
    }
    await send(hub, spool={"readings": 12})
    hub.clock.advance(65)
    for measure, listener in listeners.items():
        measure.listeners.append(listener)
    try:
        await tick("watch_relays")
    finally:
        for measure, listener in listeners.items():
            measure.listeners.remove(listener)
    assert seen == {
        "relay.heartbeat_age": (65.0, {"relay": "hall-1"}),
        "relay.spool_depth": (12, {"relay": "hall-1"}),
    }


async def test_only_its_own_heartbeat(hub: Hub) -> None:
    answer = await hub.relay.post(f"{PATH}/heartbeat", json=dict(beat(hub.clock.now())) | {"relay_id": "hall-2"})
    assert answer.status == 400
    assert (await hub.api.post(f"{PATH}/heartbeat", json=beat(hub.clock.now()))).status == 403
    assert (await hub.relay.post(f"{PATH}/heartbeat", body=b"x" * 70_000)).status == 413


async def test_its_machines_are_stale_one_by_one_and_not_lost(hub: Hub, tick: Callable[..., Any]) -> None:
    from shared.relay.messages import pack

    await hub.machine("OVEN-1")
    await tick("watch_alerts")
    await hub.house.relay_hub.intake.take(pack(hub.batch(hub.reading("OVEN-1"))))
    for _ in range(40):
        hub.clock.advance(10)
        await tick("watch_alerts")
    kinds = {s.document["alertType"] async for s in every(hub.house.store, "alerts", Query(limit=10))}
    assert kinds == {"data_stale"}
