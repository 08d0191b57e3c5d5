"""A CMS, a connection to it, and a source of its webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from shared.services import Services
from shared.storage import Document
from shared.work.sessions import RecordQuestion
from tests.api import Api, Drained
from tests.platforms.scope_ar import SECRET, TOKEN, WorkLink, generation_1, generation_2, session, worklink


@dataclass
class World:
    """Everything at hand."""

    cms: WorkLink
    api: Api
    house: Services
    drain: Callable[..., Awaitable[Drained]]
    path: str = ""

    async def connect(self, *, credentials: dict[str, str] | None = None, **options: Any) -> dict[str, Any]:
        """Make the connection ``cms``."""
        wanted = {
            "id": "cms",
            "platform": "scope_ar",
            "options": {"url": self.cms.graphql} | options,
            "credentials": credentials or {"token": TOKEN},
        }
        answer = await self.api.post("/api/v1/connections", json=wanted)
        assert answer.status == 201, answer.body
        made: dict[str, Any] = answer.json()
        return made

    async def listen(self, *, signing_secret: str | None = SECRET, **options: Any) -> None:
        """Make the source ``worklink``."""
        wanted: dict[str, Any] = {"id": "worklink", "kind": "scope_ar", "options": {"connection": "cms"} | options}
        if signing_secret is not None:
            wanted["signing_secret"] = signing_secret
        answer = await self.api.post("/api/v1/hook-sources", json=wanted)
        assert answer.status == 201, answer.body
        self.path = "/api/hooks/" + answer.json()["url"].partition("/api/hooks/")[2]

    async def post(self, raw: bytes, headers: dict[str, str] | None = None) -> Any:
        """A webhook comes in."""
        return await self.api.post(self.path, body=raw, headers=headers or {"Content-Type": "application/json"})

    async def hook(self, body: Any = None, **how: Any) -> dict[str, Any]:
        """One of generation 2 comes in and has its effect: the message then."""
        answer = await self.post(*generation_2(body, **how))
        assert answer.status in (200, 202), answer.body
        return await self.effect(answer.json()["id"])

    async def old_hook(self, event: str = "update", **how: Any) -> dict[str, Any]:
        """One of generation 1."""
        answer = await self.post(generation_1(event, **how))
        assert answer.status in (200, 202), answer.body
        return await self.effect(answer.json()["id"])

    async def effect(self, message_id: str) -> dict[str, Any]:
        """What became of a message, after the queue is empty."""
        await self.drain()
        found: dict[str, Any] = (await self.api.get(f"/api/v1/inbox/{message_id}")).json()
        return found

    async def records(self) -> list[Document]:
        """All records."""
        return (await self.house.work.sessions.list(RecordQuestion())).records


@pytest.fixture
async def bare(house: Services, api: Api, drain: Callable[..., Awaitable[Drained]]) -> AsyncIterator[World]:
    """A CMS with one session; nothing is configured."""
    async with worklink() as cms:
        made = session()
        cms.nodes[made["id"]] = made
        yield World(cms, api, house, drain)


@pytest.fixture
async def world(bare: World) -> World:
    """The same, configured."""
    await bare.connect()
    await bare.listen()
    return bare
