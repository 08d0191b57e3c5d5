"""Batches over the API: opening, closing, listing, tracking; who may, what is refused, what is audited and told."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.clock import ManualClock, iso
from shared.services import Services
from shared.signals import Quality, Reading, SignalValue
from shared.storage import Query, every
from tests.api import Api, ApiAnswer

BATCHES = "/api/v1/batches"


@pytest.fixture
async def oven(api: Api) -> str:
    for name in ("oven-1", "oven-2"):
        body = {"id": name, "name": f"Horno {name[-1]}", "site": "madrid", "iot_protocol": "rest_api",
                "iot_endpoint": "http://127.0.0.1:9"}  # fmt: skip
        assert (await api.post("/api/v1/equipment", json=body)).status == 201
    return "oven-1"


async def opened(api: Api, **fields: Any) -> dict[str, Any]:
    answer = await api.post(BATCHES, json={"equipment_id": "oven-1"} | fields)
    assert answer.status == 201, answer.body
    return dict(answer.json())


async def told(house: Services) -> list[dict[str, Any]]:
    events = [s.document async for s in every(house.store, "events", Query(limit=1000))]
    return sorted((e for e in events if e["type"].startswith("BATCH")), key=lambda e: e["type"], reverse=True)


async def read(house: Services, at: datetime, equipment_id: str = "oven-1", **values: Any) -> None:
    signals = {key.replace("__", "."): SignalValue(value, unit="C") for key, value in values.items()}
    await house.readings.record(Reading(equipment_id, at, signals))


# Opening and closing -------------------------------------------------------------------------------------------------


async def test_from_opening_to_closing(api: Api, house: Services, oven: str, clock: ManualClock) -> None:
    begun = clock.now()
    answer = await api.post(
        BATCHES,
        json={
            "id": "batch-123",
            "equipment_id": "oven-1",
            "product": "Baguettes - Batch #123",
            "program": "Baguette 250",
            "work_order_id": "WO-7",
            "core_temperature_target": 96,
            "steps": [{"name": "Load"}, {"name": "Bake", "started_at": iso(begun)}],
        },
    )
    assert answer.status == 201
    assert answer.headers["location"].endswith("/api/v1/batches/batch-123")
    body = answer.json()
    assert (body["status"], body["started_at"], body["ended_at"], body["source"]) == (
        "running",
        iso(begun),
        None,
        "api",
    )
    assert (body["core_temperature"]["target"], body["steps"][1]["started_at"]) == (96, iso(begun))
    assert (body["equipment_name"], body["opened_by"], body["alerts"]) == ("Horno 1", body["opened_by"], [])
    clock.advance(1500)
    closed = await api.patch(
        f"{BATCHES}/batch-123",
        json={"status": "completed", "note": "Crust a little dark"},
        headers={"If-Match": answer.headers["etag"]},
    )
    assert closed.status == 200
    body = closed.json()
    assert (body["status"], body["ended_at"], body["duration_seconds"]) == ("completed", iso(clock.now()), 1500.0)
    assert [line["action"] for line in body["history"]] == ["opened", "closed"]
    started, completed = await told(house)
    assert (started["type"], started["objectType"], started["objectId"]) == ("BATCH_STARTED", "MACHINE", "oven-1")
    assert started["data"] | {"url": ""} == {
        "batch_id": "batch-123",
        "equipment_id": "oven-1",
        "equipment_name": "Horno 1",
        "product": "Baguettes - Batch #123",
        "program": "Baguette 250",
        "status": "running",
        "started_at": iso(begun),
        "work_order_id": "WO-7",
        "source": "api",
        "url": "",
    }
    assert (completed["type"], completed["data"]["status"], completed["data"]["duration_seconds"]) == (
        "BATCH_COMPLETED",
        "completed",
        1500.0,
    )
    page = await house.audit.entries(stream="batch:oven-1")
    assert [(e.action, e.target) for e in reversed(page.entries)] == [
        ("batch.opened", "batch-123"),
        ("batch.closed", "batch-123"),
    ]
    assert page.entries[0].before == {"note": None, "status": "running", "ended_at": None}
    assert page.entries[0].after is not None
    assert page.entries[0].after["status"] == "completed"


async def test_the_events_hold_what_the_catalogue_says(
    api: Api, house: Services, oven: str, clock: ManualClock
) -> None:
    from shared.events.catalogue import CATALOGUE

    batch = await opened(api)
    await api.patch(f"{BATCHES}/{batch['id']}", json={"status": "aborted"})
    for event in await told(house):
        assert event["data"].keys() == CATALOGUE[event["type"]].data.keys()


async def test_the_same_call_twice_opens_one(api: Api, house: Services, oven: str, clock: ManualClock) -> None:
    body = {"id": "MES:4711.a", "equipment_id": "oven-1", "product": "Rye"}
    first = await api.post(BATCHES, json=body)
    clock.advance(30)
    again = await api.post(BATCHES, json=body)
    assert (first.status, again.status) == (201, 200)
    assert first.json()["started_at"] == again.json()["started_at"]
    assert len(await told(house)) == 1
    for other in ({"product": "Wheat"}, {"equipment_id": "oven-2"}):
        refused = await api.post(BATCHES, json=body | other)
        assert (refused.status, "another batch MES:4711.a" in refused.json()["detail"]) == (409, True)
    await api.patch(f"{BATCHES}/MES:4711.a", json={"status": "completed"})
    late = await api.post(BATCHES, json=body)
    assert (late.status, late.json()["status"]) == (200, "completed"), "a repeated opening opens nothing again"


async def test_one_id_at_two_ovens_at_the_same_moment(api: Api, house: Services, oven: str) -> None:
    bodies = [{"id": "X", "equipment_id": name} for name in ("oven-1", "oven-2")] * 3
    answers = await asyncio.gather(*(api.post(BATCHES, json=body) for body in bodies))
    assert sorted(a.status for a in answers).count(201) == 1
    assert {a.status for a in answers} <= {200, 201, 409}
    owners = {a.json()["equipment_id"] for a in answers if a.status < 300}
    assert len(owners) == 1
    assert (await api.get(f"{BATCHES}/X")).json()["equipment_id"] in owners


async def test_a_batch_of_the_past_is_complete_at_once(
    api: Api, house: Services, oven: str, clock: ManualClock
) -> None:
    begun, ended = clock.now() - timedelta(hours=2), clock.now() - timedelta(hours=1)
    batch = await opened(api, started_at=iso(begun), ended_at=iso(ended))
    assert (batch["status"], batch["duration_seconds"]) == ("completed", 3600.0)
    assert [e["type"] for e in await told(house)] == ["BATCH_STARTED", "BATCH_COMPLETED"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"equipment_id": "nowhere"}, "equipment_id"),
        ({"equipment_id": "a/b"}, "equipment_id"),
        ({"id": "a/b"}, "id"),
        ({"id": ".."}, "id"),
        ({"id": ""}, "id"),
        ({"id": "rational-1"}, "id"),
        ({"id": "x" * 101}, "id"),
        ({"started_at": "2026-11-21T12:00:00Z"}, "started_at"),
        ({"started_at": "0001-01-01T00:00:00+14:00"}, "started_at"),
        ({"started_at": "yesterday"}, "started_at"),
        ({"ended_at": "2026-11-21T09:00:00Z"}, "ended_at"),
        ({"ended_at": "2026-11-21T12:00:00Z"}, "ended_at"),
        ({"product": "a\nb"}, "product"),
        ({"product": ""}, "product"),
        ({"core_temperature_target": "hot"}, "core_temperature_target"),
        ({"core_temperature_target": 1000}, "core_temperature_target"),
        ({"steps": [{"minutes": 3}]}, "steps.0.name"),
        ({"status": "running"}, "status"),
    ],
    ids=lambda v: str(v)[:40],
)
async def test_what_cannot_be_opened(api: Api, house: Services, oven: str, fields: dict[str, Any], named: str) -> None:
    answer = await api.post(BATCHES, json={"equipment_id": "oven-1"} | fields)
    assert answer.status == 400, answer.body
    assert named in [p["field"] for p in answer.json()["problems"]]
    assert [s async for s in every(house.store, "batches", Query(limit=10))] == []


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"status": "running"}, 409, "not opened again"),
        ({"ended_at": None}, 400, "corrected, not removed"),
        ({"ended_at": "2026-11-21T09:59:59Z"}, 400, "before started_at"),
        ({"status": None}, 400, "status"),
        ({"status": "burnt"}, 400, "status"),
        ({"equipment_id": "oven-2"}, 400, "no such field"),
        ({"started_at": "2026-11-21T09:00:00Z"}, 400, "no such field"),
    ],
    ids=lambda v: str(v)[:40],
)
async def test_what_cannot_be_changed_of_a_closed_one(
    api: Api, oven: str, clock: ManualClock, fields: dict[str, Any], status: int, said: str
) -> None:
    batch = await opened(api)
    clock.advance(600)
    assert (await api.patch(f"{BATCHES}/{batch['id']}", json={"status": "completed"})).status == 200
    answer = await api.patch(f"{BATCHES}/{batch['id']}", json=fields)
    assert (answer.status, said in answer.json()["detail"]) == (status, True), answer.body


async def test_corrections_are_told_by_no_event(api: Api, house: Services, oven: str, clock: ManualClock) -> None:
    batch = await opened(api, product="Rye")
    refused = await api.patch(f"{BATCHES}/{batch['id']}", json={"ended_at": iso(clock.now())})
    assert (refused.status, "needs status" in refused.json()["detail"]) == (400, True)
    clock.advance(600)
    await api.patch(f"{BATCHES}/{batch['id']}", json={"status": "completed"})
    end = clock.now() - timedelta(seconds=60)
    change = {"ended_at": iso(end), "product": None, "note": "Closed a minute late"}
    body = (await api.patch(f"{BATCHES}/{batch['id']}", json=change)).json()
    assert (body["duration_seconds"], body["product"], body["note"]) == (540.0, None, "Closed a minute late")
    assert len(await told(house)) == 2
    before = len((await house.audit.entries(stream="batch:oven-1")).entries)
    same = await api.patch(f"{BATCHES}/{batch['id']}", json=change)
    assert (same.status, len((await house.audit.entries(stream="batch:oven-1")).entries)) == (200, before)


async def test_a_stale_etag(api: Api, oven: str) -> None:
    answer = await api.post(BATCHES, json={"equipment_id": "oven-1"})
    path = f"{BATCHES}/{answer.json()['id']}"
    assert (await api.patch(path, json={"note": "one"})).status == 200
    stale = await api.patch(path, json={"note": "two"}, headers={"If-Match": answer.headers["etag"]})
    assert stale.status == 412
    assert (await api.get(path)).json()["note"] == "one"


@pytest.mark.parametrize(
    ("role", "reads", "writes"), [("viewer", 200, 403), ("auditor", 200, 403), ("operator", 200, 201)]
)
async def test_who_may(api: Api, oven: str, role: str, reads: int, writes: int) -> None:
    made = (await api.post("/api/v1/tokens", json={"name": "line 2", "roles": [role]})).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    batch = await opened(api)
    posted = await api.post(BATCHES, json={"equipment_id": "oven-1"}, headers=headers)
    patched = await api.patch(f"{BATCHES}/{batch['id']}", json={"note": "x"}, headers=headers)
    assert (posted.status, patched.status) == (writes, 200 if writes == 201 else 403)
    for path in (BATCHES, f"{BATCHES}/{batch['id']}", f"{BATCHES}/{batch['id']}/realtime-tracking"):
        assert (await api.get(path, headers=headers)).status == reads


# Listing -------------------------------------------------------------------------------------------------------------


async def ids(answer: ApiAnswer) -> list[str]:
    assert answer.status == 200, answer.body
    return [b["id"] for b in answer.json()["batches"]]


async def test_by_oven_and_day_newest_first_page_by_page(api: Api, oven: str, clock: ManualClock) -> None:
    start = clock.now()
    for n in range(7):
        await opened(api, id=f"b{n}", started_at=iso(start - timedelta(hours=8 * n)))
    await opened(api, id="other", equipment_id="oven-2", started_at=iso(start - timedelta(hours=20)))
    day = "from=2026-11-20&to=2026-11-21"
    assert await ids(await api.get(f"{BATCHES}?equipment_id=oven-1&{day}")) == ["b2", "b3", "b4"]
    assert await ids(await api.get(f"{BATCHES}?{day}")) == ["b2", "other", "b3", "b4"]
    for query in ("equipment_id=oven-1&", ""):
        found: list[str] = []
        continuation = ""
        for _ in range(20):
            answer = await api.get(f"{BATCHES}?{query}from=2026-11-01&limit=2{continuation}")
            found += await ids(answer)
            if answer.json()["continuation"] is None:
                break
            continuation = f"&continuation={answer.json()['continuation']}"
        assert [name for name in found if name != "other"] == [f"b{n}" for n in range(7)]
        assert ("other" in found) == (query == "")


async def test_by_status_and_by_default_the_last_week(api: Api, oven: str, clock: ManualClock) -> None:
    await opened(api, id="old", started_at=iso(clock.now() - timedelta(days=8)))
    await opened(api, id="done")
    await opened(api, id="going")
    await api.patch(f"{BATCHES}/done", json={"status": "completed"})
    assert set(await ids(await api.get(f"{BATCHES}?equipment_id=oven-1"))) == {"done", "going"}
    assert await ids(await api.get(f"{BATCHES}?equipment_id=oven-1&status=running")) == ["going"]
    assert await ids(await api.get(f"{BATCHES}?status=completed")) == ["done"]
    assert await ids(await api.get(f"{BATCHES}?equipment_id=oven-2")) == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("equipment_id=nowhere", 404),
        ("equipment_id=a%2Fb", 400),
        ("from=tomorrow", 400),
        ("from=0001-01-01T00:00:00%2B14:00", 400),
        ("to=0001-01-02", 400),
        ("to=9999-12-31", 400),
        ("from=2026-11-21&to=2026-11-20", 400),
        ("continuation=abc", 400),
        ("equipment_id=oven-1&continuation=abc", 400),
        ("status=burnt", 400),
        ("limit=0", 400),
    ],
)
async def test_questions_that_cannot_be_answered(api: Api, oven: str, query: str, status: int) -> None:
    answer = await api.get(f"{BATCHES}?{query}")
    assert answer.status == status, answer.body
    assert len(answer.json()["detail"]) > 10


async def test_records_outlive_their_oven(api: Api, oven: str) -> None:
    batch = await opened(api)
    assert (await api.delete("/api/v1/equipment/oven-1")).status == 204
    assert await ids(await api.get(f"{BATCHES}?equipment_id=oven-1")) == [batch["id"]]
    assert (await api.get(f"{BATCHES}/{batch['id']}")).status == 200
    tracking = await api.get(f"{BATCHES}/{batch['id']}/realtime-tracking")
    assert (tracking.status, "no longer registered" in tracking.json()["detail"]) == (409, True)


# Tracking ------------------------------------------------------------------------------------------------------------

GUIDE = {
    "equipment_id", "equipment_name", "timestamp", "connection_status", "temperature", "temperature_zones", "humidity",
    "operational_status", "cycle_stage", "cycle_progress_percentage", "time_remaining_minutes",
    "energy_consumption_kwh", "active_batch_id", "active_batch_name",
}  # fmt: skip
"""The guide's fields of live data."""


