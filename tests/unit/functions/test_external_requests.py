"""A worker asks; the last reading answers, or a sentence says why it cannot."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.services import Services
from shared.signals import Quality, Reading, SignalValue
from tests.api import Api, ApiAnswer

CLOUD = (Path(__file__).parents[1] / "operations1" / "payloads" / "cloud_report.json").read_bytes()
LOCAL = (Path(__file__).parents[1] / "operations1" / "payloads" / "local_step.json").read_bytes()

TAGS: dict[str, Any] = {
    "core_temp": {"equipment_id": "OVEN-1", "signal": "temperature.core", "digits": 1},
    "oven_state": {"equipment_id": "OVEN-1", "signal": "status"},
    "humidity": {"equipment_id": "OVEN-2", "signal": "humidity"},
    "old_temp": {"equipment_id": "OVEN-1", "signal": "temperature.core"},
    "not_in_report": {"equipment_id": "OVEN-1", "signal": "temperature.core"},
}


@pytest.fixture
async def ovens(api: Api, house: Services) -> Services:
    for name in ("OVEN-1", "OVEN-2"):
        answer = await api.post("/api/v1/equipment", json={"id": name, "name": name})
        assert answer.status == 201, answer.body
    return house


async def record(house: Services, id: str, age: float = 10, **values: SignalValue) -> None:
    signals = {name.replace("__", "."): value for name, value in values.items()}
    worst = Quality.GOOD if all(v.quality is Quality.GOOD for v in signals.values()) and signals else Quality.BAD
    reason = None if signals else "The oven did not answer within 5 s."
    await house.readings.record(Reading(id, house.clock.now() - timedelta(seconds=age), signals, worst, reason))


async def good(house: Services) -> None:
    await record(
        house,
        "OVEN-1",
        temperature__core=SignalValue(93.4567, unit="C"),
        status=SignalValue("baking"),
    )
    await record(house, "OVEN-2", humidity=SignalValue(55, unit="%"))


async def put(api: Api, **more: Any) -> ApiAnswer:
    answer = await api.put("/api/v1/request-profiles/haccp", json={"tags": TAGS} | more)
    assert answer.status in (200, 201), answer.body
    return answer


async def ask(api: Api, body: bytes = CLOUD, path: str = "/api/requests/haccp") -> ApiAnswer:
    return await api.post(path, body=body, headers={"content-type": "application/json"})


async def test_the_tags_of_the_report_are_answered(api: Api, ovens: Services) -> None:
    await put(api)
    await good(ovens)
    answer = await ask(api)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"core_temp": 93.5, "oven_state": "baking", "humidity": 55}
    assert b'"humidity":55' in answer.body, "numbers are JSON numbers"


async def test_the_device_sends_one_step_and_gets_everything(api: Api, ovens: Services) -> None:
    """The interaction to fill may stand in another step than the button."""
    await put(api)
    await good(ovens)
    answer = (await ask(api, LOCAL)).json()
    assert set(answer) == set(TAGS)
    assert set((await ask(api, b'{"anything": 1}')).json()) == set(TAGS)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("values", {"core_temp": 93.5}),
        ("list", [{"tag": "core_temp", "value": 93.5}]),
        (
            "with_quality",
            {"core_temp": {"value": 93.5, "unit": "C", "quality": "good", "age_seconds": 10.0, "reason": None}},
        ),
    ],
)
async def test_forms_of_the_answer(api: Api, ovens: Services, form: str, expected: Any) -> None:
    await put(api, answer=form, tags={"core_temp": TAGS["core_temp"]})
    await good(ovens)
    assert (await ask(api)).json() == expected


async def test_too_old_is_said(api: Api, ovens: Services, clock: ManualClock) -> None:
    await put(api)
    await good(ovens)
    clock.advance(600)
    answer = await ask(api)
    assert (answer.status, answer.json()["type"]) == (409, "urn:ovenbridge:problem:no-usable-value")
    reasons = {p["field"]: p["problem"] for p in answer.json()["problems"]}
    assert set(reasons) == {"core_temp", "oven_state", "humidity"}
    assert "10 minutes ago" in reasons["core_temp"]
    told = {name: value for name, value in answer.json().items() if name != "correlation_id"}
    assert "93" not in json.dumps(told), "the old value is not slipped in"


async def test_one_bad_value_refuses_all_unless_the_profile_says_otherwise(api: Api, ovens: Services) -> None:
    await good(ovens)
    await record(ovens, "OVEN-2", age=1)
    await put(api)
    refused = await ask(api)
    assert refused.status == 409
    assert [p["field"] for p in refused.json()["problems"]] == ["humidity"]
    assert "did not answer within 5 s" in refused.json()["detail"]
    await put(api, on_missing="null")
    answer = await ask(api)
    assert answer.json() == {"core_temp": 93.5, "oven_state": "baking", "humidity": None}
    assert answer.headers["x-unanswered"] == "humidity"
    await put(api, on_missing="omit")
    assert (await ask(api)).json() == {"core_temp": 93.5, "oven_state": "baking"}
    await put(api, answer="with_quality")
    humidity = (await ask(api)).json()["humidity"]
    assert (humidity["value"], humidity["quality"]) == (None, "bad")
    assert "did not answer" in humidity["reason"]


async def test_a_pushed_reading_that_holds_other_signals_hides_nothing(api: Api, ovens: Services) -> None:
    await put(api, tags={"core_temp": TAGS["core_temp"]})
    await record(ovens, "OVEN-1", age=30, temperature__core=SignalValue(80.0, unit="C"))
    await record(ovens, "OVEN-1", age=1, humidity=SignalValue(40.0, unit="%"))
    assert (await ask(api)).json() == {"core_temp": 80.0}


async def test_versions(api: Api, ovens: Services) -> None:
    await good(ovens)
    for accepted, status in (([1], 200), (["1.0"], 200), (["2", "2.1"], 400), ([], 400)):
        await put(api, accepted_versions=accepted)
        assert (await ask(api)).status == status
    assert "version" in (await ask(api)).json()["problems"][0]["field"]
    assert (await ask(api, LOCAL)).status == 200, "no envelope, no version"


async def test_a_report_without_a_configured_tag(api: Api, ovens: Services) -> None:
    await put(api, tags={"elsewhere": TAGS["core_temp"]})
    await good(ovens)
    answer = await ask(api)
    assert (answer.status, answer.json()["problems"][0]["field"]) == (400, "interactionTags")
    assert "elsewhere" in answer.json()["detail"]
    await put(api, tags={"elsewhere": TAGS["core_temp"]}, scope="all")
    assert (await ask(api)).json() == {"elsewhere": 93.5}


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b'"x"'])
async def test_nonsense_is_a_400(api: Api, ovens: Services, body: bytes) -> None:
    await put(api)
    assert (await ask(api, body)).status == 400


async def test_an_unknown_profile(api: Api) -> None:
    answer = await ask(api)
    assert answer.status == 404
    assert "PUT /api/v1/request-profiles/haccp" in answer.json()["detail"]


async def test_each_request_is_kept_with_its_answer(api: Api, ovens: Services) -> None:
    await put(api)
    await good(ovens)
    answered = await ask(api)
    (message,) = (await api.get("/api/v1/inbox?source=request-haccp")).json()["messages"]
    assert message["status"] == "answered"
    assert message["effect"]["answer"] == answered.json()
    assert message["effect"]["report"] == "880011"
    assert message["correlation_id"] == answered.headers["x-correlation-id"]
    whole = (await api.get(f"/api/v1/inbox/{message['id']}")).json()
    assert whole["body"].encode() == CLOUD
    assert (await api.post(f"/api/v1/inbox/{message['id']}/replay")).status == 409
    await put(api, keep_requests=False)
    await ask(api)
    assert len((await api.get("/api/v1/inbox?source=request-haccp")).json()["messages"]) == 1


async def test_profiles_are_created_changed_and_deleted(api: Api, ovens: Services) -> None:
    first = await put(api)
    assert first.status == 201
    assert first.json()["url"] == "http://127.0.0.1:7071/api/requests/haccp"
    assert first.json()["answer_verified"] is False, "no public contract says what fills an interaction"
    etag = first.headers["etag"]
    read = await api.get("/api/v1/request-profiles/haccp")
    assert (read.headers["etag"], read.json()) == (etag, first.json())
    changed = await api.put(
        "/api/v1/request-profiles/haccp", json={"tags": TAGS, "answer": "list"}, headers={"If-Match": etag}
    )
    assert (changed.status, changed.json()["answer"]) == (200, "list")
    for method in ("PUT", "DELETE"):
        stale = await api.call(
            method, "/api/v1/request-profiles/haccp", json={"tags": TAGS}, headers={"If-Match": etag}
        )
        assert stale.status == 412
    assert (await api.get("/api/v1/request-profiles")).json()["profiles"] == [changed.json()]
    gone = await api.delete("/api/v1/request-profiles/haccp", headers={"If-Match": changed.headers["etag"]})
    assert gone.status == 204
    assert (await api.delete("/api/v1/request-profiles/haccp")).status == 404
    assert (await ask(api)).status == 404
    missing = await api.put("/api/v1/request-profiles/haccp", json={"tags": TAGS}, headers={"If-Match": etag})
    assert missing.status == 412
    trail = (await api.get("/api/v1/audit?stream=profile:haccp")).json()["entries"]
    assert [e["action"] for e in trail] == ["profile.deleted", "profile.changed", "profile.created"]
    assert (trail[1]["before"]["answer"], trail[1]["after"]["answer"]) == ("values", "list")


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"tags": {}}, "tags"),
        ({"tags": {"": TAGS["core_temp"]}}, "tags"),
        ({"tags": {" a": TAGS["core_temp"]}}, "tags"),
        ({"tags": {"a": {"equipment_id": "OVEN-9", "signal": "x"}}}, "tags.a.equipment_id"),
        ({"tags": {"a": {"equipment_id": "OVEN-1"}}}, "tags.a.signal"),
        ({"tags": {"a": {"equipment_id": "OVEN-1", "signal": "x", "max_age_seconds": 0}}}, "tags.a.max_age_seconds"),
        ({"tags": {"a": {"equipment_id": "OVEN-1", "signal": "x", "live": True}}}, "tags.a.live"),
        ({"answer": "xml"}, "answer"),
        ({"on_missing": "zero"}, "on_missing"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_wrong_profiles_are_named(api: Api, ovens: Services, wanted: dict[str, Any], field: str) -> None:
    answer = await api.put("/api/v1/request-profiles/haccp", json={"tags": TAGS} | wanted)
    assert answer.status == 400
    assert answer.json()["problems"][0]["field"] == field
    assert (await api.get("/api/v1/request-profiles/haccp")).status == 404


@pytest.mark.parametrize("name", ["Haccp", "a b", "x" * 51, "-a", "ä"])
async def test_a_profile_has_a_plain_name(api: Api, ovens: Services, name: str) -> None:
    answer = await api.put(f"/api/v1/request-profiles/{name.replace(' ', '%20')}", json={"tags": TAGS})
    assert (answer.status, answer.json()["problems"][0]["field"]) == (400, "profile")


async def test_who_may_ask_and_who_may_configure(api: Api, ovens: Services) -> None:
    await put(api)
    await good(ovens)
    token = (await api.post("/api/v1/tokens", json={"name": "v", "roles": ["viewer"]})).json()["token"]
    viewer = Api({"Authorization": f"Bearer {token}"})
    assert (await ask(viewer, path="/api/v1/requests/haccp")).status == 200
    assert (await ask(viewer)).status == 200
    assert (await ask(Api({"Authorization": "Bearer wrong"}), path="/api/v1/requests/haccp")).status == 401
    assert (await viewer.put("/api/v1/request-profiles/haccp", json={"tags": TAGS})).status == 403
    assert (await viewer.delete("/api/v1/request-profiles/haccp")).status == 403


async def test_each_machine_is_read_once_however_many_tags(
    api: Api, ovens: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(api, scope="all")
    await good(ovens)
    read: list[str] = []
    latest = ovens.readings.latest

    async def counted(equipment_id: str) -> Reading | None:
        read.append(equipment_id)
        return await latest(equipment_id)

    monkeypatch.setattr(ovens.readings, "latest", counted)
    assert (await ask(api)).status == 200
    assert sorted(read) == ["OVEN-1", "OVEN-2"]
