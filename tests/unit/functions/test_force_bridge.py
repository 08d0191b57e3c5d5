"""The FORCE Bridge surface over its routes: a client written for it works unchanged, whatever prefix it spells."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from functions.force_bridge import PREFIXES
from shared.clock import ManualClock
from shared.services import Services
from shared.settings import Settings
from tests.api import Api, Drained
from tests.unit.callbacks.receiver import receiving

BASE = "/ffwebservices/api/v2"
BODY = {
    "objectFilter": [{"name": "id", "value": "DA892519507444768080F0E81879513"}],
    "eventName": "Operation 100 has changed phase",
    "eventType": "OPERATION_PHASE_CHANGED",
    "url": "http://third-party-system:24080/webserver",
    "maxRedeliverAttempts": 5,
    "maxUnconfirmedMessages": 7,
}

Drain = Callable[[], Awaitable[Drained]]


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_life_of_a_callback(api: Api, prefix: str, drain: Drain) -> None:
    base = f"/{prefix}"
    made = await api.post(f"{base}/callbacks", json=BODY)
    assert made.status == 201
    assert made.headers["content-type"] == "application/json"
    properties = made.json()["properties"]
    name = properties["id"]
    assert re.fullmatch("[0-9A-F]{32}", name)
    link = {"method": "GET", "embeddable": False, "href": f"http://127.0.0.1:7071{BASE}/callbacks/{name}"}
    assert made.headers["location"] == link["href"]
    assert made.json() == {
        "properties": {
            "id": name,
            "objectFilter": [{"name": "id", "value": "DA892519507444768080F0E81879513"}],
            "eventType": "OPERATION_PHASE_CHANGED",
            "eventName": "Operation 100 has changed phase",
            "url": "http://third-party-system:24080/webserver",
            "creationDate": "2026-11-21T10:00:00.000Z",
            "maxRedeliveryAttempts": 5,
            "maxRedeliverAttempts": 5,
            "maxUnconfirmedMessages": 7,
        },
        "_links": {"self": link},
    }
    assert (await api.get(f"{base}/callbacks/{name}")).json() == made.json()
    listed = await api.get(f"{base}/callbacks/")
    assert listed.json()["_embedded"]["callbacks"] == [made.json()]
    deleted = await api.delete(f"{base}/callbacks/{name}")
    assert (deleted.status, deleted.body) == (204, b"")
    for answer in (await api.get(f"{base}/callbacks/{name}"), await api.delete(f"{base}/callbacks/{name}")):
        assert answer.status == 404
        assert answer.json()["code"] == "NOT_FOUND"
    sent = await api.post(f"{base}/events", json={"eventType": "EXTERNAL"})
    assert (sent.status, sent.body) == (204, b"")


async def test_each_post_makes_another_registration(api: Api) -> None:
    ids = {(await api.post(f"{BASE}/callbacks", json=BODY)).json()["properties"]["id"] for _ in range(3)}
    assert len(ids) == 3


async def test_pages(api: Api, clock: ManualClock) -> None:
    ids = []
    for _ in range(7):
        ids.append((await api.post(f"{BASE}/callbacks", json=BODY)).json()["properties"]["id"])
        clock.advance(1)
    first = (await api.get(f"{BASE}/callbacks?limit=3&offset=0")).json()
    nowhere = {"firstIdentifier": None, "lastIdentifier": None}
    assert first["pagination"] == {"offset": 0, "total": 7, "count": 3, "limit": 3} | nowhere
    assert first["_links"]["next"] == {
        "method": "GET",
        "title": "Next page",
        "embeddable": False,
        "href": f"http://127.0.0.1:7071{BASE}/callbacks?offset=3&limit=3",
    }
    middle = (await api.get(f"{BASE}/callbacks?limit=3&offset=3")).json()["_links"]
    assert {name: link["href"].partition("?")[2] for name, link in middle.items()} == {
        "self": "offset=3&limit=3",
        "first": "offset=0&limit=3",
        "last": "offset=6&limit=3",
        "next": "offset=6&limit=3",
        "prev": "offset=0&limit=3",
    }
    assert set(first["_links"]) == {"self", "first", "last", "next"}
    found, offset = [], 0
    while True:  # as the SDK goes on: offset + limit < total
        page = (await api.get(f"{BASE}/callbacks?limit=3&offset={offset}")).json()
        found += [c["properties"]["id"] for c in page["_embedded"]["callbacks"]]
        if offset + 3 >= page["pagination"]["total"]:
            break
        offset += 3
    assert found == ids
    assert (await api.get(f"{BASE}/callbacks?offset=100")).json()["_embedded"]["callbacks"] == []
    for query in ("limit=0", "limit=1001", "offset=-1", "limit=x", "page=2"):
        answer = await api.get(f"{BASE}/callbacks?{query}")
        assert answer.status == 400
        assert answer.json()["problems"][0]["field"] == query.partition("=")[0]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"eventType": None}, "eventType"),
        ({"eventType": "INTERNAL"}, "eventType"),
        ({"eventType": "NO_SUCH"}, "eventType"),
        ({"url": None}, "url"),
        ({"url": "no url"}, "url"),
        ({"url": "ftp://host/x"}, "url"),
        ({"url": "http://169.254.169.254/"}, "url"),
        ({"url": "mqtt://h:1883/internal/x"}, "url"),
        ({"url": "mqtt://169.254.169.254/external/x"}, "url"),
        ({"url": "mqtt://h:1883/external/x", "bearer": "abc"}, "bearer"),
        ({"url": "mqtt://h:1883/external/x", "headers": {"X-Key": "abc"}}, "headers"),
        ({"deliverVia": "no-such-relay"}, "deliverVia"),
        ({"url": "https://127.0.0.1/x", "caCertificate": "no PEM"}, "caCertificate"),
        ({"caCertificate": "-----BEGIN CERTIFICATE-----"}, "caCertificate"),
        ({"maxRedeliverAttempts": -1}, "maxRedeliverAttempts"),
        ({"maxRedeliverAttempts": "5"}, "maxRedeliverAttempts"),
        ({"objectFilter": [{"name": "colour", "value": "red"}]}, "objectFilter.0.name"),
        ({"unknownField": 1}, "unknownField"),
    ],
    ids=str,
)
async def test_bad_registrations_name_the_field_and_leave_nothing(api: Api, change: dict[str, Any], field: str) -> None:
    answer = await api.post(f"{BASE}/callbacks", json={**BODY, **change})
    said = answer.json()
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert said["status"] == 400
    assert re.fullmatch("[A-Z_]+", said["code"])
    assert said["message"] == said["detail"]
    assert said["problems"][0]["field"] == field
    assert (await api.get(f"{BASE}/callbacks")).json()["pagination"]["total"] == 0


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{", {}, 400, "INVALID_INPUT"),
        (b"", {}, 400, "INVALID_INPUT"),
        (b"[]", {}, 400, "INVALID_INPUT"),
        (b"", {"transfer-encoding": "chunked"}, 411, "LENGTH_REQUIRED"),
        (b"x" * 1_048_577, {}, 413, "PAYLOAD_TOO_LARGE"),
        (b"<x/>", {"content-type": "application/xml"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"[" * 200 + b"]" * 200, {}, 400, "INVALID_INPUT"),
    ],
    ids=["half", "empty", "list", "chunked", "huge", "xml", "deep"],
)
@pytest.mark.parametrize("path", ["callbacks", "events"])
async def test_bad_bodies(api: Api, path: str, body: bytes, headers: dict[str, str], status: int, code: str) -> None:
    answer = await api.post(f"{BASE}/{path}", body=body, headers=headers)
    assert (answer.status, answer.json()["code"], answer.json()["status"]) == (status, code, status)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_method_that_is_not_served(api: Api, method: str) -> None:
    assert (await api.call(method, f"{BASE}/callbacks")).status == 404
    assert (await api.call(method, f"{BASE}/events")).status == 404


@pytest.mark.parametrize("name", ["x", "..", "%2e%2e", "a%2Fb", "a%3Fb", "F" * 300, "%00"])
async def test_ids_that_are_none(api: Api, name: str) -> None:
    for method in ("GET", "DELETE"):
        assert (await api.call(method, f"{BASE}/callbacks/{name}")).status == 404


async def test_curly_quotes_of_a_document_are_named(api: Api) -> None:
    """The chapter's own curl sample has them, and is missing a bracket besides."""
    body = '{"eventType": "OPERATION_PHASE_CHANGED", "url": “http://third-party-system:24080/webserver”}'
    answer = await api.post(f"{BASE}/callbacks", body=body, headers={"content-type": "application/json"})
    assert (answer.status, "curly quotation marks" in answer.json()["message"]) == (400, True)
    quoted = {**BODY, "objectFilter": [{"name": "id", "value": "DA892519507444768080F0E81879513”"}]}
    answer = await api.post(f"{BASE}/callbacks", json=quoted)
    assert (answer.status, "curly quotation mark" in answer.json()["message"]) == (400, True)