async def test_tracking_a_running_batch(api: Api, house: Services, oven: str, clock: ManualClock) -> None:
    await read(house, clock.now() - timedelta(minutes=5), temperature__core=99.0, temperature__cabinet=300.0)
    clock.advance(1)
    await opened(api, id="b1", product="Baguettes - Batch #123", core_temperature_target=96)
    for minute, core in enumerate((20.0, 55.0, 72.0)):
        clock.advance(60)
        await read(
            house, clock.now(), temperature__core=core, temperature__cabinet=180.0 + minute, humidity=65.0,
            time__remaining=12,
        )  # fmt: skip
    body = (await api.get(f"{BATCHES}/b1/realtime-tracking")).json()
    assert body.keys() >= GUIDE
    assert (body["batch_id"], body["batch_status"], body["is_live"]) == ("b1", "running", True)
    assert (body["active_batch_id"], body["active_batch_name"]) == ("b1", "Baguettes - Batch #123")
    assert (body["temperature"], body["temperature_zones"]) == (182.0, {"cabinet": 182.0, "core": 72.0})
    assert (body["humidity"], body["time_remaining_minutes"], body["elapsed_minutes"]) == (65.0, 12, 3.0)
    core = body["window"]["signals"]["temperature.core"]
    assert (core["min"], core["max"], core["count"], core["bad"]) == (20.0, 72.0, 3, 0), "from the batch on, not before"
    assert core["avg"] == pytest.approx(49.0)
    assert body["core_temperature"]["target"] == 96
    clock.advance(3600)
    old = (await api.get(f"{BATCHES}/b1/realtime-tracking")).json()
    assert (old["temperature"], old["quality"]) == (None, "bad"), "an old value is none of now"


