"""Ingest: the one way of every reading, polled, relayed or sent in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.collection.health import ConnectionHealth
from shared.collection.rates import RateLimits
from shared.collection.status import Transition
from shared.events import EventLog
from shared.metrics import READINGS_INGESTED
from shared.signals import Reading

if TYPE_CHECKING:
    from shared.alerts.service import Alerts
    from shared.equipment.model import Equipment
    from shared.telemetry.context import MachineContexts
    from shared.telemetry.readings import Readings

__all__ = ["Ingest"]


@dataclass(frozen=True, slots=True)
class Ingest:
    """Record, evaluate, judge the connection, tell.

    What if the process dies here? Every step is idempotent and every later step is repeated with the earlier ones:

    - before the record: nothing happened; the message comes again and the device is read again.
    - after the record: the message comes again; ``record`` says it was there already, and everything below runs all
      the same. That answer must never end the work: the process that recorded it may have died right after.
      Alert rules go by event time, so a reading evaluated twice moves nothing; health goes by the time of the reading
      it judged last.
    - after the health document, before the events went out: they stand in that document as ``untold`` and are
      published by the next report on the machine, or by :meth:`tell` from the hourly timer when none comes.
    - after the publishing, before the mark is gone: they are published again under the same ids, which tells nobody
      twice.
    """

    readings: Readings
    alerts: Alerts
    health: ConnectionHealth
    events: EventLog
    rates: RateLimits = field(default_factory=RateLimits)
    contexts: MachineContexts | None = None
    """What other systems know of the machines; ``None``: nothing is asked."""

    async def take(self, equipment: Equipment, reading: Reading) -> None:
        """Take a reading, good or bad; safe to repeat.

        Raises:
            Unavailable: the store or a queue is away. Repeat the whole.
        """
        await self.keep(equipment, (reading,))
        await self.judge(equipment, reading)

    async def keep(self, equipment: Equipment, readings: Iterable[Reading]) -> None:
        """Doubt, record and evaluate readings, in this order; safe to repeat. What a queue held need not come again.

        Raises:
            Unavailable: as :meth:`take`.
        """
        for said in readings:
            reading = self.rates.judged(equipment, said)
            if self.contexts is not None:
                reading = await self.contexts.put_on(reading)
            if await self.readings.record(reading):
                READINGS_INGESTED.record(1, quality=reading.quality.value)
            await self.alerts.evaluate(equipment, reading)

    async def judge(self, equipment: Equipment, reading: Reading) -> None:
        """Judge the connection by this reading and tell what changed; it is not recorded here.

        Of a device whose messages wait at a broker it is not one of them, whose times are the past, but what this
        visit found: an empty one says that the broker answers and nothing came.

        Raises:
            Unavailable: as :meth:`take`.
        """
        transition = await self.health.report(equipment, reading)
        if transition is not None:
            await self._publish(equipment.id, transition)

    async def tell(self) -> int:
        """Publish what a process that died left untold; how many events."""
        count = 0
        for equipment_id, status in (await self.health.untold()).items():
            await self._publish(equipment_id, Transition(status, status))
            count += len(status.untold)
        return count

    async def _publish(self, equipment_id: str, transition: Transition) -> None:
        if not transition.events:
            return
        for event in transition.events:
            await self.events.publish(event)
        await self.health.told(equipment_id, [event.id for event in transition.events])
