"""`/api/v1/metrics`: what this process measured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from shared import services as services_module
from shared.clock import ManualClock
from shared.metrics import ALL
from shared.services import Services
from shared.settings import Settings
from tests.api import Api, Drained

Drain = Callable[..., Awaitable[Drained]]
Tick = Callable[..., Awaitable[None]]


async def series(api: Api, name: str) -> dict[tuple[str, ...], dict[str, Any]]:
    """By attribute values."""
    metrics = (await api.get("/api/v1/metrics")).json()["metrics"]
    (found,) = [metric for metric in metrics if metric["name"] == name]
    return {tuple(one["attributes"].values()): one for one in found["series"]}


async def test_every_measure_is_listed(api: Api) -> None:
    answer = await api.get("/api/v1/metrics")
    assert answer.status == 200
    body = answer.json()
    assert [metric["name"] for metric in body["metrics"]] == [measure.name for measure in ALL]
    assert {metric["kind"] for metric in body["metrics"]} == {"counter", "histogram", "gauge"}


async def test_some_can_be_asked_for(api: Api) -> None:
    found = (await api.get("/api/v1/metrics?name=poll.")).json()["metrics"]
    assert [metric["name"] for metric in found] == ["poll.planned", "poll.duration", "poll.lag_seconds", "poll.skipped"]
    assert (await api.get("/api/v1/metrics?name=nothing")).json()["metrics"] == []


async def test_functions_are_measured(api: Api) -> None:
    def count(found: dict[tuple[str, ...], dict[str, Any]], outcome: str) -> int:
        return int(found.get(("read_equipment", outcome), {"count": 0})["count"])

    before = await series(api, "function.duration")
    await api.get("/api/v1/equipment/nobody")
    after = await series(api, "function.duration")
    assert count(after, "4xx") == count(before, "4xx") + 1
    assert after["read_equipment", "4xx"]["p50"] > 0


async def test_a_refused_webhook_is_counted(api: Api) -> None:
    before = (await series(api, "webhook.rejected")).get(("address",), {"value": 0})
    assert (await api.post("/api/hooks/press/wrong", json={})).status == 404
    after = (await series(api, "webhook.rejected"))["address",]
    assert after["value"] == before["value"] + 1


async def test_deliveries_are_measured(api: Api, drain: Drain, tick: Tick, clock: ManualClock, house: Services) -> None:
    body = {"eventType": "EXTERNAL", "url": "http://127.0.0.1:9/x", "maxRedeliverAttempts": 0}
    assert (await api.post("/ffwebservices/api/v2/callbacks", json=body)).status == 201
    attempts = (await series(api, "delivery.attempts")).get(("refused",), {"value": 0})
    discarded = (await series(api, "delivery.discarded")).get(("max_attempts",), {"value": 0})
    lag = (await series(api, "delivery.lag_seconds")).get(("no",), {"count": 0})
    event = {"eventType": "EXTERNAL", "eventName": "x"}
    sent = await api.post("/ffwebservices/api/v2/events", json=event)
    assert sent.status < 300, sent.body
    clock.advance(7)
    await tick("sweep_deliveries")
    assert (await series(api, "delivery.oldest_pending_seconds"))[()]["value"] == 7
    await drain()
    assert (await series(api, "delivery.attempts"))["refused",]["value"] == attempts["value"] + 1
    assert (await series(api, "delivery.discarded"))["max_attempts",]["value"] == discarded["value"] + 1
    assert (await series(api, "delivery.lag_seconds"))["no",]["count"] == lag["count"] + 1
    await tick("sweep_deliveries")
    assert (await series(api, "delivery.oldest_pending_seconds"))[()]["value"] == 0


@pytest.mark.parametrize(
    ("accept", "text"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/json, text/plain, */*", False),
        ("text/plain", True),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", True),
    ],
)
async def test_prometheus_gets_text(api: Api, accept: str, text: bool) -> None:
    answer = await api.get("/api/v1/metrics", headers={"accept": accept})
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4" if text else "application/json")
    if text:
        assert "# TYPE ovenbridge_function_duration_seconds summary\n" in answer.body.decode()


async def test_it_is_not_for_everybody(tmp_path: Path, clock: ManualClock) -> None:
    built = Services(Settings(data_dir=tmp_path / "strict"), clock)
    services_module.use(built)
    try:
        assert (await Api().get("/api/v1/metrics")).status == 401
    finally:
        services_module.use(None)
        await built.close()


async def test_a_machine_s_readings_and_alerts_are_measured(
    api: Api, drain: Drain, tick: Tick, clock: ManualClock
) -> None:
    """A machine that cannot be reached: a bad reading, a failed poll, and in the end an open alert."""
    assert (await api.post("/api/v1/equipment", json={"id": "OVEN-1", "name": "Oven 1"})).status == 201
    config = {
        "protocol": "rest_api",
        "endpoint": "http://127.0.0.1:9",
        "additional_config": {"data_endpoint": "/now"},
        "supports_realtime": True,
        "poll_interval_seconds": 10,
    }
    assert (await api.post("/api/v1/equipment/OVEN-1/iot-config", json=config)).status == 200
    bad = (await series(api, "readings.ingested")).get(("bad",), {"value": 0})["value"]
    failed = (await series(api, "poll.duration")).get(("rest_api", "rest_api", "cannot_connect"), {"count": 0})["count"]
    for _ in range(60):
        clock.advance(5)
        await tick("plan_polls")
        clock.advance(5)
        await drain()
    await tick("watch_alerts")
    assert (await series(api, "readings.ingested"))["bad",]["value"] > bad + 3
    assert (await series(api, "poll.duration"))["rest_api", "rest_api", "cannot_connect"]["count"] > failed + 3
    assert {"steady", "failing"} >= {lane for (lane,) in await series(api, "poll.planned")}
    still_open = await series(api, "alerts.open")
    assert set(still_open) == {("info",), ("warning",), ("critical",)}
    assert sum(one["value"] for one in still_open.values()) == 1
    assert await series(api, "poll.lag_seconds")