async def test_live_data_name_the_open_batch(api: Api, house: Services, oven: str, clock: ManualClock) -> None:
    path = "/api/v1/equipment/oven-1/realtime-data"
    assert (await api.get(path)).json()["active_batch_id"] is None
    await opened(api, id="forgotten", started_at=iso(clock.now() - timedelta(days=8)))
    await opened(api, id="b1", product="Rye")
    body = (await api.get(path)).json()
    assert (body["active_batch_id"], body["active_batch_name"]) == ("b1", "Rye")
    await read(house, clock.now(), batch__id="the oven's own")
    assert (await api.get(path)).json()["active_batch_id"] == "the oven's own"
    clock.advance(1)
    await read(house, clock.now(), temperature__core=20.0)
    await api.patch(f"{BATCHES}/b1", json={"status": "completed"})
    assert (await api.get(path)).json()["active_batch_id"] is None


async def test_tracking_a_batch_that_is_over_shows_its_end(
    api: Api, house: Services, oven: str, clock: ManualClock
) -> None:
    await opened(api, id="b1")
    clock.advance(60)
    await read(house, clock.now(), temperature__core=72.0)
    ended = clock.now()
    assert (await api.patch(f"{BATCHES}/b1", json={"status": "completed"})).status == 200
    clock.advance(60)
    await read(house, clock.now(), temperature__core=21.0)
    body = (await api.get(f"{BATCHES}/b1/realtime-tracking")).json()
    assert (body["temperature_zones"], body["timestamp"]) == ({"core": 72.0}, iso(ended))
    assert (body["is_live"], body["active_batch_id"], body["ended_at"]) == (False, None, iso(ended))
    assert body["window"]["signals"]["temperature.core"]["max"] == 72.0
    await opened(api, id="b2", started_at="2026-11-21T08:00:00Z", ended_at="2026-11-21T08:30:00Z")
    nothing = (await api.get(f"{BATCHES}/b2/realtime-tracking")).json()
    assert (nothing["temperature"], nothing["window"]["signals"]) == (None, {})
    assert "no reading of the oven during this batch" in nothing["reason"]


