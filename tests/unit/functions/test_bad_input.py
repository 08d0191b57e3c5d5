"""Bad input, on every route of the app: a 4xx problem document, nothing stored, nothing leaked."""

from __future__ import annotations

import re
from typing import Any

import pytest

from local.functions import HttpFunction
from shared.services import Services
from shared.storage import Query, every
from shared.topology import topology
from tests.api import Api, ApiAnswer, cloud_functions

SECRET = "Sesame-open-71b4"

KNOWN = {
    "equipment_id": "oven-1",
    "profile": "floor",
    "profile_id": "floor",
    "source": "nobody",
    "token": "x" * 22,
    "delivery_id": "0123456789ABCDEF0123456789ABCDEF-0123456789ABCDEF0123456789ABCDEF",
}
"""Route values for which there is something; anything else gets a well-formed id that is not there."""

ROUTES = sorted(
    (method, f.route)
    for f in cloud_functions()
    if isinstance(f, HttpFunction)
    for method in (f.methods or {"GET"})
    if method in ("POST", "PUT", "PATCH", "DELETE", "GET")
)
WITH_BODY = [(m, r) for m, r in ROUTES if m in ("POST", "PUT", "PATCH")]

BODIES: dict[str, bytes] = {
    "cut": b'{"name": "Horno',
    "list": b"[1, 2, 3]",
    "text": b'"' + SECRET.encode() + b'"',
    "not-utf8": b'{"name": "\xff\xfe"}',
    "deep": b'{"a":' * 300 + b"1" + b"}" * 300,
    "unknown-field": b'{"no_such_field_at_all": "' + SECRET.encode() + b'"}',
    "number": b"42",
}


def path_of(route: str) -> str:
    """An address of this route."""
    return "/" + re.sub(r"\{\*?(\w+)[^}]*\}", lambda m: KNOWN.get(m[1], "0123456789ABCDEF0123456789ABCDEF"), route)


async def contents(house: Services) -> dict[str, list[str]]:
    """Every document's id by container; what comes in from outside is kept on purpose."""
    kept = ("inbound", "audit")
    return {
        name: sorted([s.document["id"] async for s in every(house.store, name, Query(limit=1000))])
        for name in topology().containers
        if name not in kept
    }


def assert_problem(answer: ApiAnswer, where: str) -> None:
    assert 400 <= answer.status < 500, f"{where}: {answer.status} {answer.body[:300]!r}"
    assert answer.headers["content-type"].startswith("application/problem+json"), where
    body: dict[str, Any] = answer.json()
    assert body["status"] == answer.status
    assert len(body["detail"]) > 10, where
    assert SECRET not in answer.body.decode(), f"{where}: the rejected value came back"


@pytest.fixture
async def oven(api: Api) -> str:
    assert (await api.post("/api/v1/equipment", json={"id": "oven-1", "name": "Oven"})).status == 201
    return "oven-1"


@pytest.mark.parametrize(("method", "route"), WITH_BODY, ids=lambda v: v)
async def test_a_bad_body_is_refused_and_nothing_is_stored(
    api: Api, house: Services, oven: str, method: str, route: str
) -> None:
    before = await contents(house)
    for kind, body in BODIES.items():
        answer = await api.call(method, path_of(route), body=body, headers={"content-type": "application/json"})
        assert_problem(answer, f"{kind} to {method} {route}")
    too_large = await api.call(
        method, path_of(route), body=b'{"a": "' + b"x" * 1_048_576 + b'"}', headers={"content-type": "application/json"}
    )
    assert too_large.status == 413, f"{method} {route}: {too_large.status}"
    chunked = await api.call(method, path_of(route), body=b"", headers={"transfer-encoding": "chunked"})
    assert chunked.status == 411, f"{method} {route}: {chunked.status}"
    assert "Content-Length" in chunked.json()["detail"]
    assert await contents(house) == before


@pytest.mark.parametrize(("method", "route"), [(m, r) for m, r in ROUTES if "{" in r and m != "POST"], ids=lambda v: v)
async def test_an_id_that_is_not_there_is_404(api: Api, method: str, route: str) -> None:
    answer = await api.call(method, path_of(route), json={} if method in ("PUT", "PATCH") else None)
    if method == "PUT":
        assert answer.status in (200, 201, 400, 404), f"{method} {route}: {answer.status}"
        return
    assert answer.status in (400, 404) or (method == "DELETE" and answer.status == 204), (
        f"{method} {route}: {answer.status} {answer.body[:200]!r}"
    )


TAKES_NO_QUERY = ("api/health", "api/health/ready", "api/v1/alert-rule-presets")


@pytest.mark.parametrize("route", [r for m, r in ROUTES if m == "GET" and "{" not in r and r not in TAKES_NO_QUERY])
async def test_an_unknown_query_parameter_is_named(api: Api, route: str) -> None:
    answer = await api.get(f"/{route}?no_such_parameter={SECRET}")
    assert_problem(answer, route)
    assert "no_such_parameter" in answer.body.decode()
