"""Sessions, calls and work orders by the API."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.services import Services
from shared.signals import Reading, SignalValue
from shared.work.sessions_found import FoundCapture, FoundRecord
from tests.api import Api

ORDER = "WO-7/2+1"
ORDER_PATH = "/api/v1/work-orders/WO-7%2F2%2B1"


@pytest.fixture
def found(clock: ManualClock) -> FoundRecord:
    return FoundRecord(
        kind="session",
        source="some_platform",
        account="main",
        external_id="a/b+c=",
        as_of=clock.now(),
        asked=True,
        state="completed",
        ended=True,
        started_at=clock.now() - timedelta(minutes=30),
        ended_at=clock.now(),
        title="Clean it",
        external_data={"work_order_id": ORDER, "who": "Ada"},
        work_order_id=ORDER,
        equipment_id="oven1",
        batch_id="B-9",
        told={"state": "completed"},
    )


async def test_a_work_order_is_everything_that_names_it(house: Services, api: Api, found: FoundRecord) -> None:
    await api.post("/api/v1/equipment", json={"id": "oven1", "name": "Deck oven 1", "type": "deck_oven"})
    await house.work.sessions.take(found)
    await house.work.sessions.take(replace(found, kind="call", external_id="c1", title=None))
    await house.work.sessions.take(replace(found, external_id="other", work_order_id="WO-8"))
    task = await api.post("/api/v1/tasks", json={"title": "Descale", "work_order_id": ORDER, "status": "done"})
    batch = await api.post("/api/v1/batches", json={"id": "B-9", "equipment_id": "oven1", "work_order_id": ORDER})
    assert (task.status, batch.status) == (201, 201)
    await house.inbox.accept("press", b"{}", {}, dedupe_key="k", verdict="unsigned", work_order_id=ORDER)

    answer = await api.get(ORDER_PATH)
    assert answer.status == 200
    order = answer.json()
    assert order["id"] == ORDER
    assert order["equipment"] == [{"id": "oven1", "name": "Deck oven 1"}]
    assert [one["external_id"] for one in order["sessions"]] == ["a/b+c="]
    assert [one["external_id"] for one in order["calls"]] == ["c1"]
    assert [one["id"] for one in order["tasks"]] == [task.json()["id"]], "done tasks, too"
    assert [one["id"] for one in order["batches"]] == ["B-9"]
    assert [one["source"] for one in order["messages"]] == ["press"]
    assert (await api.get(order["messages"][0]["url"])).status == 200
    assert order["truncated"] == []


@pytest.mark.parametrize("name", ["WO-9", "x" * 300, "WO%2D9"])
async def test_an_order_that_nothing_names_is_not_there(api: Api, name: str) -> None:
    assert (await api.get(f"/api/v1/work-orders/{name}")).status in (400, 404)


async def test_one_session_with_all_that_is_known(
    house: Services, api: Api, clock: ManualClock, found: FoundRecord
) -> None:
    await api.post("/api/v1/equipment", json={"id": "oven1", "name": "Deck oven 1", "type": "deck_oven"})
    at = clock.now() - timedelta(minutes=10)
    await house.readings.record(Reading("oven1", at, {"temperature.deck": SignalValue(231.5, unit="C")}))
    whole = replace(
        found,
        steps=({"id": "s1", "name": "Open it", "completed": True},),
        captures=(FoundCapture("p/1", "PHOTO", "Open it"),),
        gaps=("Of 2 steps that were viewed 1 are shown.",),
    )
    record = (await house.work.sessions.take(whole)).record
    answer = await api.get(f"/api/v1/sessions/{record['id']}")
    said = answer.json()
    assert (answer.status, said["duration_seconds"], said["complete"]) == (200, 1800.0, False)
    assert said["readings"]["signals"]["temperature.deck"]["last"] == 231.5
    assert said["captures"][0] | {"id": None} == {
        "id": None,
        "external_id": "p/1",
        "kind": "PHOTO",
        "step": "Open it",
        "taken_at": None,
        "status": "pending",
        "reason": None,
        "content_type": None,
        "bytes": None,
        "sha256": None,
        "copied_at": None,
        "url": None,
    }
    assert said["platform_data"] == {"state": "completed"}
    readings = await api.get(said["readings_url"])
    assert (readings.status, len(readings.json()["readings"])) == (200, 1)
    missing = await api.get(f"/api/v1/sessions/{record['id']}/captures/{said['captures'][0]['id']}")
    assert (missing.status, "still to be fetched" in missing.json()["detail"]) == (404, True)


async def test_a_session_is_no_call(house: Services, api: Api, found: FoundRecord) -> None:
    record = (await house.work.sessions.take(found)).record
    answer = await api.get(f"/api/v1/calls/{record['id']}")
    assert (answer.status, answer.json()["detail"]) == (404, f"{record['id']} is no call; it is a session.")
    assert (await api.get("/api/v1/sessions/nonsense")).status == 404


async def test_lists_by_what_they_belong_to(house: Services, api: Api, clock: ManualClock, found: FoundRecord) -> None:
    for number in range(5):
        begun = clock.now() - timedelta(hours=number + 1)
        one = replace(found, external_id=f"s{number}", started_at=begun, state=f"state {number % 2}")
        await house.work.sessions.take(one if number else replace(one, ended=False, ended_at=None))

    async def names(query: str) -> list[str]:
        answer = await api.get(f"/api/v1/sessions?{query}")
        assert answer.status == 200, answer.body
        return [one["external_id"] for one in answer.json()["sessions"]]

    assert await names("") == ["s0", "s1", "s2", "s3", "s4"], "newest first"
    assert await names("work_order_id=WO-7%2F2%2B1&equipment_id=oven1") == ["s0", "s1", "s2", "s3", "s4"]
    assert await names("batch_id=B-9&state=state%201") == ["s1", "s3"]
    assert await names("ended=false") == ["s0"]
    assert await names("from=2026-11-21T07:00:00Z&to=2026-11-21T09:00:00Z") == ["s1", "s2"]
    assert await names("work_order_id=WO-8") == []
    first: dict[str, Any] = (await api.get("/api/v1/sessions?limit=2")).json()
    rest: dict[str, Any] = (await api.get(f"/api/v1/sessions?limit=3&continuation={first['continuation']}")).json()
    assert [one["external_id"] for one in (*first["sessions"], *rest["sessions"])] == ["s0", "s1", "s2", "s3", "s4"]
    assert (await api.get("/api/v1/calls")).json()["calls"] == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "ended=perhaps", "from=2026-11-21&to=2026-11-20", "order=WO", "continuation=x", "from=1066-01-01"],
)
async def test_questions_that_cannot_be_answered(api: Api, query: str) -> None:
    answer = await api.get(f"/api/v1/sessions?{query}")
    assert answer.status == 400, answer.body
    assert answer.json()["problems"]
