"""Sessions in Cosmos DB: ids that it could not hold, joined, in order, told once, through the SDK over a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from shared.clock import ManualClock
from shared.services import Services
from shared.work.sessions_found import FoundCapture, FoundRecord
from tests.api import Api
from tests.wire.cosmos_backend import cosmos_store


@pytest.fixture
async def over_cosmos(house: Services, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Services]:
    async with cosmos_store(tmp_path, clock) as store:
        house.__dict__["store"] = store
        yield house


async def test_sessions_over_cosmos(over_cosmos: Services, api: Api, clock: ManualClock) -> None:
    sessions = over_cosmos.work.sessions
    assert (await api.post("/api/v1/tasks", json={"title": "Clean it", "work_order_id": "WO/7"})).status == 201
    for number in range(6):
        found = FoundRecord(
            kind="session" if number else "call",
            source="some_platform",
            account="main",
            external_id=f"id/{number}+?#\\=",
            as_of=clock.now(),
            asked=True,
            state="started",
            started_at=clock.now() - timedelta(hours=number + 1),
            work_order_id="WO/7",
            captures=(FoundCapture("cap/1"),),
        )
        await sessions.take(found)
        later = replace(found, as_of=clock.now() + timedelta(seconds=1), state="completed", ended=True)
        assert (await sessions.take(later)).outcome == "changed"
        assert (await sessions.take(found)).outcome == "older"
    first = (await api.get("/api/v1/sessions?limit=3&work_order_id=WO/7")).json()
    rest = (await api.get(f"/api/v1/sessions?work_order_id=WO/7&continuation={first['continuation']}")).json()
    names = [one["external_id"] for one in (*first["sessions"], *rest["sessions"])]
    assert names == [f"id/{number}+?#\\=" for number in range(1, 6)]
    record = (await sessions.get(first["sessions"][0]["id"])).document
    noted = await sessions.note_capture(record["id"], record["captures"][0]["id"], {"status": "copied", "blob": "b"})
    assert noted["captures"][0]["status"] == "copied"
    order = (await api.get("/api/v1/work-orders/WO%2F7")).json()
    assert (len(order["sessions"]), len(order["calls"]), len(order["tasks"])) == (5, 1, 1)
    assert await sessions.tell() == 0
    assert await sessions.note_gone(record["id"])
    assert not await sessions.note_gone("session-nothing")
