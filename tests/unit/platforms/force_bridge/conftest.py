"""A server of FORCE Bridge, and a connection to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from shared.platforms.connections import PlatformConnection
from shared.services import Services
from tests.api import Api
from tests.platforms.force_bridge import CLIENT, SECRET, FakeForceBridge

Connect = Callable[..., Awaitable[PlatformConnection]]


@pytest.fixture
async def force() -> AsyncIterator[FakeForceBridge]:
    server = await FakeForceBridge().start()
    yield server
    await server.stop()


@pytest.fixture
def connect(api: Api, house: Services, force: FakeForceBridge) -> Connect:
    """``await connect(registrations=[...])``: the connection ``plant-1``, made or changed."""

    async def made(**options: Any) -> PlatformConnection:
        body = {"options": {"base_url": force.base, **options}}
        answer = await api.patch("/api/v1/connections/plant-1", json=body)
        if answer.status == 404:
            login = {"client_id": CLIENT, "client_secret": SECRET}
            wanted = {"id": "plant-1", "platform": "force_bridge", "credentials": login, **body}
            answer = await api.post("/api/v1/connections", json=wanted)
        assert answer.status in (200, 201), answer.json()
        return await house.platforms.connections.get("plant-1")

    return made


@pytest.fixture
async def hook(api: Api) -> str:
    """A hook source of the kind; its own address."""
    answer = await api.post("/api/v1/hook-sources", json={"id": "force", "kind": "force_bridge"})
    assert answer.status == 201, answer.json()
    url: str = answer.json()["url"]
    return url
