"""A message whose effect needs something that is away: it waits in the inbox, for as long as that makes sense."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.inbox.kinds import Look, NotNow, SourceKeys
from shared.inbox.model import InboundMessage
from shared.inbox.source import HookSource
from shared.services import Services
from tests.api import Api, Drained


class Patient:
    """A kind whose platform can be away."""

    def __init__(self) -> None:
        self.away = True
        self.tries = 0

    def check(self, options: Mapping[str, Any], keys: SourceKeys) -> dict[str, Any]:
        return {}

    def look(self, source: HookSource, keys: SourceKeys, raw: bytes, headers: Mapping[str, str], now: datetime) -> Look:
        return Look("unsigned")

    async def handle(self, source: HookSource, message: InboundMessage) -> dict[str, Any]:
        self.tries += 1
        if self.away:
            raise NotNow("The platform is away.")
        return {"work_order_id": "WO-1", "equipment_id": "oven1"}


@pytest.fixture
async def kind(house: Services, api: Api) -> Patient:
    patient = Patient()
    house.platforms.kinds._makers = {"generic": lambda: patient}
    return patient


async def message_of(api: Api, drain: Callable[..., Awaitable[Drained]]) -> str:
    made = (await api.post("/api/v1/hook-sources", json={"id": "s", "kind": "generic"})).json()
    path = "/api/hooks/" + made["url"].partition("/api/hooks/")[2]
    name: str = (await api.post(path, json={"a": 1})).json()["id"]
    drained = await drain()
    assert drained.failures == [], "the queue has done its part"
    return name


async def test_it_waits_and_is_found_by_what_it_is_about(
    house: Services, api: Api, clock: ManualClock, drain: Callable[..., Awaitable[Drained]], kind: Patient
) -> None:
    name = await message_of(api, drain)
    waiting = (await api.get(f"/api/v1/inbox/{name}")).json()
    assert (waiting["status"], waiting["reason"]) == ("received", "The platform is away.")
    for _ in range(15):  # longer than any queue tries
        clock.advance(3600)
        await house.inbound.sweep()
        await drain()
    assert kind.tries > 10
    kind.away = False
    clock.advance(3600)
    await house.inbound.sweep()
    await drain()
    (found,) = (await api.get("/api/v1/inbox?work_order_id=WO-1&equipment_id=oven1")).json()["messages"]
    assert (found["id"], found["status"], found["reason"]) == (name, "handled", None)


async def test_after_two_days_it_has_failed(
    house: Services, api: Api, clock: ManualClock, drain: Callable[..., Awaitable[Drained]], kind: Patient
) -> None:
    name = await message_of(api, drain)
    clock.advance(2 * 86_400)
    await house.inbound.sweep()
    await drain()
    failed = (await api.get(f"/api/v1/inbox/{name}")).json()
    assert (failed["status"], failed["reason"]) == ("failed", "The platform is away.")
