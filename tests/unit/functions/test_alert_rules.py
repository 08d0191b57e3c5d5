"""`/api/v1/alert-rules`: as a person with curl uses them."""

from __future__ import annotations

from typing import Any

import pytest

from shared.clock import ManualClock
from shared.services import Services
from tests.api import Api
from tests.unit.alerts.conftest import Plant

RULES = "/api/v1/alert-rules"
ISSUE: dict[str, Any] = {
    "equipment_id": "OVEN-1",
    "signal": "temperature.cabinet",
    "kind": "high",
    "limit": 250,
    "deadband": 5,
    "on_delay_seconds": 0,
    "off_delay_seconds": 0,
    "severity": "critical",
}


@pytest.fixture(autouse=True)
async def plant(house: Services, clock: ManualClock) -> Plant:
    made = Plant(house, clock)
    await house.store.create("equipment", made.oven.to_document())
    return made


async def test_create_as_the_issue_writes_it(api: Api) -> None:
    answer = await api.post(RULES, json=ISSUE)
    assert answer.status == 201
    body = answer.json()
    assert {k: body[k] for k in ISSUE} == ISSUE
    assert (body["unit"], body["enabled"], body["origin"], body["version"]) == ("C", True, "equipment", 1)
    assert answer.headers["location"].endswith(f"{RULES}/{body['id']}")
    again = await api.get(f"{RULES}/{body['id']}")
    assert again.json() == body
    assert again.headers["etag"] == answer.headers["etag"]


async def test_the_effective_set_with_the_origin_of_each(api: Api) -> None:
    await api.post(RULES, json=ISSUE)
    rules = (await api.get(f"{RULES}?equipment_id=OVEN-1")).json()["rules"]
    assert {(r["kind"], r["origin"]) for r in rules} == {
        ("high", "equipment"),
        ("connection_lost", "builtin"),
        ("equipment_error", "builtin"),
        ("stale", "builtin"),
    }
    everything = (await api.get(RULES)).json()
    assert [r["kind"] for r in everything["rules"]] == ["high"]


async def test_change_with_etag(api: Api) -> None:
    created = await api.post(RULES, json=ISSUE)
    path, etag = f"{RULES}/{created.json()['id']}", created.headers["etag"]
    changed = await api.patch(path, json={"limit": 260}, headers={"If-Match": etag})
    assert (changed.status, changed.json()["limit"], changed.json()["version"]) == (200, 260, 2)
    assert (await api.patch(path, json={"limit": 270}, headers={"If-Match": etag})).status == 412
    assert (await api.delete(path, headers={"If-Match": etag})).status == 412
    assert (await api.delete(path, headers={"If-Match": changed.headers["etag"]})).status == 204
    assert (await api.get(path)).status == 404
    assert (await api.delete(path)).status == 404


async def test_a_default_is_disabled_for_one_machine_and_comes_back(api: Api) -> None:
    path = f"{RULES}/OVEN-1:builtin-stale"
    body = (await api.patch(path, json={"enabled": False})).json()
    assert (body["enabled"], body["origin"], body["replaces"]) == (False, "equipment", "builtin")
    assert (await api.delete(path)).status == 204
    assert (await api.get(path)).json()["origin"] == "builtin"
    refused = await api.delete(path)
    assert (refused.status, "disable it" in refused.json()["detail"]) == (409, True)


async def test_rules_of_a_profile(api: Api) -> None:
    body = {"profile": "deck_oven", "kind": "deviation", "signal": "temperature.deck1", "limit": 15}
    created = (await api.post(RULES, json=body)).json()
    assert (created["id"].rpartition(":")[0], created["origin"]) == ("profile:deck_oven", "profile:deck_oven")
    assert (await api.get(f"{RULES}/{created['id']}")).status == 200
    assert len((await api.get(f"{RULES}?profile=deck_oven")).json()["rules"]) == 4


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"limit": None}, "limit"),
        ({"limit": "250"}, "limit"),
        ({"kind": "hot"}, "kind"),
        ({"kind": "connection_lost"}, "signal"),
        ({"on_delay_seconds": -1}, "on_delay_seconds"),
        ({"limits": 1}, "limits"),
        ({"equipment_id": None}, "equipment_id"),
        ({"profile": "x"}, "equipment_id"),
        ({"equipment_id": "a/b"}, "equipment_id"),
        ({"severity": "urgent"}, "severity"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_stored(api: Api, change: dict[str, Any], field: str) -> None:
    answer = await api.post(RULES, json={**ISSUE, **change})
    assert answer.status == 400
    assert field in [p["field"] for p in answer.json()["problems"]]
    assert (await api.get(RULES)).json()["rules"] == []


async def test_a_machine_that_is_not_there(api: Api) -> None:
    answer = await api.post(RULES, json={**ISSUE, "equipment_id": "OVEN-9"})
    assert (answer.status, "equipment_id" in answer.json()["detail"]) == (404, True)
    assert (await api.get(f"{RULES}?equipment_id=OVEN-9")).status == 404
    assert (await api.get(f"{RULES}/OVEN-9:builtin-stale")).status == 404
    assert (await api.patch(f"{RULES}/OVEN-1:nothing", json={"limit": 1})).status == 404
    assert (await api.patch(f"{RULES}/nothing", json={"limit": 1})).status == 404


async def test_an_empty_change_and_malformed_bodies(api: Api) -> None:
    assert (await api.patch(f"{RULES}/OVEN-1:builtin-stale", json={})).status == 400
    for body in (b"", b"{", b"[]", b"null", b"\xff"):
        assert (await api.post(RULES, body=body)).status == 400


async def test_presets(api: Api) -> None:
    presets = (await api.get("/api/v1/alert-rule-presets")).json()["presets"]
    assert {p["jurisdiction"] for p in presets} == {"US"}
    body = {"equipment_id": "OVEN-1", "preset": "us-food-code-poultry", "signal": "temperature.core"}
    created = (await api.post(RULES, json=body)).json()
    assert (created["kind"], created["limit"], created["severity"]) == ("reach", 74, "critical")
    assert created["name"] == "Poultry, stuffed food: core 74 °C (165 °F), instantaneous."


async def test_fahrenheit_is_kept_as_entered(api: Api) -> None:
    body = (await api.post(RULES, json={**ISSUE, "limit": 482, "deadband": 9, "unit": "F"})).json()
    assert (body["limit"], body["deadband"], body["unit"], body["limit_celsius"]) == (482, 9, "F", 250)
    changed = (await api.patch(f"{RULES}/{body['id']}", json={"limit": 500})).json()
    assert (changed["limit"], changed["limit_celsius"]) == (500, 260)
