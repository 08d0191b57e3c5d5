"""Webhooks of any realm: taken by their envelope, told once, whatever comes twice or in two versions."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.events.catalogue import CATALOGUE
from shared.services import Services
from shared.signals import Quality, Reading, SignalValue
from shared.storage import Query, every
from tests.api import Api, ApiAnswer
from tests.unit.platforms.operations1.payloads import drifted, order_complete, shuffled, text, value_webhook

CHECKED: dict[str, Any] = {
    "tags": {
        "core_temp": {"equipment_id": "OVEN-1", "signal": "temperature.core"},
        "door": {"equipment_id": "OVEN-1", "signal": "door.open"},
    },
    "tolerance": {"absolute": 2},
}


class Plant:
    """An oven, a source, and what came of it."""

    def __init__(self, api: Api, house: Services, clock: ManualClock, drain: Callable[..., Awaitable[Any]]) -> None:
        self.api, self.house, self.clock, self.drain = api, house, clock, drain
        self.paths: dict[str, str] = {}

    async def source(self, name: str = "op1", **wanted: Any) -> ApiAnswer:
        answer = await self.api.post("/api/v1/hook-sources", json={"id": name, "kind": "operations1"} | wanted)
        assert answer.status == 201, answer.body
        self.paths[name] = answer.json()["url"].removeprefix(self.house.settings.base_url)
        return answer

    async def send(
        self, payload: dict[str, Any] | bytes, name: str = "op1", query: str = "", **headers: str
    ) -> ApiAnswer:
        body = payload if isinstance(payload, bytes) else text(payload)
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        answer = await self.api.post(self.paths[name] + query, body=body, headers=given)
        await self.drain()
        return answer

    async def effect(self, answer: ApiAnswer) -> Any:
        return (await self.message(answer))["effect"]

    async def message(self, answer: ApiAnswer) -> Any:
        return (await self.api.get(f"/api/v1/inbox/{answer.json()['id']}")).json()

    async def says(self, value: Any, age: float = 10, quality: Quality = Quality.GOOD, **more: Any) -> None:
        signals = {
            "temperature.core": SignalValue(value, quality, "Sensor broken" if value is None else None, unit="C")
        }
        signals |= {name.replace("__", "."): SignalValue(v) for name, v in more.items()}
        at = self.clock.now() - timedelta(seconds=age)
        await self.house.readings.record(Reading("OVEN-1", at, signals, Quality.GOOD))

    async def events(self, *types: str) -> list[dict[str, Any]]:
        found = [s.document async for s in every(self.house.store, "events", Query(limit=100))]
        return sorted((e for e in found if e["type"] in types), key=lambda e: str(e["ts"]))

    async def alerts(self, status: str = "active") -> list[dict[str, Any]]:
        answer = await self.api.get(f"/api/v1/equipment/iot-alerts?status={status}")
        found: list[dict[str, Any]] = answer.json()["alerts"]
        return found


@pytest.fixture
async def plant(api: Api, house: Services, clock: ManualClock, drain: Callable[..., Awaitable[Any]]) -> Plant:
    assert (await api.post("/api/v1/equipment", json={"id": "OVEN-1", "name": "Oven 1"})).status == 201
    return Plant(api, house, clock, drain)


# Orders and reports ------------------------------------------------------------------------------------------------


async def test_an_order_is_told_once(plant: Plant) -> None:
    await plant.source()
    first = await plant.send(order_complete(customOrderId="FA-2026-0815"))
    again = [await plant.send(shuffled(order_complete(customOrderId="FA-2026-0815"))) for _ in range(2)]
    assert [first.status, *(a.status for a in again)] == [202, 200, 200]
    (event,) = await plant.events("WORK_ORDER_COMPLETED")
    assert (event["objectType"], event["objectId"], event["name"]) == (
        "WORK_ORDER",
        "FA-2026-0815",
        "Brötchen – Nachtschicht",
    )
    assert event["data"].keys() == CATALOGUE["WORK_ORDER_COMPLETED"].data.keys()
    assert (event["data"]["order_id"], event["data"]["report_ids"]) == ("4711", "880011,880012")
    message = await plant.message(first)
    assert (message["work_order_id"], message["event"], message["verdict"]) == (
        "FA-2026-0815",
        "order.complete",
        "unsigned",
    )
    found = (await plant.api.get("/api/v1/inbox?work_order_id=FA-2026-0815")).json()["messages"]
    assert [m["id"] for m in found] == [first.json()["id"]]


@pytest.mark.parametrize("payload", drifted(), ids=["older", "later", "bare"])
async def test_the_schema_drifts_inside_one_version(plant: Plant, payload: dict[str, Any]) -> None:
    """Trap 14."""
    await plant.source(options={"accepted_versions": ["2.1"]})
    assert (await plant.send(payload)).status == 202
    (event,) = await plant.events("WORK_ORDER_COMPLETED")
    assert event["data"]["work_order_id"] == "4711"


async def test_two_versions_of_one_happening_are_one(plant: Plant, clock: ManualClock) -> None:
    await plant.source("old", options={"tenant": "bakery"})
    await plant.source("new", options={"tenant": "bakery"})
    await plant.source("other", options={"tenant": "elsewhere"})
    newer = order_complete(moreOfIt=1)
    newer |= {"version": 3, "fullVersion": "3.0"}
    await plant.send(order_complete(), "old")
    clock.advance(5)
    second = await plant.send(newer, "new")
    assert "told before" in (await plant.effect(second))["ignored"]
    assert len(await plant.events("WORK_ORDER_COMPLETED")) == 1
    await plant.send(order_complete(), "other")
    assert len(await plant.events("WORK_ORDER_COMPLETED")) == 2, "another tenant has orders of the same number"


async def test_the_same_under_the_name_of_another_version_is_known_at_the_door(plant: Plant) -> None:
    realms = {"interaction-value-update-v1": "value_entered", "interaction-value-update-v2": "value_entered"}
    await plant.source(options=CHECKED | {"realms": realms})
    old = value_webhook(95.0)
    new = old | {"realm": "interaction-value-update-v2", "version": 2, "fullVersion": "2.0"}
    assert [(await plant.send(one)).status for one in (old, new)] == [202, 200]


async def test_a_tag_without_a_webhook_did_not_cause_the_message(plant: Plant) -> None:
    await plant.source(options=CHECKED)
    await plant.says(87.5, door__open=True)
    payload = value_webhook(87.5, door="no")
    payload["data"]["steps"][0]["rows"][2]["entries"][0]["interactionTags"][0]["sendWebhook"] = False
    said = (await plant.effect(await plant.send(payload)))["values"]
    assert [one["tag"] for one in said] == ["core_temp"]


async def test_done_again_is_told_again(plant: Plant, clock: ManualClock) -> None:
    await plant.source()
    await plant.send(order_complete())
    clock.advance(60)
    await plant.send(order_complete(comments="opened again, and done"))
    clock.advance(3_600)
    await plant.send(order_complete(comments="opened again, and done"))
    assert len(await plant.events("WORK_ORDER_COMPLETED")) == 3


async def test_a_version_that_is_not_accepted_stands_in_nobodys_way(plant: Plant) -> None:
    await plant.source(options={"accepted_versions": [3]})
    refused = await plant.send(order_complete())
    assert refused.status == 202
    assert "accepted_versions: 3" in (await plant.effect(refused))["ignored"]
    accepted = await plant.send({**order_complete(), "version": 3, "fullVersion": "3.0"})
    assert (await plant.effect(accepted))["eventType"] == "WORK_ORDER_COMPLETED"


async def test_reports_and_updates_by_the_realms_that_are_configured(plant: Plant) -> None:
    realms = {"report.complete": "report_completed", "task.update": "order_updated"}
    await plant.source(options={"realms": realms})
    report = {"version": 1, "realm": "report.complete", "data": {"id": 88, "orderId": None, "state": "done"}}
    assert (await plant.effect(await plant.send(report)))["eventType"] == "REPORT_COMPLETED"
    (event,) = await plant.events("REPORT_COMPLETED")
    assert (event["data"]["report_id"], event["data"]["work_order_id"]) == ("88", None)
    for state in ("in-progress", "paused", "in-progress"):
        await plant.send({"version": 1, "realm": "task.update", "data": {"id": 7, "state": state}})
    assert [e["data"]["state"] for e in await plant.events("WORK_ORDER_UPDATED")] == ["in-progress", "paused"]


@pytest.mark.parametrize(
    ("raw", "status", "said"),
    [
        (b'{"version":1,"realm":"thing.happened","data":{}}', "handled", "thing.happened"),
        (b'{"version":1,"realm":"order.complete","data":{"id":null}}', "handled", "no order"),
        (b'{"version":1,"data":{}}', "failed", "no realm"),
        (b'{"realm":"order.complete","data":[]}', "failed", "no data"),
        (b"[]", "failed", "JSON object"),
        (b"\xff\xfe", "failed", "JSON"),
        (b'{"realm":' + b"[" * 200 + b"]" * 200 + b"}", "failed", "nested deeper"),
        ("{“realm”:“x”}".encode(), "failed", "JSON"),
    ],
)
async def test_what_is_not_understood_is_kept_with_the_reason(plant: Plant, raw: bytes, status: str, said: str) -> None:
    await plant.source()
    answer = await plant.send(raw)
    assert answer.status == 202
    message = await plant.message(answer)
    assert message["status"] == status
    assert said in json.dumps(message["effect"] or message["reason"])
    assert await plant.events(*CATALOGUE) == []


# The second proof --------------------------------------------------------------------------------------------------

SECRET = "Sesame-open-71b4-and-more"


@pytest.mark.parametrize("place", ["header", "query"])
async def test_a_shared_secret_beside_the_address(plant: Plant, place: str) -> None:
    name = "x-webhook-secret" if place == "header" else "proof"
    await plant.source(signing_secret=SECRET, options={"proof": {"in": place, "name": name}})

    async def shown(secret: str | None) -> ApiAnswer:
        if secret is None:
            return await plant.send(order_complete())
        if place == "query":
            return await plant.send(order_complete(), query=f"?proof={secret}")
        return await plant.send(order_complete(), x_webhook_secret=secret)

    for wrong in (None, "", "wrong", SECRET + "x", "\udcff"):
        if wrong != "\udcff" or place == "header":
            assert (await shown(wrong)).status == 401
    right = await shown(SECRET)
    assert right.status == 202
    message = await plant.message(right)
    assert message["verdict"] == "verified"
    assert SECRET not in json.dumps(message)
    assert len(await plant.events("WORK_ORDER_COMPLETED")) == 1
    changed = await plant.api.post(
        "/api/v1/hook-sources/op1/secrets", json={"signing_secret": SECRET[::-1], "keep_old_seconds": 3600}
    )
    assert changed.status == 200
    assert (await shown(SECRET)).status == (await shown(SECRET[::-1])).status == 200, "both count for a while"


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"options": {"nonsense": 1}}, "options.nonsense"),
        ({"options": {"realms": {"x": "y"}}}, "options.realms.x"),
        ({"options": {"proof": {"in": "header"}}}, "signing_secret"),
        ({"options": {}, "signing_secret": SECRET}, "options.proof"),
        ({"options": {"proof": {"in": "header", "name": "X-Mine"}}, "signing_secret": SECRET}, "options.proof"),
        ({"options": {"proof": {"in": "query"}}, "signing_secret": "short"}, "signing_secret"),
        ({"options": {"tags": CHECKED["tags"]}}, "options"),
        ({"options": {"profile": "haccp"}}, "options"),
        ({"options": CHECKED | {"tolerance": {}}}, "options.tolerance"),
    ],
)
async def test_options_that_cannot_work(plant: Plant, wanted: dict[str, Any], field: str) -> None:
    answer = await plant.api.post("/api/v1/hook-sources", json={"id": "op1", "kind": "operations1"} | wanted)
    assert answer.status == 400
    assert answer.json()["problems"][0]["field"] == field


# Entered values ----------------------------------------------------------------------------------------------------


async def test_a_wrong_value_raises_an_alert_and_a_right_one_ends_it(plant: Plant, clock: ManualClock) -> None:
    await plant.source(options=CHECKED)
    await plant.says(87.5)
    wrong = await plant.send(value_webhook("95,0", order=4711))
    (alert,) = await plant.alerts()
    assert (alert["alert_type"], alert["value"], alert["compared_value"], alert["limit"]) == (
        "value_mismatch",
        95,
        87.5,
        2,
    )
    assert alert["message"] == (
        "95 C was entered for core_temp, but Oven 1 says 87.5 C. 2 C apart would be near enough. "
        "(report 880011, order 4711)"
    )
    message = await plant.message(wrong)
    assert (message["equipment_id"], message["work_order_id"]) == ("OVEN-1", "4711")
    assert message["effect"]["values"] == [
        {
            "tag": "core_temp",
            "judged": True,
            "entered": 95.0,
            "machine": 87.5,
            "unit": "C",
            "agrees": False,
            "reason": None,
            "alert_id": alert["id"],
        }
    ]
    clock.advance(60)
    await plant.says(88.0)
    await plant.send(value_webhook(86.0, order=4711))
    assert await plant.alerts() == []
    (over,) = await plant.alerts("resolved")
    assert over["id"] == alert["id"]
    told = await plant.events("VALUE_ENTERED")
    assert [e["data"]["agrees"] for e in told] == [False, True]
    assert told[0]["data"].keys() == CATALOGUE["VALUE_ENTERED"].data.keys()
    assert told[0]["data"]["alert_id"] == alert["id"]


async def test_values_entered_before_are_not_judged_again(plant: Plant, clock: ManualClock) -> None:
    await plant.source(options=CHECKED)
    await plant.says(87.5, door__open=False)
    await plant.send(value_webhook(87.5))
    clock.advance(1_200)
    await plant.says(20.0, door__open=True)  # the oven has long cooled down
    answer = await plant.send(value_webhook(87.5, door="nein"))
    said = {v["tag"]: v for v in (await plant.effect(answer))["values"]}
    assert said["core_temp"]["judged"] is False
    assert (said["door"]["agrees"], said["door"]["machine"]) == (False, True)
    assert [a["signal"] for a in await plant.alerts()] == ["door.open"]


async def test_two_versions_of_one_entry_are_one(plant: Plant, clock: ManualClock) -> None:
    """However the four messages of two entries are mixed."""
    await plant.source(options=CHECKED)
    await plant.says(87.5)
    for value, version in ((95.0, 1), (87.5, 1), ("95,0", 2), (87.5, 2)):
        await plant.send(value_webhook(value, version=version))
        clock.advance(1)
    assert await plant.alerts() == []
    assert [e["data"]["value"] for e in await plant.events("VALUE_ENTERED")] == [95, 87.5]
    clock.advance(700)
    await plant.says(87.5)
    await plant.send(value_webhook(95.0))
    assert len(await plant.alerts()) == 1, "and entered wrong once more it is a happening of its own"


@pytest.mark.parametrize(
    ("value", "age", "quality", "said"),
    [
        (None, 10, Quality.BAD, "no valid value: Sensor broken"),
        (87.5, 900, Quality.GOOD, "at most 5 minutes"),
        (87.5, 10, Quality.UNCERTAIN, "uncertain"),
    ],
)
async def test_without_a_good_reading_nobody_judges(
    plant: Plant, value: float | None, age: float, quality: Quality, said: str
) -> None:
    await plant.source(options=CHECKED)
    await plant.says(value, age, quality)
    answer = await plant.send(value_webhook(95.0))
    (one,) = (await plant.effect(answer))["values"]
    assert one["agrees"] is None
    assert said in one["reason"]
    assert await plant.alerts() == []
    (event,) = await plant.events("VALUE_ENTERED")
    assert said in event["data"]["reason"]


async def test_a_message_that_waited_is_judged_by_what_the_oven_said_then(plant: Plant, clock: ManualClock) -> None:
    await plant.source(options=CHECKED)
    await plant.says(87.5)
    answer = await plant.api.post(plant.paths["op1"], body=text(value_webhook(87.0)))
    clock.advance(600)
    await plant.says(20.0)
    await plant.drain()
    (one,) = (await plant.effect(answer))["values"]
    assert (one["agrees"], one["machine"]) == (True, 87.5)


async def test_tags_of_a_profile_are_compared(plant: Plant) -> None:
    tags = {"core_temp": {"equipment_id": "OVEN-1", "signal": "temperature.core", "unit": "F"}}
    assert (await plant.api.put("/api/v1/request-profiles/haccp", json={"tags": tags})).status == 201
    await plant.source(options={"profile": "haccp", "tolerance": {"percent": 1}})
    await plant.says(90.0)
    answer = await plant.send(value_webhook(194))
    (one,) = (await plant.effect(answer))["values"]
    assert (one["agrees"], one["machine"], one["unit"]) == (True, 194.0, "F")


async def test_a_message_comes_again_after_a_death(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the memory was written and before the alert: the same judgement, one alert."""
    await plant.source(options=CHECKED)
    await plant.says(87.5)
    taken = plant.house.alerts.take
    calls = 0

    async def dies_once(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("The process dies here.")
        return await taken(*args)

    monkeypatch.setattr(plant.house.alerts, "take", dies_once)
    await plant.send(value_webhook(95.0))
    assert calls == 2
    assert len(await plant.alerts()) == 1
    assert len(await plant.events("VALUE_ENTERED")) == 1


async def test_replayed_by_a_person_it_is_told_once_more(plant: Plant) -> None:
    await plant.source(options=CHECKED)
    await plant.says(87.5)
    answer = await plant.send(value_webhook(95.0))
    assert (await plant.api.post(f"/api/v1/inbox/{answer.json()['id']}/replay")).status == 202
    await plant.drain()
    assert len(await plant.events("VALUE_ENTERED")) == 2
    assert len(await plant.alerts()) == 1