async def test_every_type_of_the_catalogue_can_be_registered(api: Api) -> None:
    """But the three that the chapter reserves, which its own samples use all the same."""
    from shared.platforms.force_bridge.catalogue import RESERVED, TYPES

    assert len(TYPES) == 76
    for name in sorted(TYPES):
        answer = await api.post(
            f"{BASE}/callbacks", json={"eventType": name, "url": "http://third-party-system:24080/"}
        )
        if name in RESERVED:
            said = answer.json()
            assert (answer.status, said["status"], said["code"]) == (400, 400, "INVALID_INPUT")
            assert f"{name} is reserved" in said["message"]
        else:
            assert answer.status == 201, name


async def test_internal_is_no_type_of_an_event_that_is_sent(api: Api) -> None:
    """One sample of the chapter sends it, against the chapter's own rule."""
    answer = await api.post(f"{BASE}/events", json={"eventType": "INTERNAL", "objectType": "TOOL", "objectId": "T"})
    assert (answer.status, "always EXTERNAL" in answer.json()["message"]) == (400, True)


async def test_an_event_reaches_its_callback(api: Api, drain: Drain) -> None:
    async with receiving() as receiver:
        registration = {"eventType": "EXTERNAL", "url": receiver.url + "/in"}
        made = (await api.post(f"{BASE}/callbacks", json=registration)).json()["properties"]
        event = {"eventType": "EXTERNAL", "objectType": "TOOL", "objectId": "T", "data": {"a": [1, None, "ü"]}}
        sent = await api.post(f"{BASE}/events", json=event, headers={"X-Correlation-Id": "from-the-caller"})
        assert sent.headers["x-callback-count"] == "1"
        await drain()
        (seen,) = receiver.seen
        assert seen.headers["x-correlation-id"] == "from-the-caller"
        assert seen.webhook_id == f"{made['id']}-{sent.headers['x-event-id']}"
        assert seen.json()["properties"]["data"] == {"a": [1, None, "ü"]}
        shown = (await api.get(f"{BASE}/callbacks/{made['id']}")).json()["properties"]
        assert shown["lastTriggeredDate"] == shown["lastSuccessfulDate"] == "2026-11-21T10:00:00.000Z"


