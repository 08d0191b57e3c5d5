"""`/api/v1/equipment/iot-alerts`, `/api/v1/alerts/{id}...`, and the timer: as a person with curl uses them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.services import Services
from tests.api import Api
from tests.unit.alerts.conftest import Plant
from tests.unit.alerts.readings import at, cabinet, failed, reading

LIST = "/api/v1/equipment/iot-alerts"


@pytest.fixture
async def plant(house: Services, clock: ManualClock) -> Plant:
    """An oven in the registry; alerts are the house's own."""
    made = Plant(house, clock)
    made.rules = house.alert_rules
    made.alerts = house.alerts
    await house.store.create("equipment", made.oven.to_document())
    return made


@pytest.fixture
async def raised(plant: Plant) -> str:
    """The id of an active alert."""
    await plant.rule(severity="critical")
    await plant.take(cabinet(0, 262))
    return await plant.the_id()


async def alerts(api: Api, query: str = "") -> list[dict[str, Any]]:
    answer = await api.get(f"{LIST}?{query}" if query else LIST)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json()["alerts"]
    return found


async def test_the_list_has_the_guides_fields(api: Api, raised: str, clock: ManualClock) -> None:
    clock.advance(90)
    (alert,) = await alerts(api)
    assert alert == {
        "id": raised,
        "equipment_id": "OVEN-1",
        "equipment_name": "Horno Principal #1",
        "site": "madrid",
        "alert_type": "temperature_deviation",
        "severity": "critical",
        "status": "active",
        "state": "active_unacknowledged",
        "message": "Horno Principal #1: cabinet 262 °C, limit 250 °C",
        "triggered_at": "2026-11-21T10:00:00.000Z",
        "acknowledged_at": None,
        "acknowledged_by": None,
        "resolved_at": None,
        "resolved_by": None,
        "signal": "temperature.cabinet",
        "value": 262.0,
        "unit": "C",
        "limit": 250.0,
        "compared_value": None,
        "setpoint": None,
        "kind": "high",
        "batch_id": None,
        "rule_id": f"OVEN-1:{raised.split(':')[1]}",
        "duration_seconds": 90.0,
        "shelved_until": None,
    }


async def test_active_alerts_are_those_not_over(api: Api, plant: Plant, raised: str) -> None:
    assert len(await alerts(api)) == 1
    await api.post(f"/api/v1/alerts/{raised}/acknowledge")
    assert [a["status"] for a in await alerts(api)] == ["acknowledged"]
    await plant.take(cabinet(60, 200))
    assert await alerts(api) == []
    assert [a["state"] for a in await alerts(api, "status=all")] == ["closed"]
    assert [a["status"] for a in await alerts(api, "status=resolved")] == ["resolved"]


async def test_what_went_away_unseen_is_found_by_its_state(api: Api, plant: Plant, raised: str) -> None:
    await plant.take(cabinet(60, 200))
    assert await alerts(api) == []
    assert [a["id"] for a in await alerts(api, "state=cleared_unacknowledged")] == [raised]


async def test_filters(api: Api, plant: Plant, raised: str) -> None:
    await plant.take(failed(100), failed(130), failed(160))
    assert [a["alert_type"] for a in await alerts(api)] == ["connection_lost", "temperature_deviation"]
    assert [a["severity"] for a in await alerts(api, "severity=warning")] == ["warning"]
    assert len(await alerts(api, "severity=warning,critical")) == 2
    assert [a["alert_type"] for a in await alerts(api, "type=connection_lost")] == ["connection_lost"]
    assert len(await alerts(api, "equipment_id=OVEN-1")) == 2
    assert await alerts(api, "equipment_id=OVEN-2") == []
    assert len(await alerts(api, "since=2026-11-21T10:01:00Z")) == 1


@pytest.mark.parametrize("query", ["", "equipment_id=OVEN-1&"], ids=["all machines", "one machine"])
async def test_pages_newest_first(api: Api, plant: Plant, query: str) -> None:
    await plant.rule()
    await plant.take(*(cabinet(30 * i, 200 if i % 2 else 260) for i in range(13)))
    seen: list[str] = []
    continuation = ""
    for _ in range(10):
        body = (await api.get(f"{LIST}?{query}status=all&limit=3{continuation}")).json()
        seen += [a["triggered_at"] for a in body["alerts"]]
        if body["continuation"] is None:
            break
        continuation = f"&continuation={body['continuation']}"
    assert len(seen) == 7
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=open", "status"),
        ("severity=high", "severity"),
        ("state=active", "state"),
        ("type=fire", "type"),
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("since=yesterday", "since"),
        ("continuation=%21%21", "continuation"),
        ("equipment=OVEN-1", "equipment"),
    ],
)
async def test_a_wrong_question_is_named(api: Api, raised: str, query: str, field: str) -> None:
    answer = await api.get(f"{LIST}?{query}")
    assert answer.status == 400
    assert [p["field"] for p in answer.json()["problems"]] == [field]


