"""The import: what no webhook brought is found, what never ended here is completed, nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from shared.clock import ManualClock, iso
from shared.errors import Unavailable
from shared.services import Services
from shared.storage import Document, Query, every
from tests.api import Api, run_timer
from tests.platforms.scope_ar import TOKEN, WorkLink, completed, session, worklink

CALLS_QUERY = (
    "query C($first: Int!, $after: String) { calls(first: $first, after: $after) { nodes { id } "
    "pageInfo { hasNextPage endCursor } } }"
)


@pytest.fixture
async def cms(api: Api) -> AsyncIterator[WorkLink]:
    async with worklink() as served:
        for number in range(7):
            name = f"s/{number}+="
            served.nodes[name] = completed(id=name, databaseId=number)
        body = {
            "id": "cms",
            "platform": "scope_ar",
            "options": {"url": served.graphql, "page_size": 3, "copy_captures": False},
            "credentials": {"token": TOKEN},
        }
        assert (await api.post("/api/v1/connections", json=body)).status == 201
        yield served


async def records(house: Services) -> list[Document]:
    return [stored.document async for stored in every(house.store, "sessions", Query())]


async def state(api: Api) -> dict[str, Any]:
    answer = await api.get("/api/v1/connections/cms/import")
    assert answer.status == 200, answer.body
    return dict(answer.json())


async def change(api: Api, cms: WorkLink, **imports: Any) -> None:
    options = {"url": cms.graphql, "page_size": 3, "copy_captures": False, "imports": imports}
    answer = await api.patch("/api/v1/connections/cms", json={"options": options})
    assert answer.status == 200, answer.body


async def test_what_no_webhook_brought_is_found_once(
    api: Api, house: Services, cms: WorkLink, clock: ManualClock
) -> None:
    # One came by its webhook before.
    fetched = await house.platforms.scope_ar.sessions.fetch_session("cms", "s/0+=")
    assert fetched.node is not None
    await house.platforms.scope_ar.sessions.upsert_session("cms", fetched.node, asked_at=fetched.asked_at)
    await run_timer("import_sessions")
    found = await records(house)
    assert len(found) == 7
    assert {one["workOrderId"] for one in found} == {"WO-7/2+1"}
    shown = await state(api)
    assert (shown["missed"], shown["walking"], shown["error"]) == ({"session": 6, "call": 0}, False, None)
    assert shown["last_run"] == {"pages": 3, "recorded": 6, "missed": 6, "completed": 0}
    asked = len(cms.asked)
    await run_timer("import_sessions")
    assert len(cms.asked) == asked, "not due"
    clock.advance(3600)
    await run_timer("import_sessions")
    assert len(cms.asked) == asked + 3, "the list alone is read"
    assert (await state(api))["missed"]["session"] == 6
    assert all(one["revision"] == 1 for one in await records(house))


async def test_a_walk_goes_on_where_it_stopped(api: Api, house: Services, cms: WorkLink) -> None:
    await change(api, cms, pages_per_run=1)
    counts = []
    for _ in range(4):
        await run_timer("import_sessions")
        counts.append((len(await records(house)), (await state(api))["walking"]))
    assert counts == [(3, True), (6, True), (7, True), (7, False)]


@pytest.mark.parametrize("step", range(0, 14, 2))
async def test_killed_between_a_page_and_its_mark(
    api: Api, house: Services, cms: WorkLink, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    left = step
    real = {name: getattr(house.store, name) for name in ("create", "replace", "upsert")}

    def dying(name: str) -> Any:
        async def write(*args: Any, **how: Any) -> Any:
            nonlocal left
            if left == 0:
                raise Unavailable("killed")
            left -= 1
            return await real[name](*args, **how)

        return write

    with monkeypatch.context() as patched:
        for name in real:
            patched.setattr(house.store, name, dying(name))
        await run_timer("import_sessions")
    await run_timer("import_sessions")
    await house.work.sessions.tell()
    found = await records(house)
    assert len({one["externalId"] for one in found}) == len(found) == 7
    assert all("unpublished" not in one for one in found)
    assert (await state(api))["missed"]["session"] == 7
    events = [s.document async for s in every(house.store, "events", Query()) if s.document["type"].startswith("SESS")]
    assert len(events) == 7


async def test_what_goes_on_is_completed(api: Api, house: Services, cms: WorkLink, clock: ManualClock) -> None:
    cms.nodes.clear()
    cms.nodes["open"] = session(id="open")
    await run_timer("import_sessions")
    [record] = await records(house)
    assert not record["ended"]
    # It ended, and no webhook said so: the list does.
    cms.nodes["open"] = completed(id="open") | {"__typename": "ScenarioSession"}
    await change(api, cms, history_days=1, recheck_minutes=30)
    clock.advance(3600)
    await run_timer("import_sessions")
    [record] = await records(house)
    assert record["ended"]
    assert record["state"] == "completed"


async def test_what_the_list_no_longer_shows_is_asked_for(
    api: Api, house: Services, cms: WorkLink, clock: ManualClock
) -> None:
    cms.nodes.clear()
    cms.nodes["open"] = session(id="open")
    await run_timer("import_sessions")
    await change(
        api,
        cms,
        sessions_query="query L($first: Int!, $after: String, $since: String!) { scenarioSessions(first: $first, "
        "after: $after, since: $since) { nodes { id } pageInfo { hasNextPage endCursor } } }",
        overlap_minutes=0,
    )
    cms.nodes["open"] = completed(id="open")
    clock.advance(3600)
    await run_timer("import_sessions")
    lists = [asked for asked in cms.asked if "scenarioSessions(" in asked["query"]]
    assert lists[-1]["variables"]["since"] == iso(clock.now() - timedelta(hours=1)), "from the walk before on"
    [record] = await records(house)
    assert record["ended"]
    assert (await state(api))["completed"] == 1


async def test_a_webhook_gets_its_time(api: Api, house: Services, cms: WorkLink, clock: ManualClock) -> None:
    cms.nodes.clear()
    young = iso(clock.now() - timedelta(minutes=5))
    cms.nodes["young"] = completed(id="young") | {"endedAt": young}
    cms.nodes["old"] = completed(id="old") | {"startedAt": iso(clock.now() - timedelta(days=31))}
    await run_timer("import_sessions")
    assert await records(house) == []
    clock.advance(3600)
    await run_timer("import_sessions")
    assert [one["externalId"] for one in await records(house)] == ["young"]


async def test_calls_have_a_list_of_their_own(api: Api, house: Services, cms: WorkLink) -> None:
    cms.nodes["call"] = {
        "__typename": "Call",
        "id": "call",
        "startedAt": "2026-11-21T09:00:00Z",
        "externalData": {"work_order_id": "W"},
    }
    await change(api, cms, calls_query=CALLS_QUERY)
    await run_timer("import_sessions")
    assert (await state(api))["missed"] == {"session": 7, "call": 1}
    assert {one["kind"] for one in await records(house)} == {"session", "call"}


async def test_what_may_not_be_read_is_said_and_stops_nothing(api: Api, house: Services, cms: WorkLink) -> None:
    real = cms._listed
    cms.unreadable = {"s/3+="}

    def listed(kind: str, variables: dict[str, Any]) -> dict[str, Any]:
        hidden, cms.unreadable = cms.unreadable, set()
        try:
            return real(kind, variables)
        finally:
            cms.unreadable = hidden

    cms._listed = listed  # type: ignore[method-assign]
    await run_timer("import_sessions")
    assert len(await records(house)) == 6
    assert "may not read session s/3+=" in (await state(api))["problems"][0]


async def test_an_api_that_is_away_is_said(api: Api, house: Services, cms: WorkLink, clock: ManualClock) -> None:
    cms.tokens.clear()
    await run_timer("import_sessions")
    assert "token" in (await state(api))["error"].lower()
    cms.tokens.add(TOKEN)
    clock.advance(600)
    await run_timer("import_sessions")
    assert (await state(api))["error"] is None
    assert len(await records(house)) == 7


async def test_a_query_that_the_api_does_not_know_is_said_and_not_asked_all_the_time(
    api: Api, house: Services, cms: WorkLink, clock: ManualClock
) -> None:
    unknown = {"errors": [{"message": "Field 'scenarioSessions' doesn't exist on type 'Query'"}]}
    cms.script = [lambda request: web.json_response(unknown)] * 9
    await run_timer("import_sessions")
    assert "doesn't exist" in (await state(api))["error"]
    asked = len(cms.asked)
    clock.advance(600)
    await run_timer("import_sessions")
    assert len(cms.asked) == asked
    clock.advance(3000)
    await run_timer("import_sessions")
    assert len(cms.asked) == asked + 1


async def test_by_hand(api: Api, cms: WorkLink) -> None:
    answer = await api.post("/api/v1/connections/cms/import")
    assert (answer.status, answer.json()["complete"]) == (200, True)
    assert (await api.get("/api/v1/connections/none/import")).status == 404
    answer = await api.patch("/api/v1/connections/cms", json={"enabled": False})
    assert (await api.post("/api/v1/connections/cms/import")).status == 409


@pytest.mark.parametrize("query", ["query { x }", "mutation M($first: Int!, $after: String) { pageInfo }"])
async def test_queries_that_cannot_work_are_refused(api: Api, cms: WorkLink, query: str) -> None:
    options = {"url": cms.graphql, "imports": {"sessions_query": query}}
    answer = await api.patch("/api/v1/connections/cms", json={"options": options})
    assert answer.status == 400
    assert answer.json()["problems"][0]["field"] == "options.imports.sessions_query"


async def test_one_record_that_breaks_us_ends_no_walk(
    api: Api, house: Services, cms: WorkLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = house.platforms.scope_ar.sessions.upsert_session

    async def breaks(connection: str, node: Any, **more: Any) -> Any:
        if node["id"] == "s/1+=":
            raise RuntimeError("a fault")
        return await take(connection, node, **more)

    monkeypatch.setattr(house.platforms.scope_ar.sessions, "upsert_session", breaks)
    await run_timer("import_sessions")
    assert len(await records(house)) == 6
    shown = await state(api)
    assert (shown["walking"], "s/1+= could not be taken" in str(shown)) == (False, True)


async def test_a_fault_of_ours_at_one_connection_keeps_no_other_waiting(
    api: Api, house: Services, cms: WorkLink, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = {
        "id": "a-first",
        "platform": "scope_ar",
        "options": {"url": cms.graphql, "page_size": 3, "copy_captures": False},
        "credentials": {"token": TOKEN},
    }
    assert (await api.post("/api/v1/connections", json=first)).status == 201
    importing = house.platforms.scope_ar.importing
    walk = importing._walk

    async def breaks(connection: Any, *more: Any) -> Any:
        if connection.id == "a-first":
            raise RuntimeError("a fault")
        return await walk(connection, *more)

    monkeypatch.setattr(importing, "_walk", breaks)
    await run_timer("import_sessions")
    assert len(await records(house)) == 7
    said = (await api.get("/api/v1/connections/a-first/import")).json()
    assert "the log of the hub has the details" in said["error"]
    written_by_another_version = {"url": cms.graphql, "no_such_option": 1}
    stored = await house.store.read("platformConnections", ("a-first",), "a-first")
    await house.store.upsert("platformConnections", {**stored.document, "options": written_by_another_version})
    cms.nodes["s/8+="] = completed(id="s/8+=", databaseId=8)
    clock.advance(3_700)
    await run_timer("import_sessions")
    assert len(await records(house)) == 8
