"""The REST client against a server that demands what the platform demands; and orders, each made once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.services import Services
from tests.api import Api, ApiAnswer
from tests.platforms.operations1 import TENANT, TOKEN, FakeOperations1

WANTED = {"custom_order_id": "TKT-1", "name": "Check oven 1", "variables": {"oven": "OVEN-1"}, "priority": 8}


@pytest.fixture
async def op1() -> AsyncIterator[FakeOperations1]:
    server = FakeOperations1()
    await server.start()
    yield server
    await server.stop()


async def connect(api: Api, op1: FakeOperations1, token: str = TOKEN, **options: Any) -> ApiAnswer:
    wanted = {
        "id": "op1",
        "platform": "operations1",
        "options": {"tenant": TENANT, "base_url": op1.url, "timeout_seconds": 2} | options,
        "credentials": {"token": token, "expires_at": "2026-12-05T00:00:00Z"},
    }
    answer = await api.post("/api/v1/connections", json=wanted)
    assert answer.status == 201, answer.body
    return answer


async def make(api: Api, **more: Any) -> ApiAnswer:
    return await api.post("/api/v1/operations1/orders", json=WANTED | more)


async def test_an_order_is_made_once(api: Api, op1: FakeOperations1, house: Services) -> None:
    await connect(api, op1)
    first, again = await make(api, fields={"tags": ["x"]}), await make(api, name="Another name")
    assert (first.status, again.status) == (201, 200)
    assert first.json()["created"] is True
    assert again.json()["order_id"] == first.json()["order_id"] == "101"
    assert op1.posted == 1
    assert op1.orders[0] == {
        "id": 101,
        "state": "not-started",
        "customOrderId": "TKT-1",
        "name": "Check oven 1",
        "priority": 8,
        "variables": {"oven": "OVEN-1"},
        "tags": ["x"],
    }
    entries = (await api.get("/api/v1/audit?stream=connection:op1")).json()["entries"]
    assert "order.created" in [entry["action"] for entry in entries]
    shown = (await api.get("/api/v1/operations1/orders?custom_order_id=TKT-1&state=not-started")).json()
    assert (shown["orders"][0]["custom_order_id"], shown["total"], shown["complete"]) == ("TKT-1", 1, True)


async def test_an_alerts_response_needs_no_id_of_its_own(api: Api, op1: FakeOperations1) -> None:
    await connect(api, op1)
    key = {"idempotency-key": "response:" + "X" * 200}
    answers = [await api.post("/api/v1/operations1/orders", json={"name": "n"}, headers=key) for _ in range(2)]
    assert [a.status for a in answers] == [201, 200]
    assert answers[0].json()["custom_order_id"].startswith("OB-")
    neither = await api.post("/api/v1/operations1/orders", json={"name": "n"})
    assert (neither.status, neither.json()["problems"][0]["field"]) == (400, "custom_order_id")


async def test_ten_at_once_make_one(api: Api, op1: FakeOperations1) -> None:
    await connect(api, op1)
    answers = await asyncio.gather(*(make(api) for _ in range(10)))
    assert sorted(a.status for a in answers) == [200] * 9 + [201]
    assert op1.posted == 1


async def test_made_by_somebody_else_just_before_our_claim(
    api: Api, op1: FakeOperations1, house: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connect(api, op1)
    orders = house.platforms.operations1.orders
    claim = orders._claim

    async def late(*args: Any) -> Any:
        op1.orders.append({"id": 7, "customOrderId": "TKT-1", "state": "not-started"})
        return await claim(*args)

    monkeypatch.setattr(orders, "_claim", late)
    answer = await make(api)
    assert (answer.status, answer.json()["order_id"], op1.posted) == (200, "7", 0)


async def test_a_filter_that_is_ignored_is_not_believed(api: Api, op1: FakeOperations1) -> None:
    await connect(api, op1)
    op1.orders = [{"id": n, "customOrderId": f"OLD-{n}", "state": "done"} for n in range(30)]
    op1.ignores_filters = True
    assert (await make(api)).status == 201


@pytest.mark.parametrize("where", ["after looking", "after posting"])
async def test_killed_in_between_it_is_made_once(
    api: Api, op1: FakeOperations1, house: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    await connect(api, op1)
    rest = house.platforms.operations1.rest
    post = rest.create_order

    async def dies(*args: Any) -> Any:
        if where == "after posting":
            await post(*args)
        raise asyncio.CancelledError

    with monkeypatch.context() as death:
        death.setattr(rest, "create_order", dies)
        with pytest.raises(asyncio.CancelledError):
            await make(api)
    assert op1.posted == int(where == "after posting")
    monkeypatch.setattr("shared.platforms.operations1.orders.WAITS_SECONDS", 0.0)
    soon = await make(api)
    if where == "after looking":
        assert soon.status == 503, "whoever died may be posting yet"
        assert 1 <= int(soon.headers["retry-after"]) <= 7
        clock.advance(8)
        assert (await make(api)).status == 201
    else:
        assert soon.status == 200
    assert op1.posted == 1


async def test_an_answer_that_was_lost_is_looked_for(
    api: Api, op1: FakeOperations1, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connect(api, op1)
    monkeypatch.setattr("shared.platforms.operations1.orders.WAITS_SECONDS", 0.0)
    op1.trouble = ["", "", "lost"]
    lost = await make(api)
    assert lost.status == 503
    assert "looked for" in lost.json()["detail"]
    assert (await make(api)).json()["created"] is False
    op1.trouble = ["", "", 500]
    assert (await make(api, custom_order_id="TKT-2")).status == 503
    soon = await make(api, custom_order_id="TKT-2")
    assert (soon.status, soon.headers["retry-after"]) == (503, "20"), "it may be shown only after a while"
    clock.advance(21)
    assert (await make(api, custom_order_id="TKT-2")).status == 201
    assert op1.posted == 2


async def test_refusals_in_sentences(api: Api, op1: FakeOperations1, house: Services) -> None:
    await connect(api, op1)
    for status, ours, said in (
        (403, 502, "may not do this"),
        (404, 404, "tenant bakery"),
        (422, 400, "does not take it (422). It says: Trouble 422"),
        (302, 502, "redirect"),
        (503, 503, "answered 503"),
    ):
        op1.trouble = ["", "", status]
        answer = await make(api)
        assert (answer.status, said in answer.json()["detail"]) == (ours, True), answer.body
    op1.trouble = [429]
    answer = await make(api)
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    assert op1.posted == 0
    assert (await make(api)).status == 201


async def test_a_version_that_is_gone(api: Api, op1: FakeOperations1) -> None:
    await connect(api, op1, accept_version="2024-01-01")
    answer = await make(api)
    assert answer.status == 502
    assert "Accept-Version 2024-01-01 (PG3)" in answer.json()["detail"]
    tried = (await api.post("/api/v1/connections/op1/test")).json()
    assert tried["success"] is False
    assert "PG3" in tried["message"]


async def test_a_token_that_was_changed_is_looked_up(api: Api, op1: FakeOperations1, house: Services) -> None:
    await connect(api, op1)
    assert (await api.get("/api/v1/operations1/orders")).status == 200
    op1.tokens = {"op1-Token-new"}
    refused = await api.get("/api/v1/operations1/orders")
    assert refused.status == 502
    assert "New API user account" in refused.json()["detail"]
    assert TOKEN not in json.dumps(refused.json())
    assert "refuses the token" in (await api.get("/api/v1/connections/op1")).json()["last_error"]
    changed = await api.patch("/api/v1/connections/op1", json={"credentials": {"token": "op1-Token-new"}})
    assert changed.status == 200
    assert (await api.get("/api/v1/operations1/orders")).status == 200


async def test_a_token_that_ends_is_told_of(
    api: Api, op1: FakeOperations1, house: Services, clock: ManualClock
) -> None:
    await connect(api, op1)
    tried = (await api.post("/api/v1/connections/op1/test")).json()
    assert tried["success"] is True
    assert "ends on 2026-12-05" in tried["message"]
    assert tried["details"]["token_days_left"] == 13
    (ending,) = await house.expiring.look()
    assert ending.name.startswith("connection-op1-")
    assert ending.days == 13
    past = {"credentials": {"token": TOKEN, "expires_at": "2026-11-01T00:00:00Z"}}
    assert (await api.patch("/api/v1/connections/op1", json=past)).status == 400


async def test_pages_to_the_end_and_no_further(api: Api, op1: FakeOperations1) -> None:
    await connect(api, op1, page_size=10, max_pages=3)
    op1.orders = [{"id": n, "customOrderId": f"T-{n}", "state": "done"} for n in range(25)]
    whole = (await api.get("/api/v1/operations1/orders")).json()
    assert (len(whole["orders"]), whole["total"], whole["complete"]) == (25, 25, True)
    op1.orders = [{"id": n, "customOrderId": f"T-{n}", "state": "done"} for n in range(45)]
    some = (await api.get("/api/v1/operations1/orders")).json()
    assert (len(some["orders"]), some["total"], some["complete"]) == (30, 45, False)
    few = (await api.get("/api/v1/operations1/orders?limit=7")).json()
    assert (len(few["orders"]), few["complete"]) == (7, False)


async def test_a_report(api: Api, op1: FakeOperations1) -> None:
    await connect(api, op1)
    op1.reports["880011"] = {"id": 880011, "state": "done", "passed": "pass"}
    answer = await api.get("/api/v1/operations1/reports/880011")
    assert (answer.status, answer.json()["report"]["passed"]) == (200, "pass")
    assert (await api.get("/api/v1/operations1/reports/7")).status == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"options": {}}, "options.tenant"),
        ({"options": {"tenant": "a/b"}}, "options.tenant"),
        ({"options": {"tenant": "x", "accept_version": "latest"}}, "options.accept_version"),
        ({"options": {"tenant": "x", "base_url": "http://169.254.169.254"}}, "options.base_url"),
        ({"credentials": {}}, "credentials.token"),
        ({"credentials": {"token": "x", "user": "y"}}, "credentials.user"),
        ({"credentials": {"token": "x", "expires_at": "soon"}}, "credentials.expires_at"),
        ({"credentials": {"token": "x", "expires_at": "0001-01-01T00:00:00+14:00"}}, "credentials.expires_at"),
    ],
)
async def test_connections_that_cannot_work(api: Api, house: Services, change: dict[str, Any], field: str) -> None:
    good = {"options": {"tenant": "x", "base_url": "http://127.0.0.1:9"}, "credentials": {"token": "x"}}
    answer = await api.post("/api/v1/connections", json={"id": "op1", "platform": "operations1"} | good | change)
    assert answer.status == 400
    assert answer.json()["problems"][0]["field"] == field


async def test_which_connection(api: Api, op1: FakeOperations1, house: Services) -> None:
    none = await make(api)
    assert (none.status, "POST /api/v1/connections" in none.json()["detail"]) == (400, True)
    await connect(api, op1)
    second = {"id": "two", "platform": "operations1", "options": {"tenant": "x", "base_url": op1.url}}
    assert (await api.post("/api/v1/connections", json=second | {"credentials": {"token": "y"}})).status == 201
    assert "op1, two" in (await make(api)).json()["detail"]
    assert (await make(api, connection_id="op1")).status == 201
    assert (await make(api, connection_id="three")).status == 404


async def test_it_is_away(api: Api, op1: FakeOperations1, clock: ManualClock) -> None:
    await connect(api, op1)
    await op1.stop()
    answer = await make(api)
    assert answer.status == 503
    assert "cannot be reached" in answer.json()["detail"]
    clock.advance(timedelta(minutes=5).total_seconds())
    assert (await api.get("/api/v1/connections/op1")).json()["last_error"] is not None
