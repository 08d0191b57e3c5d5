"""A client written for FORCE Bridge, against ours: as their own client asks, pages, signs in, receives.

It knows a base URL (``.../ffwebservices/``), a client id and a secret; the first call has an empty ``Authorization``, a
401 makes it fetch a token (three times at most), and pages go on while offset + limit < total.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import services as services_module
from shared.access import Role, system
from shared.clock import ManualClock
from shared.services import Services
from shared.settings import Settings
from tests.api import Api, drain_queues
from tests.unit.callbacks.receiver import receiving

HAL = "application/hal+json"


class ForceClient:
    """As ``BridgeAPI(url, user, secret)`` behaves."""

    def __init__(self, http: httpx.AsyncClient, base: str, client_id: str, secret: str, version: str) -> None:
        self.http, self.base, self.login = http, base, (client_id, secret)
        self.api = f"{base}api/{version}/"
        self.header = ""
        self.tokens = 0

    async def call(self, method: str, path: str, **how: Any) -> httpx.Response:
        for _ in range(3):
            headers = {"Authorization": self.header, "Accept": HAL, "Accept-Language": "en-US"}
            answer = await self.http.request(method, self.api + path, headers=headers, **how)
            if answer.status_code != 401:
                return answer
            await self.sign_in()
        return answer

    async def sign_in(self) -> None:
        form = {"grant_type": "client_credentials", "scope": "read write"}
        answer = await self.http.post(f"{self.base}oauth/token", auth=self.login, data=form, headers={"Accept": "*/*"})
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert {"access_token", "token_type", "expires_in", "scope"} <= said.keys()
        self.tokens += 1
        self.header = f"{said['token_type']} {said['access_token']}"

    async def callbacks(self, limit: int) -> list[dict[str, Any]]:
        found, offset = [], 0
        while True:
            page = (await self.call("GET", "callbacks", params={"limit": limit, "offset": offset})).json()
            found += page["_embedded"]["callbacks"]
            offset += limit
            if offset >= page["pagination"]["total"]:
                return found


class OverFunctions(httpx.AsyncBaseTransport):
    """The app's functions behind httpx, without a developer's freedom."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers = {k: v for k, v in request.headers.items() if k not in ("host", "content-length")}
        path = request.url.raw_path.decode()
        answer = await Api(headers).call(request.method, path, body=await request.aread())
        return httpx.Response(answer.status, headers=answer.headers, content=answer.body)


@pytest.fixture
async def strict(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Services]:
    settings = Settings(data_dir=tmp_path, allow_private_targets=True, allow_http_targets=True)
    house = Services(settings, clock)
    services_module.use(house)
    yield house
    services_module.use(None)
    await house.close()


@pytest.fixture
async def client(strict: Services, request: pytest.FixtureRequest) -> AsyncIterator[ForceClient]:
    found, token = await strict.access.tokens.create(
        name="mes", roles=[Role.ENGINEER], expires_at=None, caller=system("test")
    )
    async with httpx.AsyncClient(transport=OverFunctions()) as http:
        yield ForceClient(http, "http://ours/ffwebservices/", found.id, token, getattr(request, "param", "v3"))


@pytest.mark.parametrize("client", ["v2", "v3"], indirect=True)
async def test_it_registers_receives_and_deletes(client: ForceClient, strict: Services) -> None:
    async with receiving() as receiver:
        made = []
        for retries in range(3):
            body = {
                "eventType": "EXTERNAL",
                "url": f"{receiver.url}/callbacks",
                "maxRedeliveryAttempts": retries,
                "maxUnconfirmedMessages": 5,
            }
            answer = await client.call("POST", "callbacks", json=body)
            assert answer.is_success
            properties = answer.json()["properties"]
            assert properties["maxRedeliveryAttempts"] == retries
            assert answer.json()["_links"]["self"]["href"].endswith(f"/callbacks/{properties['id']}")
            made.append(properties["id"])
        assert client.tokens == 1
        listed = await client.callbacks(2)
        assert sorted(one["properties"]["id"] for one in listed) == sorted(made)
        event = {"eventType": "EXTERNAL", "objectType": "TOOL", "objectId": "4DDE", "data": {"myData1": "123"}}
        sent = await client.call("POST", "events", json=event)
        assert (sent.is_success, sent.content) == (True, b"")
        await drain_queues(strict)
        assert sorted(n.json()["properties"]["callbackId"] for n in receiver.seen) == sorted(made)
        told = receiver.seen[0].json()
        assert told["properties"]["data"] == {"myData1": "123"}
        assert told["_links"]["callback"]["embeddable"] is True
        shown = (await client.call("GET", f"callbacks/{made[0]}")).json()["properties"]
        assert shown["lastTriggeredDate"] == shown["lastSuccessfulDate"]
    for name in made:
        answer = await client.call("DELETE", f"callbacks/{name}")
        assert (answer.is_success, answer.content) == (True, b"")
    assert await client.callbacks(2) == []


async def test_a_token_that_ended_is_fetched_anew(client: ForceClient, clock: ManualClock) -> None:
    await client.callbacks(10)
    clock.advance(3_600)
    await client.callbacks(10)
    assert client.tokens == 2


@pytest.mark.parametrize("kind", ["COMMAND", "SHOP_FLOOR_TERMINAL", "INTERNAL", "NO_SUCH"])
async def test_refusals_have_its_fields(client: ForceClient, kind: str) -> None:
    answer = await client.call("POST", "callbacks", json={"eventType": kind, "url": "http://third-party-system:24080/"})
    said = answer.json()
    assert (answer.status_code, said["status"]) == (400, 400)
    assert isinstance(said["code"], str)
    assert kind in said["message"] or "no such event type" in said["message"]
