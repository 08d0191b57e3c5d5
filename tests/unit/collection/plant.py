"""Ovens, readings and a store that counts, for the tests of this room."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from shared.clock import ManualClock
from shared.collection.health import ConnectionHealth
from shared.collection.ingest import Ingest
from shared.collection.poll import Polling
from shared.collection.schedule import Batch, Lane, Poll, to_ms
from shared.equipment.model import Equipment
from shared.errors import NotFound
from shared.events import Event, EventLog
from shared.services import Services
from shared.signals import Quality, Reading, SignalValue
from shared.storage import DocumentStore

NOON = datetime(2026, 11, 21, 10, tzinfo=UTC)
"""Where the clock of the tests stands."""


def oven(number: int = 1, **changes: Any) -> Equipment:
    """An oven as the registry would give it."""
    fields: dict[str, Any] = {
        "id": f"oven-{number}",
        "name": f"Oven {number}",
        "iot_enabled": True,
        "protocol": "rest_api",
        "endpoint": "http://127.0.0.1",
        "port": 1,
        "supports_realtime": True,
        "poll_interval_seconds": 30,
        "created_at": NOON - timedelta(days=1),
        "updated_at": NOON - timedelta(days=1),
    }
    return Equipment(**(fields | changes))


def good_reading(number: int = 1, *, at: float, status: str = "running", ms: float = 12.5) -> Reading:
    """So many seconds after noon."""
    values = {"temperature.cabinet": SignalValue(180.0, unit="C"), "status": SignalValue(status)}
    return Reading(f"oven-{number}", NOON + timedelta(seconds=at), values, response_ms=ms)


def bad_reading(number: int = 1, *, at: float, code: str = "cannot_connect", reason: str = "Refused.") -> Reading:
    """A failed read, so many seconds after noon."""
    moment = NOON + timedelta(seconds=at)
    return Reading(f"oven-{number}", moment, {}, quality=Quality.BAD, reason=reason, error_code=code)


class Counting:
    """Stands before a store, counts its calls, and fails where it is told to."""

    def __init__(self, inner: DocumentStore) -> None:
        self._inner = inner
        self.calls: Counter[str] = Counter()
        self.fail: dict[str, Exception] = {}
        """By method."""

    @property
    def store(self) -> DocumentStore:
        """As the port."""
        return cast("DocumentStore", self)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._inner, name)

        async def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            if name in self.fail:
                raise self.fail[name]
            return await method(*args, **kwargs)

        return counted


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for a condition that other tasks bring about."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event to offer
            await asyncio.sleep(0.005)


Behaviour = Callable[[dict[str, Any]], Awaitable[Reading]]
"""What a device does when it is read with this configuration."""


class Died(BaseException):
    """The process dies here."""


class Plant:
    """A registry and connectors over scripted devices; everything else of the house is real."""

    def __init__(self, house: Services, *ovens: Equipment, deadline_seconds: float = 20.0) -> None:
        self.house = house
        self.ovens = list(ovens)
        self.secrets = {"password": "first"}
        self.fresh_secrets: dict[str, str] | None = None
        self.behaviour: dict[str, Behaviour] = {}
        self.reads: Counter[str] = Counter()
        self.evaluated: list[Reading] = []
        self.fail_evaluation: BaseException | None = None
        self.fail_vault: Exception | None = None
        self.deadline_seconds = deadline_seconds
        self.health = house.health
        self.told: list[Event] = []
        self.fail_telling: BaseException | None = None
        self.events = EventLog(house.store, house.clock, (self,))
        self.polling = self.new_process()

    def new_process(self) -> Polling:
        """Polling that remembers nothing, over the same store and queue."""
        self.health = ConnectionHealth(self.house.store, self.house.clock)
        self.ingest = Ingest(self.house.readings, cast("Any", self), self.health, self.events)
        self.polling = Polling(
            self.house.store,
            self.house.queue,
            cast("Any", self),
            cast("Any", self),
            self.health,
            self.ingest,
            self.house.clock,
            deadline_seconds=self.deadline_seconds,
        )
        return self.polling

    # As the registry

    async def watched(self) -> list[Equipment]:
        return await self.pollable()

    async def pollable(self) -> list[Equipment]:
        return [equipment for equipment in self.ovens if equipment.iot_enabled]

    async def get(self, equipment_id: str) -> tuple[Equipment, str]:
        for equipment in self.ovens:
            if equipment.id == equipment_id:
                return equipment, "etag"
        raise NotFound(f"There is no {equipment_id}.")

    async def connector_config(self, equipment: Equipment, *, fresh: bool = False) -> dict[str, Any]:
        if self.fail_vault is not None:
            raise self.fail_vault
        secrets = self.fresh_secrets if fresh and self.fresh_secrets else self.secrets
        return {"endpoint": equipment.endpoint, "credentials": dict(secrets)}

    # As the connectors

    def open(self, *, protocol: str, equipment_id: str, config: dict[str, Any]) -> Any:
        return _Scripted(self, equipment_id, config)

    # As the alerts

    async def evaluate(self, equipment: Equipment, reading: Reading) -> None:
        if self.fail_evaluation is not None:
            raise self.fail_evaluation
        self.evaluated.append(reading)

    # As a subscriber of all events

    async def accept(self, event: Event) -> int:
        if self.fail_telling is not None:
            raise self.fail_telling
        self.told.append(event)
        return 1

    # What tests do with it

    async def plan(self) -> list[Batch]:
        """Plan now and take the messages out of the queue, due or not."""
        await self.polling.plan(self.house.clock.now())
        return await self.messages(seconds=20)

    async def messages(self, *, seconds: float = 0) -> list[Batch]:
        """Move on and take what is due."""
        cast("ManualClock", self.house.clock).advance(seconds)
        taken: list[Batch] = []
        while (await self.house.receiver.depth("poll-batches")).active:
            for received in await self.house.receiver.receive("poll-batches", 100):
                taken.append(replace(Batch.from_body(received.body), number=int(received.message_id.split(":")[-1])))
                await self.house.receiver.complete("poll-batches", received)
        return taken

    def body(self, *numbers: int, lane: Lane = "steady", late: float = 0.0) -> bytes:
        """A message with these ovens, due so many seconds ago."""
        due = to_ms(self.house.clock.now()) - round(late * 1000)
        return Batch(lane, due, 0, tuple(Poll(f"oven-{n}", due) for n in numbers)).to_body()


class _Scripted:
    acknowledges = False

    def __init__(self, plant: Plant, equipment_id: str, config: dict[str, Any]) -> None:
        self._plant, self._id, self._config = plant, equipment_id, config

    async def get_current_reading(self) -> Reading:
        self._plant.reads[self._id] += 1
        behave = self._plant.behaviour.get(self._id)
        if behave is not None:
            return await behave(self._config)
        seconds = (self._plant.house.clock.now() - NOON).total_seconds()
        return good_reading(int(self._id.split("-")[1]), at=seconds)

    async def close(self) -> None:
        return None
