"""Recipes at a relay: what it reads it tells, what it can calculate it calculates, the rest is the hub's."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.clock import ManualClock
from shared.json_text import dump
from shared.platforms.operations1.local_requests import LocalRequests
from shared.platforms.operations1.profile import RequestProfile
from shared.signals import Reading, SignalValue
from tests.unit.relay.conftest import Hub, hub

__all__ = ["hub"]

STEP = {
    "progressId": 880011,
    "stepId": 2,
    "row": {"entries": [{"id": 1, "interactionTags": [{"name": "gross"}], "value": 2000}]},
}
ACTIONS = {
    "net": {"do": "calculate", "expression": "gross - oven", "inputs": {"oven": "tare"}},
    "summary": {"do": "machine", "equipment_id": "OVEN-1"},
    "alerts": {"do": "machine", "equipment_id": "OVEN-1", "tell": "alerts"},
    "started": {"do": "start", "equipment_id": "OVEN-1", "signal": "program", "value": 7},
}
PROFILE = {
    "tags": {"tare": {"equipment_id": "OVEN-1", "signal": "product.weight"}},
    "actions": ACTIONS,
    "on_missing": "null",
    "answer": "with_quality",
}


class LastValues:
    """One oven's."""

    def __init__(self, at: datetime) -> None:
        values = {"product.weight": SignalValue(500, unit="kg"), "status": SignalValue("baking")}
        self.reading = Reading("OVEN-1", at, values)

    async def latest(self, equipment_id: str) -> Reading | None:
        return self.reading if equipment_id == "OVEN-1" else None

    async def latest_value(self, equipment_id: str, signal: str) -> tuple[SignalValue, datetime] | None:
        return None


async def test_on_site(clock: ManualClock) -> None:
    stored = RequestProfile.model_validate(PROFILE).stored()
    here = LocalRequests(lambda name: stored, LastValues(clock.now() - timedelta(seconds=5)), clock)
    reply = await here.answer("recipe", dump(STEP))
    told = {tag: (one["value"], one["reason"]) for tag, one in reply.body.items()}
    assert told["tare"] == (500, None)
    assert told["net"] == (1500, None)
    assert told["summary"] == ("baking", None)
    assert told["alerts"][1] == "A relay does not know the alerts of OVEN-1: let it ask the hub."
    assert "done by the hub" in str(told["started"][1])


async def test_the_hub_gives_it_profiles_that_only_tell_of_its_machines(hub: Hub) -> None:
    await hub.machine("oven-1")
    wanted = {"actions": {"summary": {"do": "machine", "equipment_id": "oven-1"}}}
    assert (await hub.api.put("/api/v1/request-profiles/told", json=wanted)).status == 201
    (given,) = (await hub.house.relay_hub.assignments.of("hall-1")).request_profiles
    assert given["id"] == "told"
