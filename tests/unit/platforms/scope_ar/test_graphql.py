"""The GraphQL API: tokens, signing in, paging, errors beside 200, back-off, what may not be read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from shared.clock import ManualClock
from shared.errors import InvalidInput, Unavailable
from shared.platforms.scope_ar.graphql import GraphQl, NotReadable, declared
from shared.platforms.scope_ar.queries import CAPTURES_QUERY, SESSION_QUERY
from shared.platforms.scope_ar.sign_in import CredentialsRefused
from shared.storage import Document, SetPath
from tests.platforms.scope_ar import SESSION_ID, TOKEN, completed, session
from tests.unit.platforms.scope_ar.conftest import World

USER = {"username": "ops", "password": "pw"}


async def ask(world: World) -> Any:
    return await world.house.platforms.scope_ar.sessions.fetch_session("cms", SESSION_ID)


async def shown(world: World) -> dict[str, Any]:
    found: dict[str, Any] = (await world.api.get("/api/v1/connections/cms")).json()
    return found


# Trap 15: `Token token=` and `Bearer token=` --------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "scheme"), [("token", "Token"), ("bearer", "Bearer")])
async def test_kinds_of_tokens(bare: World, kind: str, scheme: str) -> None:
    bare.cms.scheme = scheme
    await bare.connect(authorization=kind)
    assert (await ask(bare)).node["id"] == SESSION_ID
    assert bare.cms.headers[0]["authorization"] == f"{scheme} token={TOKEN}"


async def test_the_other_kind_says_what_is_wrong(bare: World) -> None:
    bare.cms.scheme = "Bearer"
    await bare.connect()
    with pytest.raises(CredentialsRefused, match="refuses the token") as caught:
        await ask(bare)
    assert caught.value.status == 502, "whoever calls us is signed in well enough"
    assert "refuses the token" in (await shown(bare))["last_error"]
    assert len(bare.cms.asked) == 1, "the same token is not tried again"


async def test_an_extra_header_and_the_permalink(bare: World) -> None:
    credentials = {"token": TOKEN, "extra_header": "Token token=early"}
    await bare.connect(credentials=credentials, extra_header="PrivateAccessCode", permalink="acme")
    await ask(bare)
    assert bare.cms.headers[0]["privateaccesscode"] == "Token token=early"
    assert bare.cms.queries == ["permalink=acme"]
    assert "permalink" not in bare.cms.asked[0]


async def test_the_permalink_in_the_body(bare: World) -> None:
    await bare.connect(permalink="acme", permalink_in="body")
    await ask(bare)
    assert (bare.cms.queries, bare.cms.asked[0]["permalink"]) == ([""], "acme")


# Signing in ----------------------------------------------------------------------------------------------------------


async def test_one_sign_in_for_many_questions_and_29_days(bare: World, clock: ManualClock) -> None:
    await bare.connect(credentials=USER)
    await asyncio.gather(*(ask(bare) for _ in range(10)))
    clock.advance(28 * 86_400)
    await ask(bare)
    assert bare.cms.sign_ins == 1
    clock.advance(2 * 86_400)
    await ask(bare)
    assert bare.cms.sign_ins == 2


async def test_a_token_that_ended_is_renewed_once(bare: World) -> None:
    await bare.connect(credentials=USER)
    await ask(bare)
    bare.cms.tokens.clear()  # somebody signed out
    await asyncio.gather(*(ask(bare) for _ in range(5)))
    assert bare.cms.sign_ins == 2
    assert (await shown(bare))["last_error"] is None


async def test_a_new_token_that_is_refused_too_is_not_tried_for_ever(bare: World) -> None:
    await bare.connect(credentials=USER)
    bare.cms.scheme = "None"
    with pytest.raises(CredentialsRefused):
        await ask(bare)
    assert (bare.cms.sign_ins, len(bare.cms.asked)) == (2, 2)


async def test_a_wrong_password_is_not_tried_again_at_once(bare: World, clock: ManualClock) -> None:
    await bare.connect(credentials=USER | {"password": "wrong"})
    for _ in range(3):
        with pytest.raises(CredentialsRefused, match="give them again"):
            await ask(bare)
    assert bare.cms.sign_ins == 1, "accounts get locked"
    await bare.api.patch("/api/v1/connections/cms", json={"credentials": USER})
    clock.advance(15)
    assert (await ask(bare)).node is not None, "other credentials count at once"


@pytest.mark.parametrize("body", ["{}", "[]", "html", '{"auth_token": ""}', '{"auth_token": "a\\nb"}'])
async def test_a_sign_in_that_gives_no_token_is_tried_later(bare: World, body: str) -> None:
    await bare.connect(credentials=USER)
    await bare.listen()
    bare.cms.sign_in_answer = body
    message = await bare.hook()
    assert (message["status"], "without an auth_token" in message["reason"]) == ("received", True)


async def test_a_token_that_was_changed_in_the_vault_is_taken_up(bare: World, clock: ManualClock) -> None:
    await bare.connect()
    await ask(bare)
    bare.cms.tokens = {"t-new"}
    await bare.api.patch("/api/v1/connections/cms", json={"credentials": {"token": "t-new"}})
    clock.advance(15)
    assert (await ask(bare)).node is not None


# Trap 19: 200 with errors --------------------------------------------------------------------------------------------


async def test_part_of_the_data_is_kept_and_the_errors_are_said(world: World) -> None:
    beside = {"errors": [{"message": "Field parts timed out", "path": ["node", "parts"]}]}
    world.cms.nodes[SESSION_ID] = completed(parts=[], _beside=beside)
    message = await world.hook()
    assert message["effect"]["outcome"] == "created"
    assert message["effect"]["gaps"] == ["The API said: Field parts timed out"]
    (record,) = await world.records()
    assert record["state"] == "completed"
    details = (await world.api.get(f"/api/v1/sessions/{record['id']}")).json()
    assert (details["complete"], details["gaps"]) == (False, ["The API said: Field parts timed out"])


async def test_what_may_not_be_read_is_told_and_not_asked_for_again(world: World) -> None:
    world.cms.unreadable.add(SESSION_ID)
    message = await world.hook()
    assert message["status"] == "failed"
    assert "Not authorized to read object" in message["reason"]
    assert len(world.cms.asked) == 1, "asking again does not help"
    assert "may not read" in (await shown(world))["last_error"]
    world.cms.unreadable.clear()
    await world.api.post(f"/api/v1/inbox/{message['id']}/replay")
    assert (await world.effect(message["id"]))["status"] == "handled"


async def test_null_without_an_error_is_gone(world: World) -> None:
    await world.hook(webhook_id="1")
    world.cms.nodes.clear()
    message = await world.hook(webhook_id="2")
    assert message["effect"] == {"gone": SESSION_ID, "recorded_before": True}
    (record,) = await world.records()
    assert (record["state"], record["goneAt"] is not None) == ("started", True), "what was recorded stays"


async def test_a_query_that_is_refused_says_so(world: World) -> None:
    refusal = {"errors": [{"message": "Field 'endedAt' doesn't exist on type 'ScenarioSession'"}]}
    world.cms.script.append(lambda request: web.json_response(refusal))
    message = await world.hook()
    assert message["status"] == "failed"
    assert "doesn't exist" in message["reason"]


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(text="<html>sign in</html>", content_type="text/html"),
        lambda: web.json_response([1]),
        lambda: web.json_response({"data": None}),
        lambda: web.Response(body=b"[" * 300 + b"]" * 300, content_type="application/json"),
        lambda: web.Response(status=404),
        lambda: web.Response(status=302, headers={"Location": "http://169.254.169.254/latest/meta-data"}),
    ],
    ids=["html", "list", "no data", "deep", "404", "redirect"],
)
async def test_what_is_no_graphql_has_a_reason(world: World, answer: Any) -> None:
    world.cms.script.append(lambda request: answer())
    message = await world.hook()
    assert (message["status"], bool(message["reason"])) == ("failed", True)
    assert await world.records() == []


# Dropped nodes -------------------------------------------------------------------------------------------------------


async def test_steps_that_are_left_out_are_noticed(world: World) -> None:
    world.cms.nodes[SESSION_ID] = session(numberOfStepsViewed=5)
    message = await world.hook()
    assert "Of 5 steps that were viewed 2 are shown" in message["effect"]["gaps"][0]
    details = (await world.api.get(f"/api/v1/sessions/{message['effect']['record']}")).json()
    assert details["complete"] is False


# Paging --------------------------------------------------------------------------------------------------------------


def steps(number: int) -> list[Document]:
    return [{"scenarioStep": {"id": f"s{n}", "name": f"Step {n}"}} for n in range(number)]


async def test_all_pages_of_steps_and_events(bare: World) -> None:
    await bare.connect(page_size=10)
    events = [{"id": f"e{n}", "type": "TEXT"} for n in range(23)]
    bare.cms.nodes[SESSION_ID] = session(steps=steps(41), events=events, numberOfStepsViewed=41)
    fetched = await ask(bare)
    assert [one["scenarioStep"]["id"] for one in fetched.node["steps"]["nodes"]] == [f"s{n}" for n in range(41)]
    assert [one["id"] for one in fetched.node["events"]["nodes"]] == [f"e{n}" for n in range(23)]
    assert (fetched.gaps, len(bare.cms.asked)) == ((), 5)


async def test_pages_are_bounded_and_it_is_said(bare: World) -> None:
    await bare.connect(page_size=5, max_pages=3)
    bare.cms.nodes[SESSION_ID] = session(steps=steps(100), numberOfStepsViewed=100)
    fetched = await ask(bare)
    assert (len(fetched.node["steps"]["nodes"]), len(bare.cms.asked)) == (15, 3)
    assert "first 3 pages" in fetched.gaps[0]


async def test_a_cursor_that_goes_in_a_circle_ends(world: World) -> None:
    circle = {"nodes": [{"id": "c"}], "pageInfo": {"hasNextPage": True, "endCursor": "same"}}
    world.cms.script += [lambda request: web.json_response({"data": {"scenarioSessionEvents": circle}})] * 10
    graphql = world.house.platforms.scope_ar.graphql
    connection = await world.house.platforms.connections.get("cms")
    pages = [page async for page in graphql.pages(connection, CAPTURES_QUERY, {"id": "x"}, ("scenarioSessionEvents",))]
    assert len(pages) == 2


async def test_a_list_that_may_not_be_read(world: World) -> None:
    refusal = {"data": {"scenarioSessionEvents": None}, "errors": [{"message": "Not authorized"}]}
    world.cms.script.append(lambda request: web.json_response(refusal))
    graphql = world.house.platforms.scope_ar.graphql
    connection = await world.house.platforms.connections.get("cms")
    pages = graphql.pages(connection, CAPTURES_QUERY, {"id": "x"}, ("scenarioSessionEvents",))
    with pytest.raises(NotReadable, match="Not authorized"):
        await anext(pages)


def test_only_what_a_query_declares_is_sent() -> None:
    given = {"id": "x", "first": 5, "after": None, "eventsAfter": None}
    assert declared(SESSION_QUERY, given) == given
    assert declared("query($id: ID!) { node(id: $id) { id } }", given) == {"id": "x"}


# Back-off ------------------------------------------------------------------------------------------------------------


def busy(status: int, retry_after: str | None = None) -> Any:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return lambda request: web.Response(status=status, headers=headers)


async def test_a_short_pause_is_waited_for(world: World) -> None:
    world.cms.script += [busy(429, "0"), busy(503, "0.01")]
    assert (await world.hook())["status"] == "handled"


async def test_a_long_pause_is_kept_by_every_question(world: World, clock: ManualClock) -> None:
    world.cms.script.append(busy(429, "120"))
    message = await world.hook(webhook_id="1")
    assert message["status"] == "received", "it waits in the inbox"
    assert "come less often" in message["reason"]
    other = await world.hook(webhook_id="2")
    assert other["status"] == "received"
    assert len(world.cms.asked) == 1, "left alone until then"
    clock.advance(121)
    await world.house.inbound.sweep()
    assert (await world.effect(message["id"]))["status"] == "handled"
    assert (await world.effect(other["id"]))["status"] == "handled"
    assert len(await world.records()) == 1


@pytest.mark.parametrize("said", ["Sat, 21 Nov 2026 10:10:00 GMT", "600"])
async def test_retry_after_as_a_date_and_as_seconds(world: World, said: str) -> None:
    world.cms.script.append(busy(503, said))
    with pytest.raises(Unavailable) as caught:
        await ask(world)
    assert caught.value.retry_after == 600


async def test_an_api_that_hangs_is_left_in_time(bare: World) -> None:
    await bare.connect(timeout_seconds=1)
    await bare.listen()
    bare.cms.holding = asyncio.Event()
    message = await bare.hook()
    assert (message["status"], "did not answer within 1 s" in message["reason"]) == ("received", True)


async def test_nonsense_in_retry_after_is_no_pause_of_a_year(world: World) -> None:
    world.cms.script += [busy(503, "99999999999")]
    with pytest.raises(Unavailable) as caught:
        await ask(world)
    assert caught.value.retry_after == 3600


async def test_an_outage_loses_nothing(world: World, clock: ManualClock) -> None:
    graphql = world.cms.graphql
    await world.api.patch(
        "/api/v1/connections/cms",
        json={"options": {"url": "http://127.0.0.1:9/api/v3/graphql"}, "credentials": {"token": TOKEN}},
    )
    message = await world.hook()
    assert (message["status"], "did not answer" in message["reason"]) == ("received", True)
    for _ in range(12):  # longer than a queue tries
        clock.advance(3700)
        await world.house.inbound.sweep()
        await world.drain()
    await world.api.patch(
        "/api/v1/connections/cms", json={"options": {"url": graphql}, "credentials": {"token": TOKEN}}
    )
    clock.advance(3700)
    await world.house.inbound.sweep()
    message = await world.effect(message["id"])
    assert (message["status"], message["reason"]) == ("handled", None)


async def test_after_two_days_it_says_that_it_failed(world: World, clock: ManualClock) -> None:
    world.cms.tokens.clear()
    message = await world.hook()
    clock.advance(2 * 86_400 + 60)
    await world.house.inbound.sweep()
    message = await world.effect(message["id"])
    assert (message["status"], "refuses the token" in message["reason"]) == ("failed", True)


async def test_a_switched_off_connection_is_not_asked(world: World, clock: ManualClock) -> None:
    await world.api.patch("/api/v1/connections/cms", json={"enabled": False})
    message = await world.hook()
    assert (message["status"], "switched off" in message["reason"], world.cms.asked) == ("received", True, [])


async def test_many_updates_after_a_pause_are_one_question(world: World, clock: ManualClock) -> None:
    world.cms.script.append(busy(429, "60"))
    first = [(await world.hook(webhook_id=str(n)))["id"] for n in range(5)]
    clock.advance(61)
    await world.house.inbound.sweep()
    effects = [(await world.effect(name))["effect"]["outcome"] for name in first]
    assert sorted(effects) == ["created", "known", "known", "known", "known"]


# The connection ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "credentials", "field"),
    [
        ({"url": "ftp://cms.example/"}, {"token": "t"}, "options.url"),
        ({"url": "http://169.254.169.254/graphql"}, {"token": "t"}, "options.url"),
        ({"sign_in_url": "http://elsewhere.example/sign_in"}, {"token": "t"}, "options.sign_in_url"),
        ({"page_size": 101}, {"token": "t"}, "options.page_size"),
        ({"authorization": "Basic"}, {"token": "t"}, "options.authorization"),
        ({"session_query": "{ me { id } }"}, {"token": "t"}, "options.session_query"),
        ({"call_query": "mutation($id: ID!) { drop(id: $id) }"}, {"token": "t"}, "options.call_query"),
        ({"extra_header": "Host"}, {"token": "t"}, "options.extra_header"),
        ({"extra_header": "PrivateAccessCode"}, {"token": "t"}, "credentials.extra_header"),
        ({"colour": "red"}, {"token": "t"}, "options.colour"),
        ({}, {}, "credentials.token"),
        ({}, {"token": ""}, "credentials.token"),
        ({}, {"token": "a\nb"}, "credentials.token"),
        ({}, {"token": "t", "username": "u", "password": "p"}, "credentials.token"),
        ({}, {"username": "u"}, "credentials.token"),
        ({}, {"tokken": "t"}, "credentials.tokken"),
    ],
)
async def test_what_cannot_work_is_named(
    bare: World, options: dict[str, Any], credentials: dict[str, str], field: str
) -> None:
    wanted = {"id": "cms", "platform": "scope_ar", "options": {"url": bare.cms.graphql} | options}
    answer = await bare.api.post("/api/v1/connections", json=wanted | {"credentials": credentials})
    assert answer.status == 400, answer.body
    assert field in [problem["field"] for problem in answer.json()["problems"]]


async def test_the_test_tells_which_fields_there_are(world: World) -> None:
    answer = (await world.api.post("/api/v1/connections/cms/test")).json()
    assert answer["success"] is True
    assert "externalData" in answer["details"]["session_fields"]
    assert answer["details"]["call_fields"] == ["externalData"]


async def test_the_test_says_what_is_wrong(world: World) -> None:
    world.cms.tokens.clear()
    answer = (await world.api.post("/api/v1/connections/cms/test")).json()
    assert (answer["success"], "refuses" in answer["message"]) == (False, True)
    assert TOKEN not in str(answer)


async def test_another_platforms_connection_is_not_asked(world: World) -> None:
    graphql: GraphQl = world.house.platforms.scope_ar.graphql
    assert graphql is world.house.platforms.scope_ar.graphql
    await world.house.store.patch("platformConnections", ("cms",), "cms", [SetPath("platform", "other")])
    with pytest.raises(InvalidInput, match="is one to other"):
        await ask(world)
