"""``GET /api/v1/equipment/{id}/connection-log`` and the timers, as a caller and the host meet them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from shared.clock import ManualClock
from shared.services import Services
from tests.api import Api, Drained
from tests.unit.collection.plant import NOON, bad_reading, good_reading, oven

LOG = "/api/v1/equipment/oven-1/connection-log"


@pytest.fixture
async def logged(house: Services, api: Api, clock: ManualClock) -> Api:
    """An oven that was found, lost and found again within a minute and a half."""
    assert (await api.post("/api/v1/equipment", json={"id": "oven-1", "name": "Oven 1"})).status == 201
    await house.health.report(oven(), good_reading(at=0))
    await house.health.report(oven(), bad_reading(at=30, code="timeout", reason="No answer within 5 s."))
    await house.health.report(oven(), bad_reading(at=60))
    await house.health.report(oven(), good_reading(at=90))
    clock.advance(120)
    return api


async def test_newest_first_with_the_guides_fields(logged: Api) -> None:
    answer = await logged.get(LOG)
    assert answer.status == 200
    body = answer.json()
    assert (body["equipment_id"], body["continuation"]) == ("oven-1", None)
    assert [e["event_type"] for e in body["events"]] == ["connected", "poll_failed", "connection_lost", "connected"]
    assert body["events"][2] == {
        "event_type": "connection_lost",
        "event_time": "2026-11-21T10:00:30.000Z",
        "connection_status": "disconnected",
        "error_message": "No answer within 5 s.",
        "error_code": "timeout",
        "response_time_ms": None,
        "data_points_received": 0,
    }
    assert (body["events"][0]["response_time_ms"], body["events"][0]["data_points_received"]) == (12.5, 2)


async def test_span_and_pages(logged: Api) -> None:
    span = "start=2026-11-21T10:00:30Z&end=2026-11-21T10:01:30Z"
    first = (await logged.get(f"{LOG}?{span}&limit=1")).json()
    assert [e["event_time"] for e in first["events"]] == ["2026-11-21T10:01:00.000Z"]
    second = (await logged.get(f"{LOG}?{span}&limit=1&continuation={first['continuation']}")).json()
    assert [e["event_type"] for e in second["events"]] == ["connection_lost"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("start=yesterday", "start"),
        ("start=2026-11-21T10:00:00Z&end=2026-11-21T09:00:00Z", "start"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("since=1", "since"),
        ("continuation=nonsense", "continuation"),
    ],
)
async def test_what_is_wrong_is_named(logged: Api, query: str, field: str) -> None:
    answer = await logged.get(f"{LOG}?{query}")
    assert answer.status == 400
    assert answer.json()["problems"][0]["field"] == field


async def test_an_unknown_machine(api: Api) -> None:
    assert (await api.get("/api/v1/equipment/nobody/connection-log")).status == 404


async def test_the_hourly_timer(
    logged: Api, house: Services, clock: ManualClock, tick: Callable[..., Awaitable[None]]
) -> None:
    config = {"protocol": "rest_api", "endpoint": "http://127.0.0.1", "port": 9}
    answer = await logged.post("/api/v1/equipment/oven-1/iot-config?test=false", json=config)
    assert answer.status == 200, answer.body
    await house.readings.record(good_reading(at=0))
    clock.set(NOON + timedelta(hours=1, minutes=3))
    await tick("summarise_connections")
    (line,) = (await logged.get(f"{LOG}?limit=1")).json()["events"]
    assert line["event_type"] == "hourly_summary"
    assert (line["summary"]["polls"], line["summary"]["failures"]) == (3, 2)


async def test_timer_and_queue_read_a_machine_that_is_away(
    house: Services,
    api: Api,
    clock: ManualClock,
    tick: Callable[..., Awaitable[None]],
    drain: Callable[..., Awaitable[Drained]],
) -> None:
    """From the registration to the status that the API shows, through the functions of the app."""
    await api.post("/api/v1/equipment", json={"id": "oven-1", "name": "Oven 1"})
    config = {"protocol": "rest_api", "endpoint": "http://127.0.0.1", "port": 9, "poll_interval_seconds": 10}
    await api.post("/api/v1/equipment/oven-1/iot-config?test=false", json=config)
    await tick("plan_polls")
    clock.advance(10)
    drained = await drain(queues=("poll-batches",))
    assert (drained.handled, drained.failures) == (1, [])
    shown = (await api.get("/api/v1/equipment/oven-1")).json()
    assert shown["iot_connection_status"] == "disconnected"
    (event,) = (await api.get(LOG)).json()["events"]
    assert (event["event_type"], event["error_code"]) == ("poll_failed", "cannot_connect")
