"""Webhooks of both generations: whose they are, which are the same, what is made of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import ManualClock
from shared.errors import InvalidInput
from shared.platforms.scope_ar.options import HookOptions
from shared.platforms.scope_ar.webhook import event_name, read
from tests.platforms.scope_ar import (
    CALL_ID,
    SECRET,
    SESSION_ID,
    completed,
    generation_1,
    generation_2,
    session,
)
from tests.unit.platforms.scope_ar.conftest import World

OPTIONS = HookOptions()
OTHER = "another secret of 2026"


# Trap 1: resource_id in the prose, resource-id in the payload --------------------------------------------------------


@pytest.mark.parametrize("spelling", ["resource-id", "resource_id", "Resource-Id"])
def test_hyphens_and_underscores(spelling: str) -> None:
    body = json.loads(generation_1("created"))
    body["data"] = {spelling: body["data"]["resource-id"], "resource_type": "Scenario"}
    notice = read({}, json.dumps(body).encode(), OPTIONS)
    assert (notice.kind, notice.external_id, notice.event) == ("session", SESSION_ID, "Scenario.created")


@pytest.mark.parametrize("word", ["scenario", "Scenario", "ScenarioSession", "scenario_session", "SCENARIO-SESSION"])
def test_types_in_any_case(word: str) -> None:
    assert read({}, generation_1(resource_type=word), OPTIONS).kind == "session"
    assert read({}, generation_1(resource_type="Call"), OPTIONS).kind == "call"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"type": "invoice", "data": {"number": 1}}, "the type invoice"),
        ({"resource_type": "User"}, "User"),
        ({"event": "destroyed"}, "destroyed"),
        ({"data": None}, "without a type"),
        ({"type": None}, "(none)"),
    ],
)
async def test_what_is_unknown_is_kept_and_has_no_effect(bare: World, more: dict[str, Any], why: str) -> None:
    await bare.connect()
    await bare.listen(signing_secret=None)
    answer = await bare.post(generation_1(**more))
    assert answer.status == 202
    message = await bare.effect(answer.json()["id"])
    assert message["status"] == "handled"
    assert why in message["effect"]["ignored"]
    assert bare.cms.asked == []


# Trap 11: `time` is when it was sent ----------------------------------------------------------------------------------


async def test_the_time_of_generation_1_orders_nothing(bare: World) -> None:
    await bare.connect()
    await bare.listen(signing_secret=None)
    bare.cms.nodes[SESSION_ID] = completed()
    await bare.old_hook("finished", time="2026-11-21T09:59:00Z")
    await bare.old_hook("update", time="2031-01-01T00:00:00Z")
    (record,) = await bare.records()
    assert (record["startedAt"], record["endedAt"]) == ("2026-11-21T09:20:00.000Z", "2026-11-21T09:50:00.000Z")
    assert record["asOf"] < "2027", "what was asked for is as old as the question, not as the webhook says"


async def test_equal_bodies_of_generation_1_are_one_for_a_while(bare: World, clock: ManualClock) -> None:
    await bare.connect()
    await bare.listen(signing_secret=None)
    first = await bare.post(generation_1())
    again = await bare.post(generation_1())
    assert (first.status, again.status) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    assert (await bare.post(generation_1(time="2026-11-21T10:00:09Z"))).status == 202, "another update, not a retry"
    clock.advance(200)
    assert (await bare.post(generation_1())).status == 202


# Generation 2 --------------------------------------------------------------------------------------------------------


async def test_signed_joined_and_told(world: World) -> None:
    world.cms.nodes[SESSION_ID] = completed()
    message = await world.hook()
    assert (message["verdict"], message["status"]) == ("verified", "handled")
    assert message["event"] == "scenario_session/completed"
    (record,) = await world.records()
    assert message["effect"] == {
        "record": record["id"],
        "outcome": "created",
        "state": "completed",
        "work_order_id": "WO-7/2+1",
        "equipment_id": "oven1",
    }
    assert (record["externalId"], record["workOrderId"], record["batchId"]) == (SESSION_ID, "WO-7/2+1", "B-9")
    assert (record["title"], record["durationSeconds"], record["ended"]) == ("Clean the steam generator", 1790.0, True)
    assert [step["name"] for step in record["steps"]] == ["Step 1", "Step 2", "Step 3", "Step 4"]
    assert all(step["completed"] for step in record["steps"])
    found = (await world.api.get("/api/v1/inbox?work_order_id=WO-7%2F2%2B1")).json()["messages"]
    assert [one["id"] for one in found] == [message["id"]], "found by what it turned out to be about"


@pytest.mark.parametrize(
    ("secret", "change", "why"),
    [
        (None, b"", "X-Scope-Hmac-Sha256 is missing"),
        (OTHER, b"", "does not match"),
        (SECRET, b" ", "does not match"),
    ],
    ids=["unsigned", "another secret", "changed by one byte"],
)
async def test_not_genuine(world: World, secret: str | None, change: bytes, why: str) -> None:
    raw, headers = generation_2(secret=secret)
    answer = await world.post(raw + change, headers)
    assert answer.status == 401
    assert why in answer.json()["detail"]
    await world.drain()
    assert world.cms.asked == []


async def test_no_address_of_a_body_is_called(world: World) -> None:
    called: list[str] = []
    real = world.house.http.send

    async def spy(method: str, url: str, **how: Any) -> Any:
        called.append(url)
        return await real(method, url, **how)

    world.house.http.send = spy  # type: ignore[method-assign]
    await world.hook()
    await world.hook({"data": {"node": session(url="http://169.254.169.254/")}}, webhook_id="2")
    assert called
    assert all(url == world.cms.graphql for url in called)


async def test_hex_is_no_signature(world: World) -> None:
    import hashlib
    import hmac

    raw, headers = generation_2()
    headers["X-Scope-Hmac-Sha256"] = hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
    assert (await world.post(raw, headers)).status == 401


async def test_leaving_the_topic_away_does_not_open_the_door(world: World) -> None:
    answer = await world.post(generation_1())
    assert answer.status == 401
    assert "unsigned_generation_1" in answer.json()["detail"]


async def test_both_generations_at_one_source(bare: World) -> None:
    await bare.connect()
    await bare.listen(unsigned_generation_1=True)
    assert (await bare.old_hook())["verdict"] == "unsigned"
    assert (await bare.hook())["verdict"] == "verified"
    assert (await bare.post(*generation_2(secret=None, webhook_id="x"))).status == 401
    assert len(await bare.records()) == 1


async def test_two_secrets_while_one_is_changed(world: World, clock: ManualClock) -> None:
    changed = await world.api.post(
        "/api/v1/hook-sources/worklink/secrets", json={"signing_secret": OTHER, "keep_old_seconds": 3600}
    )
    assert changed.status == 200
    assert (await world.post(*generation_2(webhook_id="1"))).status == 202
    assert (await world.post(*generation_2(webhook_id="2", secret=OTHER))).status == 202
    clock.advance(3700)
    assert (await world.post(*generation_2(webhook_id="3"))).status == 401
    assert (await world.post(*generation_2(webhook_id="4", secret=OTHER))).status == 202


async def test_the_webhook_id_makes_it_the_same(world: World) -> None:
    first = await world.post(*generation_2(webhook_id="one"))
    changed = json.dumps({"data": {"id": SESSION_ID, "url": "another"}}).encode()
    again = await world.post(*generation_2(changed, webhook_id="one"))
    assert (first.status, again.status) == (202, 200)
    assert (await world.post(*generation_2(webhook_id="two"))).status == 202


async def test_a_forged_one_does_not_stand_in_the_way_of_the_genuine(world: World) -> None:
    assert (await world.post(*generation_2(webhook_id="one", secret=OTHER))).status == 401
    assert (await world.post(*generation_2(webhook_id="one"))).status == 202


@pytest.mark.parametrize("topic", ["user/created", "scenario/published", "x" * 300, "scenario_session_x/created"])
async def test_other_topics_have_no_effect(world: World, topic: str) -> None:
    message = await world.hook(topic=topic)
    assert message["status"] == "handled"
    assert "topic" in message["effect"]["ignored"]
    assert world.cms.asked == []


async def test_other_types_of_webhooks_have_no_effect(world: World) -> None:
    raw, headers = generation_2()
    answer = await world.post(raw, headers | {"X-Scope-Webhook-Type": "service"})
    assert "service" in (await world.effect(answer.json()["id"]))["effect"]["ignored"]


# Trap 12: the published sample is no valid JSON -----------------------------------------------------------------------


async def test_the_published_sample_is_understood_although_it_is_no_json(world: World) -> None:
    raw = b'{ "data": { "id": "%s" "url": "https://cms.example/x" }}}' % SESSION_ID.encode()
    message = await world.hook(raw)
    assert message["status"] == "handled"
    assert "no valid JSON" in message["effect"]["problems"][0]
    assert len(await world.records()) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[1]",
        b'{"data": {}}',
        b'{"data": {"id": ""}}',
        b'{"data": {"id": null}}',
        b"\xff\xfe",
        b'"x"',
        b"[" * 200 + b"]" * 200,
        b'{"data":' + b'{"a":' * 200 + b"1" + b"}" * 201,
    ],
)
async def test_what_cannot_be_understood_is_kept_with_the_reason(world: World, raw: bytes) -> None:
    message = await world.hook(raw)
    assert message["status"] == "failed"
    assert message["reason"]
    assert world.cms.asked == []


# Results of a subscription's query -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["node", "scenarioSession", None])
async def test_a_result_is_read_in_place(world: World, name: str | None) -> None:
    node = {k: v for k, v in completed().items() if k not in ("steps", "events", "completedSteps", "parts")}
    message = await world.hook({"data": node if name is None else {name: node}})
    assert message["effect"]["outcome"] == "created"
    assert not any("OvenbridgeSession" in asked["query"] for asked in world.cms.asked), "nothing had to be asked"
    (record,) = await world.records()
    assert (record["externalId"], record["state"], record["asked"]) == (SESSION_ID, "completed", False)


async def test_a_result_needs_no_connection(bare: World) -> None:
    await bare.listen(connection=None)
    message = await bare.hook({"data": {"node": completed()}})
    assert message["effect"]["work_order_id"] == "WO-7/2+1"
    pointer = await bare.hook(webhook_id="other")
    assert (pointer["status"], "names no connection" in pointer["reason"]) == ("failed", True)


async def test_a_result_without_an_id_says_what_to_do(world: World) -> None:
    message = await world.hook({"data": {"node": {"state": "completed"}}})
    assert message["status"] == "failed"
    assert "add `id` to the query" in message["reason"]


async def test_a_result_that_may_not_be_read(world: World) -> None:
    message = await world.hook({"data": {"node": None}, "errors": [{"message": "Not authorized to read object"}]})
    assert message["status"] == "failed"
    assert "Not authorized" in message["reason"]


async def test_an_old_result_does_not_undo_a_new_one(world: World) -> None:
    world.cms.nodes[SESSION_ID] = completed()
    await world.hook(webhook_id="1")
    message = await world.hook({"data": {"node": session()}}, webhook_id="2", topic="scenario_session/created")
    assert message["effect"]["outcome"] == "older"
    (record,) = await world.records()
    assert record["state"] == "completed"


# Trap 13: ids with / and + and = --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [SESSION_ID, CALL_ID, "a/../b?c#d\\e%2F", "ä ö", "x" * 1000])
async def test_ids_go_through_unchanged(world: World, name: str) -> None:
    world.cms.nodes[name] = session(id=name)
    message = await world.hook({"data": {"id": name, "url": "u"}})
    assert message["status"] == "handled", message["reason"]
    assert world.cms.asked[0]["variables"]["id"] == name
    (record,) = await world.records()
    assert record["externalId"] == name


async def test_calls(bare: World) -> None:
    await bare.connect(
        call_query="query($id: ID!) { node(id: $id) { __typename ... on Call { id externalData endedAt } } }"
    )
    await bare.listen()
    bare.cms.nodes[CALL_ID] = {
        "__typename": "Call",
        "id": CALL_ID,
        "externalData": '{"case": "x", "work_order_id": 77}',
        "endedAt": "2026-11-21T09:00:00Z",
    }
    message = await bare.hook({"data": {"id": CALL_ID}}, topic="call/created")
    assert message["effect"]["work_order_id"] == "77", "a number, in an object written as text"
    (record,) = await bare.records()
    assert (record["kind"], record["ended"]) == ("call", True)


async def test_something_else_under_this_id_is_ignored(world: World) -> None:
    world.cms.nodes["u1"] = {"__typename": "User", "id": "u1"}
    message = await world.hook({"data": {"id": "u1"}})
    assert "neither a session nor a call" in message["effect"]["ignored"]


# Whatever comes -------------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=15,
)


@given(st.binary(max_size=80) | json_values.map(lambda v: json.dumps(v).encode()), st.booleans())
def test_never_anything_but_understood_or_refused(raw: bytes, second: bool) -> None:
    headers = {"x-scope-topic": "scenario_session/created"} if second else {}
    event_name(headers, raw)
    try:
        notice = read(headers, raw, OPTIONS)
    except InvalidInput:
        return
    assert notice.why or notice.external_id or notice.refused


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"conection": "cms"}, "options.conection"),
        ({"connection": "Not a name"}, "options.connection"),
        ({"session_topics": "scenario_session"}, "options.session_topics"),
        ({"identical_within_seconds": 10_000}, "options.identical_within_seconds"),
        ({"references": {"order": ["x"]}}, "options.references.order"),
    ],
)
async def test_options_that_cannot_work_are_named(bare: World, options: dict[str, Any], field: str) -> None:
    answer = await bare.api.post("/api/v1/hook-sources", json={"id": "w", "kind": "scope_ar", "options": options})
    assert (answer.status, answer.json()["problems"][0]["field"]) == (400, field)


async def test_short_secrets_and_sign_ins_are_refused(bare: World) -> None:
    short = await bare.api.post("/api/v1/hook-sources", json={"id": "w", "kind": "scope_ar", "signing_secret": "x"})
    assert (short.status, short.json()["problems"][0]["field"]) == (400, "signing_secret")
    basic = {"username": "u", "password": "p" * 20}
    signed_in = await bare.api.post("/api/v1/hook-sources", json={"id": "w", "kind": "scope_ar", "credentials": basic})
    assert (signed_in.status, signed_in.json()["problems"][0]["field"]) == (400, "credentials")
