"""A hub with a relay and machines of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.access import system
from shared.clock import ManualClock
from shared.equipment import NewEquipment
from shared.relay.messages import ReadingBatch
from shared.services import Services
from shared.signals import Reading, SignalValue
from shared.telemetry.document import to_document
from tests.api import Api

ANNA = system("anna")
MACHINE: dict[str, Any] = {
    "name": "Deck oven",
    "iot_protocol": "rest_api",
    "iot_endpoint": "http://10.20.0.5:8080",
    "iot_config": {"signals": {"temperature.deck": "t"}},
    "poll_interval_seconds": 1,
}


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readings that are put one after the other need not wait for others."""
    monkeypatch.setattr("shared.relay.plant_spool.GATHER_SECONDS", 0.001)


@dataclass
class Hub:
    """The hub, and what a relay's token opens."""

    house: Services
    clock: ManualClock
    api: Api
    token: str

    @property
    def relay(self) -> Api:
        """The relay `hall-1`, calling."""
        return Api({"Authorization": f"Bearer {self.token}"})

    async def machine(self, equipment_id: str, relay_id: str | None = "hall-1", **more: Any) -> None:
        fields = MACHINE | ({"relay_id": relay_id} if relay_id else {"poll_interval_seconds": 30}) | more
        await self.house.equipment.create(NewEquipment.model_validate({"id": equipment_id, **fields}), ANNA)

    def reading(self, equipment_id: str, seconds: float = 0, value: float = 180.0) -> Reading:
        at = self.clock.now() + timedelta(seconds=seconds)
        return Reading(equipment_id, at, {"temperature.deck": SignalValue(value, unit="C")}, source="relay")

    def batch(self, *readings: Reading, first: int = 1, **more: Any) -> ReadingBatch:
        return ReadingBatch.model_validate(
            {
                "relay_id": "hall-1",
                "first_seq": first,
                "last_seq": first + len(readings) - 1,
                "readings": [to_document(reading) for reading in readings],
            }
            | more
        )


@pytest.fixture
async def hub(house: Services, clock: ManualClock, api: Api) -> Hub:
    """With the relay `hall-1`."""
    _, token = await house.relays.create("hall-1", name="Madrid, hall 1", site="madrid", caller=ANNA)
    return Hub(house, clock, api, token)


def beat(at: datetime, **more: Any) -> Mapping[str, Any]:
    """A heartbeat's body."""
    return {"relay_id": "hall-1", "at": at.isoformat(), "version": "1.4", "started_at": at.isoformat()} | more
