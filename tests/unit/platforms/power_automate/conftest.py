"""What the tests of flows share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.events import Event
from shared.events.catalogue import ALERT_RAISED, CATALOGUE, MACHINE, TEST
from shared.services import Services
from tests.api import Drained
from tests.unit.callbacks.receiver import Receiver, receiving

Drain = Callable[..., Awaitable[Drained]]

SIGNED = "/workflows/0f1/triggers/manual/paths/invoke?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=aB%2Fc+d_e"
"""Path and query of a flow, as they are written: a signature with `%2F` and `+`."""


@pytest.fixture
async def flow() -> AsyncIterator[Receiver]:
    """The platform that runs a flow, on a free port: it answers 202."""
    async with receiving() as made:
        made.answer = 202
        yield made


async def happen(house: Services, clock: ManualClock, id: str = "E1", **words: Any) -> Event:
    """Something happens: an alert of OVEN-1, unless said otherwise."""
    data = {
        "alert_id": "OVEN-1:a", "equipment_id": "OVEN-1", "equipment_name": "Horno #1", "alert_type": "value_deviation",
        "severity": "critical", "status": "active", "message": "Too hot", "signal": "temperature.cabinet", "value": 240,
        "compared_value": None, "unit": "C", "limit": 225.0, "triggered_at": "2026-11-21T10:00:00.000Z",
        "url": "https://ovens.example/api/v1/alerts/x",
    }  # fmt: skip
    said: dict[str, Any] = {
        "id": id, "type": ALERT_RAISED, "timestamp": clock.now(), "object_type": MACHINE, "object_id": "OVEN-1",
        "severity": "critical", "site": "Madrid", "data": data,
    }  # fmt: skip
    event = Event(**{**said, **words})
    await house.events.publish(event)
    return event


def example_of(type: str, clock: ManualClock) -> Event:
    """An event of a type, with a text in every field of its catalogue."""
    data = dict.fromkeys(CATALOGUE[type].data, "x") if type != TEST else {}
    return Event(f"X-{type}", type, clock.now(), MACHINE, "OVEN-1", data=data)
