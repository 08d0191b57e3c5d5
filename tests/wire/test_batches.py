"""Batches in Cosmos DB: found by id, in order by oven, imported once, through the SDK over a protocol server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.services import Services
from tests.api import Api
from tests.unit.work.connected_cooking import ConnectedCooking, haccp
from tests.wire.cosmos_backend import cosmos_store


@pytest.fixture
async def over_cosmos(house: Services, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Services]:
    async with cosmos_store(tmp_path, clock) as store:
        house.__dict__["store"] = store
        yield house


async def test_batches_over_cosmos(over_cosmos: Services, api: Api, clock: ManualClock, tick: Any) -> None:
    async with ConnectedCooking().serve() as cloud:
        cloud.batches = [haccp(f"b{n}", "E1", clock.now() - timedelta(hours=2 + n)) for n in range(6)]
        for name in ("combi-1", "deck-2"):
            body = {"id": name, "name": name, "serial_number": "E1" if name == "combi-1" else None}
            assert (await api.post("/api/v1/equipment", json=body)).status == 201
        saved = await api.post("/api/v1/equipment/combi-1/iot-config?test=false", json=cloud.config())
        assert saved.status == 200
        await tick("import_batches")
        clock.advance(3600)
        await tick("import_batches")
        assert (await api.get("/api/v1/equipment/combi-1/batch-import")).json()["last_run"] == {"items": 6, "same": 6}
    opened = {"id": "MES-1", "equipment_id": "deck-2", "product": "Rye"}
    assert [(await api.post("/api/v1/batches", json=opened)).status for _ in range(2)] == [201, 200]
    assert (await api.post("/api/v1/batches", json=opened | {"equipment_id": "combi-1"})).status == 409
    closed = await api.patch("/api/v1/batches/MES-1", json={"status": "completed"})
    assert (closed.status, closed.json()["status"]) == (200, "completed")
    found, continuation = [], ""
    for _ in range(9):
        query = f"equipment_id=combi-1&status=completed&limit=4{continuation}"
        page = (await api.get(f"/api/v1/batches?{query}")).json()
        found += [batch["source_id"] for batch in page["batches"]]
        if page["continuation"] is None:
            break
        continuation = f"&continuation={page['continuation']}"
    assert found == [f"b{n}" for n in range(6)]
    everywhere = (await api.get("/api/v1/batches")).json()["batches"]
    assert everywhere[0]["id"] == "MES-1"
    assert len(everywhere) == 7
    assert (await api.get(f"/api/v1/batches/{everywhere[3]['id']}/realtime-tracking")).status == 200
    assert await over_cosmos.batches.tell() == 0
