"""Connections to platforms: kept, changed, tried; credentials go to one address and are shown to nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.errors import InvalidInput, Unavailable
from shared.platforms.connections import ConnectionCheck, PlatformConnection, PlatformConnections
from shared.services import Services
from tests.api import Api

SECRET = "Sesame-open-71b4"
WANTED: dict[str, Any] = {
    "id": "erp-madrid",
    "platform": "sample",
    "name": "ERP Madrid",
    "options": {"url": "https://erp.example/api"},
    "credentials": {"token": SECRET},
}


class Sample:
    """A platform that wants a url, and lets everybody in who has the right token."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, str]] = []

    async def check(
        self, options: Mapping[str, Any], credentials: Mapping[str, str] | None
    ) -> tuple[dict[str, Any], str]:
        url = str(options.get("url", ""))
        if not url.startswith("https://"):
            raise InvalidInput("options.url begins with https://.", field="options.url")
        return {"pages": 25, **options}, url.removesuffix("/api")

    async def test(self, connection: PlatformConnection, credentials: Mapping[str, str]) -> ConnectionCheck:
        self.asked.append(credentials)
        if credentials.get("token") == SECRET:
            return ConnectionCheck(True, "It answers.", 12.5)
        return ConnectionCheck(False, "It refuses the token: give another one.")


@pytest.fixture
def sample(house: Services) -> Sample:
    platform = Sample()
    house.platforms.__dict__["connections"] = PlatformConnections(
        house.store, house.vault, house.audit, house.clock, {"sample": lambda: platform}
    )
    return platform


async def test_a_life(api: Api, house: Services, sample: Sample, clock: ManualClock) -> None:
    made = await api.post("/api/v1/connections", json=WANTED)
    assert made.status == 201, made.body
    assert made.headers["location"].endswith("/api/v1/connections/erp-madrid")
    assert made.json()["options"] == {"url": "https://erp.example/api", "pages": 25}
    assert (made.json()["address"], made.json()["credentials_set"]) == ("https://erp.example", True)
    tried = await api.post("/api/v1/connections/erp-madrid/test")
    assert tried.json() == {"success": True, "message": "It answers.", "response_time_ms": 12.5, "details": {}}
    clock.advance(60)
    changed = await api.patch("/api/v1/connections/erp-madrid", json={"credentials": {"token": "another-one"}})
    assert changed.status == 200, changed.body
    tried = await api.post("/api/v1/connections/erp-madrid/test")
    assert (tried.json()["success"], tried.json()["message"]) == (False, "It refuses the token: give another one.")
    one = (await api.get("/api/v1/connections/erp-madrid")).json()
    assert one["last_error"] == "It refuses the token: give another one."
    assert one["last_ok_at"] == "2026-11-21T10:00:00.000Z"
    assert len(await house.vault.list()) == 1, "the secret before is forgotten"
    listed = (await api.get("/api/v1/connections?platform=sample")).json()["connections"]
    assert [one["id"] for one in listed] == ["erp-madrid"]
    assert (await api.get("/api/v1/connections?platform=other")).json()["connections"] == []
    assert (await api.delete("/api/v1/connections/erp-madrid")).status == 204
    assert (await api.get("/api/v1/connections/erp-madrid")).status == 404
    assert await house.vault.list() == []
    trail = await api.get("/api/v1/audit?stream=connection:erp-madrid")
    assert [e["action"] for e in trail.json()["entries"]] == [
        "connection.deleted",
        "connection.changed",
        "connection.created",
    ]
    for answer in (made, changed, tried, trail):
        assert SECRET not in answer.body.decode()


async def test_credentials_stay_with_their_address(api: Api, house: Services, sample: Sample) -> None:
    await api.post("/api/v1/connections", json=WANTED)
    elsewhere = {"options": {"url": "https://listener.example/api"}}
    moved = await api.patch("/api/v1/connections/erp-madrid", json=elsewhere)
    assert (moved.status, moved.json()["problems"][0]["field"]) == (400, "credentials")
    assert "https://erp.example" in moved.json()["detail"]
    same = await api.patch("/api/v1/connections/erp-madrid", json={"options": WANTED["options"] | {"pages": 50}})
    assert (same.status, same.json()["options"]["pages"]) == (200, 50)
    moved = await api.patch("/api/v1/connections/erp-madrid", json=elsewhere | {"credentials": {"token": "new-token"}})
    assert moved.status == 200
    await api.post("/api/v1/connections/erp-madrid/test")
    assert sample.asked == [{"token": "new-token"}]


@pytest.mark.parametrize(
    ("wanted", "status", "field"),
    [
        ({"platform": "nobody"}, 400, "platform"),
        ({"options": {"url": "ftp://x"}}, 400, "options.url"),
        ({"id": "ERP"}, 400, "id"),
        ({"credentials": {"token": 5}}, 400, "credentials.token"),
        ({"secret": SECRET}, 400, "secret"),
    ],
)
async def test_what_is_wrong_is_named(
    api: Api, house: Services, sample: Sample, wanted: dict[str, Any], status: int, field: str
) -> None:
    answer = await api.post("/api/v1/connections", json=WANTED | wanted)
    assert answer.status == status, answer.body
    assert answer.json()["problems"][0]["field"] == field
    assert SECRET not in answer.body.decode()
    assert (await api.get("/api/v1/connections")).json()["connections"] == []
    assert await house.vault.list() == []


async def test_an_id_that_exists_stays_as_it_is(api: Api, house: Services, sample: Sample) -> None:
    await api.post("/api/v1/connections", json=WANTED)
    again = await api.post("/api/v1/connections", json=WANTED | {"credentials": {"token": "other"}})
    assert again.status == 409
    assert (await api.post("/api/v1/connections/erp-madrid/test")).json()["success"] is True
    assert (await api.patch("/api/v1/connections/erp-madrid", json={})).status == 400


async def test_another_instance_gives_it_other_credentials(api: Api, house: Services, sample: Sample) -> None:
    """What we read a moment ago names a secret that is gone. That is no verdict on the work that wanted it, and the new
    secret may be for another address: whoever asks reads the connection anew."""
    await api.post("/api/v1/connections", json=WANTED)
    here = PlatformConnections(house.store, house.vault, house.audit, house.clock, {"sample": lambda: sample})
    known = await here.known("erp-madrid")
    assert await here.credentials(known) == {"token": SECRET}
    moved = {"options": {"url": "https://new.example/api"}, "credentials": {"token": "new-token"}}
    assert (await api.patch("/api/v1/connections/erp-madrid", json=moved)).status == 200
    with pytest.raises(Unavailable, match="being changed"):
        await here.credentials(known, fresh=True)
    again = await here.known("erp-madrid")
    assert (again.address, await here.credentials(again)) == ("https://new.example", {"token": "new-token"})
