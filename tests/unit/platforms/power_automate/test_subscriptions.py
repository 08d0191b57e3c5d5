"""A flow subscribes, is started, and takes its subscription back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.services import Services
from shared.storage import Query, every
from tests.api import Api
from tests.unit.callbacks.receiver import Receiver
from tests.unit.platforms.power_automate.conftest import SIGNED, Drain, happen

PATH = "/api/v1/flows/subscriptions"


async def subscribe(api: Api, flow: Receiver, trigger: str = "alert-raised", **filters: Any) -> str:
    """The path of the new subscription."""
    answer = await api.post(f"{PATH}/{trigger}", json={"callback_url": flow.url + SIGNED, **filters})
    assert answer.status == 201, answer.body
    location = answer.headers["location"]
    assert location.startswith("http://")
    return "/api" + location.partition("/api")[2]


async def told(drain: Drain, flow: Receiver) -> list[str]:
    drained = await drain()
    assert drained.failures == []
    return [n.json()["event_id"] for n in flow.seen]


async def test_the_whole_story(house: Services, api: Api, flow: Receiver, drain: Drain, clock: ManualClock) -> None:
    here = await subscribe(api, flow)
    await happen(house, clock)
    assert await told(drain, flow) == ["E1"]
    # Its address left as it was written, signature and all.
    assert flow.seen[0].path == SIGNED
    assert (await api.delete(here)).status == 204
    await happen(house, clock, "E2")
    assert await told(drain, flow) == ["E1"]
    assert (await api.delete(here)).status == 204
    assert (await api.delete(f"{PATH}/nobody-knows-it")).status == 204


async def test_its_address_is_shown_nowhere(
    house: Services, api: Api, flow: Receiver, drain: Drain, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    flow.answer = 500
    here = await subscribe(api, flow)
    await happen(house, clock)
    await told(drain, flow)
    answers = [await api.get(path) for path in (PATH, here, "/api/v1/callbacks", "/api/v1/deliveries")]
    answers.append(await api.get("/ffwebservices/api/v2/callbacks"))
    assert {a.status for a in answers} == {200}
    stored = [
        str(s.document)
        for container in ("callbacks", "deliveries", "events", "audit")
        async for s in every(house.store, container, Query(limit=1000))
    ]
    for text in (*(a.body.decode() for a in answers), *stored, caplog.text):
        assert "aB%2Fc" not in text
        assert "aB/c" not in text


async def test_a_flow_that_is_saved_again_is_started_once(
    house: Services, api: Api, flow: Receiver, drain: Drain, clock: ManualClock
) -> None:
    first = await subscribe(api, flow)
    second = await subscribe(api, flow)
    assert first != second
    # The platform takes the old one back after it made the new one: that is nobody's any more.
    assert (await api.delete(first)).status == 204
    await happen(house, clock)
    assert await told(drain, flow) == ["E1"]
    assert (await api.get(PATH)).json()["total"] == 1
    assert (await api.delete(second)).status == 204
    await happen(house, clock, "E2")
    assert await told(drain, flow) == ["E1"]


async def test_taken_away_in_the_moment_it_is_asked_for_again(
    house: Services, api: Api, flow: Receiver, drain: Drain, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await subscribe(api, flow)
    real = house.callbacks.hand_over

    async def too_late(*given: Any, **named: Any) -> Any:
        assert (await api.delete(first)).status == 204
        return await real(*given, **named)

    monkeypatch.setattr(house.callbacks, "hand_over", too_late)
    assert await subscribe(api, flow) != first
    await happen(house, clock)
    assert await told(drain, flow) == ["E1"]


async def test_what_waits_is_not_lost_when_a_flow_is_saved_again(
    house: Services, api: Api, flow: Receiver, drain: Drain, clock: ManualClock
) -> None:
    flow.answer = 503
    first = await subscribe(api, flow)
    await happen(house, clock)
    await drain()
    await subscribe(api, flow)
    await api.delete(first)
    flow.answer = 202
    clock.advance(11)
    await drain()
    assert [n.json()["event_id"] for n in flow.seen] == ["E1", "E1"]


async def test_other_filters_are_another_subscription(
    house: Services, api: Api, flow: Receiver, drain: Drain, clock: ManualClock
) -> None:
    await subscribe(api, flow, minimum_severity="warning")
    await subscribe(api, flow, equipment_id="OVEN-2")
    await subscribe(api, flow, site="Lyon")
    assert (await api.get(PATH)).json()["total"] == 3
    await happen(house, clock, "info", severity="info")
    assert await told(drain, flow) == []
    await happen(house, clock, "bad", severity="warning")
    assert await told(drain, flow) == ["bad"]
    await happen(house, clock, "other", severity="info", object_id="OVEN-2")
    await happen(house, clock, "there", severity="info", site="Lyon")
    assert sorted(await told(drain, flow)) == ["bad", "other", "there"]


async def test_anything(house: Services, api: Api, flow: Receiver, drain: Drain, clock: ManualClock) -> None:
    answer = await api.post(PATH, json={"callback_url": flow.url + "/x", "equipment_id": "", "event_type": ""})
    assert answer.json()["trigger"] == "any"
    event = await happen(house, clock)
    await house.events.publish(replace(event, id="E2", type="TASK_CREATED", data={"title": "Clean"}))
    assert await told(drain, flow) == ["E1", "E2"]
    assert flow.seen[1].json()["data"] == '{"title":"Clean"}'


async def test_anything_of_one_type(
    house: Services, api: Api, flow: Receiver, drain: Drain, clock: ManualClock
) -> None:
    await api.post(PATH, json={"callback_url": flow.url + "/x", "event_type": "ALERT_RESOLVED"})
    await happen(house, clock)
    assert await told(drain, flow) == []


async def test_a_flow_that_was_switched_off_and_is_back_is_told_again(
    house: Services, api: Api, flow: Receiver, drain: Drain, clock: ManualClock
) -> None:
    flow.answer = 410
    here = await subscribe(api, flow)
    await happen(house, clock)
    await told(drain, flow)
    assert (await api.get(here)).json()["status"] == "disabled"
    flow.answer = 202
    here = await subscribe(api, flow)
    assert (await api.get(here)).json()["status"] == "healthy"


async def test_a_flow_that_vanished_is_not_called_for_ever(house: Services, api: Api, flow: Receiver) -> None:
    await subscribe(api, flow)
    (callback,) = (await house.callbacks.list(dialect="flat")).items
    assert callback.ends_when_missing


async def test_a_test_notification(house: Services, api: Api, flow: Receiver, drain: Drain, clock: ManualClock) -> None:
    here = await subscribe(api, flow, minimum_severity="critical")
    sent = await api.post(f"{here}/test")
    assert sent.status == 202
    await told(drain, flow)
    body = flow.seen[0].json()
    assert (body["is_test"], body["event_type"], body["value"]) == (True, "ALERT_RAISED", 231.5)
    assert (await api.get("/api/v1/deliveries/" + sent.json()["delivery_id"])).json()["status"] == "confirmed"
    assert (await api.post(f"{PATH}/nobody/test")).status == 404


async def test_which_flow_it_is(api: Api, flow: Receiver) -> None:
    said = {"x-ms-workflow-name": "Alert to Teams", "x-ms-environment-id": "Default-1"}
    answer = await api.post(f"{PATH}/alert-raised", json={"callback_url": flow.url}, headers=said)
    row = answer.json()
    assert (row["flow"], row["environment"]) == ("Alert to Teams", "Default-1")
    assert row["label"] == "Alert to Teams: When an oven alert is raised"
    assert (await api.get("/api/v1/callbacks")).json()["callbacks"][0]["label"] == "Alert to Teams"


@pytest.mark.parametrize(
    ("trigger", "body", "field"),
    [
        ("alert-raised", {}, "callback_url"),
        ("alert-raised", {"callback_url": "ftp://x"}, "url"),
        ("alert-raised", {"callback_url": "http://169.254.169.254/x"}, "url"),
        ("alert-raised", {"callback_url": "http://x.example", "minimum_severity": "bad"}, "minimum_severity"),
        ("batch-started", {"callback_url": "http://127.0.0.1:1", "minimum_severity": "info"}, "minimum_severity"),
        ("batch-started", {"callback_url": "http://127.0.0.1:1", "event_type": "TASK_CREATED"}, "event_type"),
        ("any", {"callback_url": "http://127.0.0.1:1", "event_type": "NO_SUCH"}, "event_type"),
    ],
)
async def test_what_is_wrong_is_said(api: Api, trigger: str, body: dict[str, str], field: str) -> None:
    answer = await api.post(f"{PATH}/{trigger}", json=body)
    said = answer.json()
    assert answer.status in (400, 422), said
    assert said["error"]["message"] == said["detail"]
    assert said["error"]["code"]
    assert field in str(said)


async def test_an_unknown_trigger_names_the_known_ones(api: Api) -> None:
    answer = await api.post(f"{PATH}/no-such", json={"callback_url": "http://127.0.0.1:1"})
    assert answer.status == 404
    assert "alert-raised" in answer.json()["error"]["message"]


async def test_clients_of_another_kind_do_not_see_it(api: Api, flow: Receiver) -> None:
    await subscribe(api, flow)
    listed = (await api.get("/ffwebservices/api/v2/callbacks")).json()
    assert listed["pagination"]["total"] == 0


async def test_other_callbacks_are_none_of_a_flow(api: Api, flow: Receiver) -> None:
    made = await api.post("/api/v1/callbacks", json={"event_type": "EXTERNAL", "url": flow.url})
    made_id = made.json()["id"]
    assert (await api.get(f"{PATH}/{made_id}")).status == 404
    assert (await api.delete(f"{PATH}/{made_id}-x")).status == 204
    assert (await api.get(f"/api/v1/callbacks/{made_id}")).status == 200