async def test_bad_values_and_failed_reads_are_counted(
    api: Api, house: Services, oven: str, clock: ManualClock
) -> None:
    await opened(api, id="b1")
    clock.advance(10)
    bad = SignalValue(None, Quality.BAD, "sensor sentinel 32767")
    await house.readings.record(Reading("oven-1", clock.now(), {"temperature.core": bad}, Quality.BAD))
    clock.advance(10)
    await house.readings.record(
        Reading("oven-1", clock.now(), {}, Quality.BAD, reason="off", error_code="cannot_connect")
    )
    window = (await api.get(f"{BATCHES}/b1/realtime-tracking")).json()["window"]
    assert window["signals"]["temperature.core"] == {"min": None, "max": None, "avg": None, "count": 0, "bad": 1}
    assert window["failed_reads"] == 1


async def test_alerts_of_the_oven_during_the_batch(api: Api, house: Services, oven: str, clock: ManualClock) -> None:
    rule = {"equipment_id": "oven-1", "kind": "high", "signal": "temperature.cabinet", "limit": 250}
    assert (await api.post("/api/v1/alert-rules", json=rule)).status == 201
    machine, _ = await house.equipment.get("oven-1")
    await opened(api, id="before")
    clock.advance(60)
    await api.patch(f"{BATCHES}/before", json={"status": "completed"})
    clock.advance(60)
    await opened(api, id="hot")
    hot = Reading("oven-1", clock.now(), {"temperature.cabinet": SignalValue(280.0, unit="C")})
    await house.ingest.take(machine, hot)
    clock.advance(60)
    await opened(api, id="still")
    assert [a["value"] for a in (await api.get(f"{BATCHES}/hot")).json()["alerts"]] == [280.0]
    assert len((await api.get(f"{BATCHES}/hot/realtime-tracking")).json()["alerts"]) == 1
    assert len((await api.get(f"{BATCHES}/still")).json()["alerts"]) == 1, "it held when that one began"
    assert (await api.get(f"{BATCHES}/before")).json()["alerts"] == []


async def test_alerts_of_an_old_batch_are_found_behind_all_that_came_since(
    api: Api, house: Services, oven: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = {"equipment_id": "oven-1", "kind": "high", "signal": "temperature.cabinet", "limit": 250}
    assert (await api.post("/api/v1/alert-rules", json=rule)).status == 201
    machine, _ = await house.equipment.get("oven-1")
    await opened(api, id="old")
    for number in range(25):
        for value in (280.0 + number, 100.0):
            clock.advance(60)
            reading = Reading("oven-1", clock.now(), {"temperature.cabinet": SignalValue(value, unit="C")})
            await house.ingest.take(machine, reading)
        if number == 0:
            assert (await api.patch(f"{BATCHES}/old", json={"status": "completed"})).status == 200
    listed = house.alerts.list

    async def one_by_one(asked: Any, **more: Any) -> Any:
        return await listed(asked, **{**more, "limit": 1})

    monkeypatch.setattr(house.alerts, "list", one_by_one)
    assert [a["value"] for a in (await api.get(f"{BATCHES}/old")).json()["alerts"]] == [280.0]
