"""`/api/v1/tokens`: made by administrators, shown once, revoked for good."""

from __future__ import annotations

from typing import Any

import pytest

from shared.clock import ManualClock
from shared.services import Services
from tests.api import Api


async def create(api: Api, **wanted: Any) -> dict[str, Any]:
    answer = await api.post("/api/v1/tokens", json={"name": "line 2", "roles": ["viewer"]} | wanted)
    assert answer.status == 201, answer.body
    body: dict[str, Any] = answer.json()
    return body


async def test_a_token_is_shown_once(api: Api) -> None:
    made = await create(api, roles=["operator", "auditor"], expires_at="2027-01-01T00:00:00")
    assert made["token"].startswith(f"ob_{made['id']}_")
    (listed,) = (await api.get("/api/v1/tokens")).json()["tokens"]
    assert made == listed | {"token": made["token"]}
    assert listed == {
        "id": made["id"],
        "name": "line 2",
        "roles": ["auditor", "operator"],
        "status": "active",
        "created_at": "2026-11-21T10:00:00.000Z",
        "created_by": "developer",
        "expires_at": "2027-01-01T00:00:00.000Z",
        "revoked_at": None,
        "last_used_at": None,
    }


async def test_a_token_opens_what_its_roles_open(api: Api, house: Services) -> None:
    headers = {"Authorization": f"Bearer {(await create(api, roles=['engineer']))['token']}"}
    assert (await api.get("/api/v1/inbox", headers=headers)).status == 200
    assert (await api.get("/api/v1/tokens", headers=headers)).status == 403
    assert (await api.post("/api/v1/tokens", json={}, headers=headers)).status == 403


async def test_states(api: Api, clock: ManualClock) -> None:
    revoked = await create(api)
    expiring = await create(api, expires_at="2026-11-21T11:00:00Z")
    assert (await api.delete(f"/api/v1/tokens/{revoked['id']}")).status == 204
    assert (await api.delete(f"/api/v1/tokens/{revoked['id']}")).status == 204
    clock.advance(3_600)
    listed = {t["id"]: t["status"] for t in (await api.get("/api/v1/tokens")).json()["tokens"]}
    assert listed == {revoked["id"]: "revoked", expiring["id"]: "expired"}
    for token in (revoked, expiring):
        answer = await api.get("/api/v1/inbox", headers={"Authorization": f"Bearer {token['token']}"})
        assert answer.status == 401


async def test_making_and_revoking_is_audited(api: Api) -> None:
    made = await create(api)
    await api.delete(f"/api/v1/tokens/{made['id']}")
    answer = await api.get("/api/v1/audit?stream=token")
    assert [(e["action"], e["target"], e["actor"]["id"]) for e in answer.json()["entries"]] == [
        ("token.revoked", f"token:{made['id']}", "developer"),
        ("token.created", f"token:{made['id']}", "developer"),
    ]
    assert made["token"][20:] not in answer.body.decode()


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"roles": []}, "roles"),
        ({"roles": ["boss"]}, "roles.0"),
        ({"roles": "viewer"}, "roles"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"secret": "mine"}, "secret"),
    ],
)
async def test_wrong_wishes_are_named_and_nothing_is_made(api: Api, wanted: dict[str, Any], field: str) -> None:
    answer = await api.post("/api/v1/tokens", json={"name": "x", "roles": ["viewer"]} | wanted)
    assert answer.status == 400
    assert answer.json()["problems"][0]["field"] == field
    assert (await api.get("/api/v1/tokens")).json()["tokens"] == []


async def test_unknown_tokens(api: Api) -> None:
    assert (await api.delete("/api/v1/tokens/0123456789abcdef")).status == 404
    assert (await api.delete("/api/v1/tokens/short")).status == 404