async def test_the_same_idempotency_key_is_one_event(api: Api, drain: Drain) -> None:
    async with receiving() as receiver:
        await api.post(f"{BASE}/callbacks", json={"eventType": "EXTERNAL", "url": receiver.url})
        ids = []
        for key in ("one", "one", "two"):
            answer = await api.post(f"{BASE}/events", json={"eventType": "EXTERNAL"}, headers={"Idempotency-Key": key})
            ids.append(answer.headers["x-event-id"])
        await drain()
        assert len(receiver.seen) == len(set(ids)) == 2
    bad = await api.post(f"{BASE}/events", json={"eventType": "EXTERNAL"}, headers={"Idempotency-Key": "x" * 256})
    assert bad.status == 400


async def test_secrets_are_never_answered(api: Api, house: Services) -> None:
    secrets = ("hidden-password", "hidden-token", "hidden-query", "hidden-header")
    bodies: list[dict[str, Any]] = [
        {"url": "http://ann:hidden-password@127.0.0.1:9000/x?sig=hidden-query"},
        {"url": "http://127.0.0.1:9000/x", "basicAuth": {"username": "ann", "password": "hidden-password"}},
        {"url": "http://127.0.0.1:9000/x", "bearer": "hidden-token", "headers": {"X-Key": "hidden-header"}},
    ]
    answers = [await api.post(f"{BASE}/callbacks", json={"eventType": "EXTERNAL", **body}) for body in bodies]
    assert [a.status for a in answers] == [201] * 3
    answers += [await api.get(f"{BASE}/callbacks"), await api.get("/api/v1/callbacks"), await api.get("/api/v1/audit")]
    for answer in answers:
        assert not [s for s in secrets if s in answer.body.decode()]


async def test_roles(tmp_path_factory: pytest.TempPathFactory, clock: ManualClock, house: Services) -> None:
    """Without the developer's freedom: a token of the right role."""
    from shared import services as services_module
    from shared.access import Caller, Role

    strict = Services(
        Settings(data_dir=tmp_path_factory.mktemp("roles"), allow_private_targets=True, allow_http_targets=True), clock
    )
    services_module.use(strict)
    try:
        admin = Caller("test", "a test", frozenset({Role.ADMIN}), "system")
        tokens = {}
        for role in (Role.VIEWER, Role.OPERATOR, Role.ENGINEER):
            _, tokens[role] = await strict.access.tokens.create(
                name=role.value, roles=[role], expires_at=None, caller=admin
            )

        async def status(role: Role | None, method: str, path: str, body: Any = None) -> int:
            api = Api({"Authorization": f"Bearer {tokens[role]}"} if role else {})
            return (await api.call(method, f"{BASE}/{path}", json=body)).status

        event = {"eventType": "EXTERNAL"}
        assert await status(None, "GET", "callbacks") == 401
        assert await status(Role.VIEWER, "GET", "callbacks") == 200
        assert await status(Role.VIEWER, "POST", "callbacks", BODY) == 403
        assert await status(Role.OPERATOR, "POST", "callbacks", BODY) == 403
        assert await status(Role.ENGINEER, "POST", "callbacks", BODY) == 201
        assert await status(Role.VIEWER, "POST", "events", event) == 403
        assert await status(Role.OPERATOR, "POST", "events", event) == 204
    finally:
        services_module.use(house)
        await strict.close()
