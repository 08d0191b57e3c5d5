"""The fixtures that other tests rely on: functions in-process, queues drained, timers run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from shared.clock import ManualClock, iso
from shared.services import Services, services
from tests.api import Api, Drained


async def test_the_house_is_the_services_of_the_process(house: Services, clock: ManualClock) -> None:
    assert services() is house
    assert house.clock is clock
    assert iso(clock.now()) == "2026-11-21T10:00:00.000Z"


async def test_api_calls_functions_by_their_routes(api: Api) -> None:
    answer = await api.get("/API/health/ready")
    assert answer.status == 200
    assert answer.json()["status"] == "ready"
    assert answer.headers["content-type"] == "application/json"
    assert (await api.delete("/api/health")).status == 404


async def test_api_sends_json(api: Api) -> None:
    answer = await api.post("/api/v1/tokens", json={"nonsense": 1})
    assert answer.status == 400
    assert "nonsense" in answer.body.decode()
    assert (await api.post("/api/v1/tokens", body="{", headers={"Content-Type": "application/json"})).status == 400


async def test_tick_runs_a_timer_and_drain_the_queues(
    tick: Callable[..., Awaitable[None]], drain: Callable[..., Awaitable[Drained]]
) -> None:
    await tick("plan_polls")
    done = await drain()
    assert done.failures == []
    with pytest.raises(AssertionError, match="no timer function 'nothing'"):
        await tick("nothing")
