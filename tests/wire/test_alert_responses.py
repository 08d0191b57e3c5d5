"""Responses and tasks over Cosmos DB and Service Bus, also in trouble: done once, listed newest first."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.clock import ManualClock
from tests.wire.cosmos import Fault
from tests.wire.test_spine import LIMIT, OVEN, Trouble, plant

TASK = {"title": "Look at {equipment.name}: {alert.value}"}
RESPONSES = [
    {"name": "look", "on": "raised", "task": TASK},
    {"name": "repair", "on": "raised", "ticket": {"title": "{alert.message}"}},
    {"name": "again", "on": "unacknowledged_for", "minutes": 5, "task": TASK},
]

FAULTS: dict[str, Trouble] = {
    "nothing goes wrong": lambda at: None,
    "the answer to a claim is lost": lambda at: at.azure.cosmos.fail(
        Fault(cut="after", container="alertResponses", operation="replace")
    ),
    "cosmos is away for tasks": lambda at: at.azure.cosmos.fail(Fault(status=503, times=12, container="tasks")),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_from_oven_to_task(tmp_path: Path, clock: ManualClock, fault: Trouble) -> None:
    async with plant(tmp_path, clock) as at:
        await at.set_up()
        rule = {"equipment_id": OVEN, "signal": "temperature.cabinet", "kind": "high", "limit": LIMIT}
        answer = await at.api.post("/api/v1/alert-rules", json={**rule, "responses": RESPONSES})
        assert answer.status == 201, answer.body
        await at.poll(240)
        fault(at)
        await at.poll(260)
        for _ in range(3):
            await at.let_time_heal()
            await at.timer("sweep_alert_responses")
            await at.timer("tell_tasks")
            await at.work()
        page = (await at.api.get(f"/api/v1/tasks?equipment_id={OVEN}&limit=1")).json()
        rest = (await at.api.get(f"/api/v1/tasks?equipment_id={OVEN}&continuation={page['continuation']}")).json()
        tasks = page["tasks"] + rest["tasks"]
        assert [task["title"] for task in tasks] == ["Look at Deck 1: 260"] * 2
        assert tasks[0]["created_at"] > tasks[1]["created_at"]
        alert = (await at.api.get(f"/api/v1/alerts/{tasks[0]['alert_id']}")).json()
        assert {r["name"]: r["status"] for r in alert["responses"]} == dict.fromkeys(
            ("look", "repair", "again"), "done"
        )
        tickets = {e["eventId"] for e in at.azure.cosmos.documents("events") if e["type"] == "TICKET_REQUESTED"}
        assert len(tickets) == 1
        assert not any("wakeAt" in d for d in at.azure.cosmos.documents("alertResponses"))
        assert at.azure.service_bus.message_ids("alert-responses", dead=True) == []
