"""What the tests of deliveries share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from shared.access import Caller, Role
from shared.callbacks.browse import DeliveryFilter
from shared.callbacks.model import Callback, Credentials, NewCallback
from shared.clock import ManualClock
from shared.events import Event
from shared.events.catalogue import EXTERNAL
from shared.services import Services
from tests.api import Drained
from tests.unit.callbacks.receiver import Receiver, receiving

ENGINEER = Caller("test", "a test", frozenset({Role.ADMIN}), "loopback")

Drain = Callable[[], Awaitable[Drained]]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver on a free port, answering 200."""
    async with receiving() as made:
        yield made


class Stage:
    """A house, a receiver and short words for what the tests do with them."""

    def __init__(self, house: Services, receiver: Receiver, clock: ManualClock, drain: Drain) -> None:
        self.house = house
        self.receiver = receiver
        self.clock = clock
        self._drain = drain
        self._count = 0

    async def register(self, path: str = "/a", **words: Any) -> Callback:
        """Register a callback at the receiver."""
        words = {"event_type": EXTERNAL, "url": self.receiver.url + path, **words}
        return await self.house.callbacks.create(NewCallback(**words), caller=ENGINEER)

    async def publish(self, id: str | None = None, **words: Any) -> Event:
        """Publish an EXTERNAL event."""
        self._count += 1
        event = Event(**{"id": id or f"E{self._count}", "type": EXTERNAL, "timestamp": self.clock.now(), **words})
        await self.house.events.publish(event)
        return event

    async def settle(self) -> None:
        """Handle every message that is due; none may fail."""
        drained = await self._drain()
        assert drained.failures == []

    async def pass_time(self, seconds: float, steps: int = 1) -> None:
        """Move the clock and handle what became due, so many times."""
        for _ in range(steps):
            self.clock.advance(seconds)
            await self.settle()

    async def deliveries(self, callback: Callback) -> list[dict[str, Any]]:
        """All deliveries of a callback, oldest first."""
        wanted = DeliveryFilter(callback.id)
        page = await self.house.deliveries.browse.list(wanted, limit=1000, continuation=None)
        return [item.document for item in reversed(page.items)]

    async def only(self, callback: Callback) -> dict[str, Any]:
        """Its one delivery."""
        (document,) = await self.deliveries(callback)
        return document


@pytest.fixture
def stage(house: Services, receiver: Receiver, clock: ManualClock, drain: Drain) -> Stage:
    """House and receiver, ready."""
    return Stage(house, receiver, clock, drain)


__all__ = ["ENGINEER", "Credentials", "Stage"]