async def test_more_than_can_be_put_in_order_is_said(api: Api, plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.alerts.handling.LOOKED_AT", 3)
    await plant.rule()
    await plant.take(*(cabinet(30 * i, 200 if i % 2 else 260) for i in range(9)))
    body = (await api.get(f"{LIST}?status=all")).json()
    assert body["truncated"] is True
    assert "narrow" in body["hint"]


class TestDetails:
    async def test_an_auditor_finds_the_whole_story(self, api: Api, plant: Plant, raised: str) -> None:
        await plant.take(cabinet(30, 287), failed(60))
        live = (await api.get(f"/api/v1/alerts/{raised}")).json()
        assert (live["peak"], live["bad_readings"]) == (287, 1)
        await api.post(f"/api/v1/alerts/{raised}/acknowledge", json={"comment": "door was open"})
        await api.post(f"/api/v1/alerts/{raised}/comment", json={"comment": "closed it"})
        await plant.take(cabinet(90, 240))
        body = (await api.get(f"/api/v1/alerts/{raised}")).json()
        assert body["rule"]["text"] == "cabinet above 250 °C; critical"
        assert (body["rule"]["version"], body["rule"]["fields"]["limit"]) == (1, 250)
        assert (body["value"], body["peak"], body["limit"], body["clear_value"]) == (262, 287, 250, 240)
        assert (body["duration_seconds"], body["bad_readings"], body["quality"]) == (90, 1, "good")
        assert body["acknowledged_comment"] == "door was open"
        assert body["comments"] == [
            {"at": "2026-11-21T10:01:00.000Z", "by": body["acknowledged_by"], "text": "closed it"}
        ]
        assert [h["action"] for h in body["history"]] == ["raised", "acknowledged", "cleared"]
        for when in ("raise", "clear"):
            reading_id = body[f"reading_id_at_{when}"]
            stored = await plant.house.store.read("readings", ("OVEN-1", "2026-11-21"), reading_id)
            assert stored.document["values"]["temperature.cabinet"]["v"] == (262 if when == "raise" else 240)

    async def test_unknown_ids(self, api: Api, raised: str) -> None:
        for unknown in ("nothing", "OVEN-1:x:y", raised + "0", "%00:a:b"):
            for method, path in (("GET", ""), ("POST", "/acknowledge"), ("POST", "/resolve")):
                answer = await api.call(method, f"/api/v1/alerts/{unknown}{path}")
                assert answer.status in (400, 404), (unknown, answer.status)
                assert answer.json()["detail"]

    async def test_colons_need_no_escape_and_may_be_escaped(self, api: Api, raised: str) -> None:
        assert (await api.get(f"/api/v1/alerts/{raised}")).status == 200
        assert (await api.get(f"/api/v1/alerts/{raised.replace(':', '%3A')}")).status == 200


class TestHandling:
    async def test_acknowledge(self, api: Api, house: Services, raised: str, clock: ManualClock) -> None:
        first = (await api.post(f"/api/v1/alerts/{raised}/acknowledge", json={"comment": "seen"})).json()
        assert (first["status"], first["state"]) == ("acknowledged", "active_acknowledged")
        clock.advance(60)
        again = (await api.post(f"/api/v1/alerts/{raised}/acknowledge", json={"comment": "other"})).json()
        assert again["acknowledged_at"] == first["acknowledged_at"] == "2026-11-21T10:00:00.000Z"
        assert again["acknowledged_comment"] == "seen"
        page = await house.audit.entries(stream="alert:OVEN-1", limit=10)
        (entry,) = page.entries
        assert (entry.action, entry.target) == ("alert.acknowledged", raised)
        assert entry.before == {"state": "active_unacknowledged"}
        assert entry.after["acknowledgedComment"] == "seen"

    async def test_resolve_holds_until_the_condition_was_gone_once(self, api: Api, plant: Plant, raised: str) -> None:
        body = (await api.post(f"/api/v1/alerts/{raised}/resolve", json={"comment": "calibrated"})).json()
        assert (body["status"], body["state"], body["closed_comment"]) == ("resolved", "closed", "calibrated")
        await plant.take(cabinet(60, 270), cabinet(90, 275))
        assert await alerts(api) == []
        await plant.take(cabinet(120, 240), cabinet(150, 260))
        assert len(await alerts(api)) == 1
        closed = (await api.get(f"/api/v1/alerts/{raised}")).json()
        assert (closed["resolved_at"], closed["cleared_at"]) == ("2026-11-21T10:00:00.000Z", "2026-11-21T10:02:00.000Z")

    async def test_what_the_state_does_not_allow_is_a_conflict_with_the_reason(self, api: Api, raised: str) -> None:
        await api.post(f"/api/v1/alerts/{raised}/resolve")
        for action, body in (("acknowledge", None), ("shelve", {"minutes": 5})):
            answer = await api.post(f"/api/v1/alerts/{raised}/{action}", json=body)
            assert answer.status == 409
            assert answer.json()["detail"].endswith(".")
        assert (await api.post(f"/api/v1/alerts/{raised}/resolve")).status == 200
        assert (await api.post(f"/api/v1/alerts/{raised}/comment", json={"comment": "still true"})).status == 200

    async def test_shelve_and_unshelve(self, api: Api, house: Services, raised: str) -> None:
        body = (await api.post(f"/api/v1/alerts/{raised}/shelve", json={"minutes": 30})).json()
        assert (body["shelved_until"], body["status"]) == ("2026-11-21T10:30:00.000Z", "active")
        body = (await api.post(f"/api/v1/alerts/{raised}/unshelve")).json()
        assert body["shelved_until"] is None
        assert (await api.post(f"/api/v1/alerts/{raised}/unshelve")).status == 200
        page = await house.audit.entries(stream="alert:OVEN-1", limit=10)
        assert [e.action for e in page.entries] == ["alert.unshelved", "alert.shelved"]

    async def test_a_shelf_that_outlasts_its_alert_can_be_lifted(self, api: Api, plant: Plant, raised: str) -> None:
        await api.post(f"/api/v1/alerts/{raised}/shelve", json={"minutes": 600})
        await plant.take(cabinet(60, 200))
        assert (await api.post(f"/api/v1/alerts/{raised}/unshelve")).status == 200
        await plant.take(cabinet(90, 260))
        (alert,) = await alerts(api)
        assert alert["shelved_until"] is None

    @pytest.mark.parametrize(
        ("action", "body", "field"),
        [
            ("shelve", {}, "minutes"),
            ("shelve", {"minutes": 0}, "minutes"),
            ("shelve", {"minutes": 1441}, "minutes"),
            ("shelve", {"minutes": "5"}, "minutes"),
            ("shelve", {"minutes": 5, "reason": "x"}, "reason"),
            ("comment", {}, "comment"),
            ("comment", {"comment": "  "}, "comment"),
            ("comment", {"comment": "x" * 2001}, "comment"),
            ("acknowledge", {"comment": 5}, "comment"),
        ],
    )
    async def test_wrong_bodies(self, api: Api, raised: str, action: str, body: dict[str, Any], field: str) -> None:
        answer = await api.post(f"/api/v1/alerts/{raised}/{action}", json=body)
        assert answer.status == 400
        assert [p["field"] for p in answer.json()["problems"]] == [field]
        (alert,) = await alerts(api)
        assert alert["state"] == "active_unacknowledged"

    @pytest.mark.parametrize(
        ("role", "looking", "handling", "ruling"),
        [("viewer", 200, 403, 403), ("operator", 200, 200, 403), ("engineer", 200, 200, 201)],
    )
    async def test_roles(self, api: Api, raised: str, role: str, looking: int, handling: int, ruling: int) -> None:
        made = await api.post("/api/v1/tokens", json={"name": "t", "roles": [role]})
        headers = {"Authorization": f"Bearer {made.json()['token']}"}
        body = {"equipment_id": "OVEN-1", "kind": "bad"}
        assert (await api.get(LIST, headers=headers)).status == looking
        assert (await api.post(f"/api/v1/alerts/{raised}/acknowledge", headers=headers)).status == handling
        assert (await api.post("/api/v1/alert-rules", json=body, headers=headers)).status == ruling
        assert (await api.get("/api/v1/alert-rules", headers=headers)).status == looking


async def test_an_alert_of_a_real_batch_names_it(api: Api, plant: Plant) -> None:
    await plant.rule("reach", signal="temperature.core", limit=74)
    for s, status, value in ((0, "idle", 20.0), (30, "running", 60.0), (60, "running", 71.0), (90, "idle", 70.0)):
        await plant.take(reading(s, {"temperature.core": value, "batch.id": "B-12"}, status=status))
    (alert,) = await alerts(api)
    assert (alert["alert_type"], alert["batch_id"]) == ("haccp_not_reached", "B-12")
    assert alert["message"] == (
        "Horno Principal #1: core did not reach 74 °C before the cycle of batch B-12 ended: highest 71 °C"
    )


async def test_the_timer_notices_silence(
    api: Api, plant: Plant, clock: ManualClock, tick: Callable[..., Awaitable[None]]
) -> None:
    await plant.take(cabinet(0, 180))
    await tick("watch_alerts")
    clock.set(at(111))
    await tick("watch_alerts")
    assert [a["alert_type"] for a in await alerts(api)] == ["data_stale"]
