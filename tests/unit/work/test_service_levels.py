"""Service levels: what is measured from what, met and missed, per group and per job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import iso
from shared.services import Services
from shared.work.service_levels import quantile
from shared.work.sessions_found import FoundRecord
from tests.api import Api

START = datetime(2026, 11, 21, 8, tzinfo=UTC)
ASKED = "/api/v1/calls/service-levels?from=2026-11-21T00:00:00Z&to=2026-11-22T00:00:00Z"


async def call(house: Services, name: str, *, waited: float | None, took: float | None, **more: Any) -> None:
    """Asked for at START, answered after ``waited`` seconds, ended ``took`` seconds after that."""
    began = START + timedelta(seconds=waited or 0)
    external: dict[str, Any] = {"job_type": more.pop("job_type", "repair")}
    if waited is not None:
        external["requested_at"] = iso(START)
    told: dict[str, Any] = {
        "kind": "call",
        "source": "some_platform",
        "account": "main",
        "external_id": name,
        "as_of": house.clock.now(),
        "asked": True,
        "ended": took is not None,
        "started_at": began,
        "ended_at": None if took is None else began + timedelta(seconds=took),
        "external_data": external,
    }
    await house.work.sessions.take(FoundRecord(**(told | more)))


async def test_counts_times_and_targets(api: Api, house: Services) -> None:
    targets = {
        "targets": [
            {"job_type": "Repair", "answer_seconds": 60, "resolution_seconds": 600},
            {"job_type": "*", "resolution_seconds": 100},
        ]
    }
    answer = await api.put("/api/v1/calls/service-levels/targets", json=targets)
    assert answer.status == 200, answer.body
    await call(house, "a", waited=30, took=300)
    await call(house, "b", waited=90, took=300)
    await call(house, "c", waited=60, took=3000)
    await call(house, "d", waited=None, took=200, job_type="training")
    await call(house, "e", waited=10, took=None)
    shown = (await api.get(ASKED)).json()
    assert (shown["total"]["calls"], shown["total"]["going_on"]) == (5, 1)
    [repair, training] = shown["groups"]
    assert repair["job_type"] == "repair"
    assert repair["answer"] == {
        "measured": 4,
        "median_seconds": 45.0,
        "p90_seconds": 81.0,
        "met": 3,
        "missed": 1,
        "met_percent": 75.0,
    }
    assert repair["resolution"]["median_seconds"] == 390.0
    assert (repair["resolution"]["met"], repair["resolution"]["missed"]) == (2, 1)
    assert training["answer"]["measured"] == 0, "nobody knows how long it waited"
    assert (training["resolution"]["met"], training["resolution"]["missed"]) == (0, 1)
    assert (await api.get("/api/v1/calls/service-levels/targets")).json()["targets"][0]["job_type"] == "Repair"


async def test_a_job_lasts_from_its_first_request_to_the_end_of_its_last_call(api: Api, house: Services) -> None:
    await call(house, "a", waited=30, took=100, work_order_id="W1")
    await call(house, "b", waited=1000, took=500, work_order_id="W1")
    await call(house, "c", waited=10, took=None, work_order_id="W2")
    shown = (await api.get(f"{ASKED}&group_by=work_order_id")).json()
    assert shown["total"]["jobs"] == {"count": 2, "resolved": 1, "median_seconds": 1500.0, "p90_seconds": 1500.0}
    assert [group["work_order_id"] for group in shown["groups"]] == ["W1", "W2"]


@pytest.mark.parametrize("group", ["equipment_id", "site", "connection", "day"])
async def test_groups(api: Api, house: Services, group: str) -> None:
    await call(house, "a", waited=30, took=100, equipment_id="oven1")
    [shown] = (await api.get(f"{ASKED}&group_by={group}")).json()["groups"]
    assert shown[group] == {"equipment_id": "oven1", "site": None, "connection": "main", "day": "2026-11-21"}[group]


async def test_a_wrong_clock_measures_nothing(api: Api, house: Services) -> None:
    await call(house, "a", waited=None, took=100, external_data={"requested_at": iso(START + timedelta(hours=1))})
    await call(house, "b", waited=None, took=100, external_data={"requested_at": "soon"})
    total = (await api.get(ASKED)).json()["total"]
    assert total["answer"]["measured"] == 0
    assert (total["resolution"]["measured"], total["resolution"]["median_seconds"]) == (2, 100.0)


async def test_sessions_are_no_calls(api: Api, house: Services) -> None:
    await call(house, "a", waited=1, took=1, kind="session")
    assert (await api.get(ASKED)).json()["total"]["calls"] == 0


@pytest.mark.parametrize(
    "targets",
    [
        [{"job_type": "a"}, {"job_type": "A"}],
        [{"job_type": "a", "answer_seconds": 0}],
        [{"job_type": "a", "unknown": 1}],
    ],
)
async def test_targets_that_cannot_be(api: Api, targets: list[dict[str, Any]]) -> None:
    answer = await api.put("/api/v1/calls/service-levels/targets", json={"targets": targets})
    assert answer.status == 400
    assert (await api.get("/api/v1/calls/service-levels?from=2026-11-21T00:00:00Z")).status == 400


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.floats(0, 1))
def test_quantiles_lie_between(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert found is not None
    assert min(values) - 0.001 <= found <= max(values) + 0.001
    assert quantile([], share) is None
    assert quantile([1.0, 2.0, 3.0], 0.5) == 2.0
