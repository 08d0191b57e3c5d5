"""Polling: the timer plans, queue messages carry batches, workers read concurrently.

Who may hold up whom:

- Devices that failed travel in messages of their own (lane ``failing``), few a tick, and read under a bound of their
  own that they never wait for: when all its places are taken by devices that hang, the poll is left out.
- A device that hangs for the first time sits in a message with sound ones. They are read, recorded and evaluated
  while it hangs; only the message stays open, until the deadline.
- A message that comes later than the interval is skipped: under overload polls are left out, never queued up.

What if the process dies here? The planner keeps nothing: the next tick finds the same instants and sends the same
message ids. A message that was not finished comes again, and then :meth:`Polling._take_again` looks first whether the
reading of this instant stands in the store. If it does, the steps after recording are repeated with it; the device is
not read a second time and no second reading is made.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.clock import Clock
from shared.collection.device import DeviceReader
from shared.collection.health import ConnectionHealth
from shared.collection.ingest import Ingest
from shared.collection.measured import note_lag, note_read
from shared.collection.schedule import Batch, Lane, Poll, batches, due_between, from_ms, to_ms, window
from shared.collection.stats import PollStats
from shared.collection.status import ConnectionStatus, failed
from shared.collection.together import phase_name
from shared.messaging import Outgoing, Queue
from shared.metrics import POLLS_PLANNED, POLLS_SKIPPED
from shared.observability import correlation_id
from shared.storage import DocumentStore
from shared.tracing import mark, properties

if TYPE_CHECKING:
    from shared.connectors import Connectors
    from shared.equipment.model import Equipment
    from shared.equipment.registry import EquipmentRegistry

__all__ = ["Polling"]

log = logging.getLogger("ovenbridge.polling")

QUEUE = "poll-batches"

MESSAGES_A_SEND = 20
"""20 messages of 50 ids stay well below the 256 KB of one Service Bus send."""

STEADY_PLACES = 256
"""Most sound devices read at once by one process; each holds a socket."""

FAILING_PLACES = 64
"""Most failing devices read at once by one process."""

LONGEST_PACE = 2.0
"""Seconds. A worker waits for an instant at most so long: a message that came too early is read early."""

MOST_FINISHED = 200_000


class Polling:
    """Planning polls and reading devices."""

    def __init__(
        self,
        store: DocumentStore,
        queue: Queue,
        equipment: EquipmentRegistry,
        connectors: Connectors,
        health: ConnectionHealth,
        ingest: Ingest,
        clock: Clock,
        *,
        deadline_seconds: float,
    ) -> None:
        self._store = store
        self._queue = queue
        self._equipment = equipment
        self._health = health
        self._ingest = ingest
        self._clock = clock
        self._device = DeviceReader(equipment, connectors, clock, deadline_seconds=deadline_seconds)
        self._planned_until: int | None = None
        self._places = {"steady": asyncio.Semaphore(STEADY_PLACES), "failing": asyncio.Semaphore(FAILING_PLACES)}
        self._being_read: set[str] = set()
        self._finished: dict[str, int] = {}
        self.stats = PollStats()

    # Planning ----------------------------------------------------------------------------------------------------

    async def plan(self, now: datetime) -> int:
        """Send a message for every batch of devices that is due in the next tick; how many messages.

        Raises:
            Unavailable: the store or the queue is away. The next tick catches up.
        """
        start, end = window(now, self._planned_until)
        devices = await self._equipment.pollable()
        troubled = await self._health.backing_off()
        steady: list[Poll] = []
        failing: list[tuple[datetime, Poll]] = []
        for device in devices:
            due = due_between(phase_name(device), device.poll_interval_seconds, start, end)
            if due is None:
                continue
            trouble = troubled.get(device.id)
            if trouble is None or trouble.backoff_until is None:
                steady.append(Poll(device.id, due))
            elif trouble.backoff_until <= from_ms(due) or _changed_since(device, trouble):
                failing.append((trouble.backoff_until, Poll(device.id, due)))
        failing.sort(key=lambda pair: pair[0])  # who has waited longest goes first
        planned = batches(steady, "steady") + batches((poll for _, poll in failing), "failing")
        await self._send(planned)
        self._planned_until = end
        for batch in planned:
            POLLS_PLANNED.record(len(batch.polls), lane=batch.lane)
        self.stats.planned += sum(len(batch.polls) for batch in planned)
        self.stats.last_planned_at = now
        self.stats.report(now)
        return len(planned)

    async def soon(self, equipment_id: str) -> None:
        """Read this device now, beside the plan: its configuration has just been saved and somebody is looking.

        Raises:
            Unavailable: the queue is away. The plan reads the device within its interval all the same.
        """
        due = to_ms(self._clock.now())
        (batch,) = batches([Poll(equipment_id, due)], "steady")
        # A name of its own: that of the instant may be taken by the plan, or by somebody who looks at another device.
        name = f"poll:soon:{due}:{equipment_id}"
        await self._queue.send(QUEUE, [Outgoing(batch.to_body(), name, None, correlation_id(), properties())])

    async def _send(self, planned: list[Batch]) -> None:
        messages = [
            Outgoing(batch.to_body(), batch.message_id, from_ms(batch.at), correlation_id(), properties())
            for batch in planned
        ]
        for first in range(0, len(messages), MESSAGES_A_SEND):
            await self._queue.send(QUEUE, messages[first : first + MESSAGES_A_SEND])

    # Reading -----------------------------------------------------------------------------------------------------

    async def read_batch(self, body: bytes, *, delivery_count: int = 1) -> None:
        """Read the devices of one message, all at once.

        Args:
            body: the message, as :meth:`plan` made it.
            delivery_count: over 1: it came before and was not finished.

        Raises:
            InvalidInput: the message is none of ours.
            Unavailable: something could not be stored for a device; let the message come again. The others are done.
        """
        batch = Batch.from_body(body)
        mark(lane=batch.lane, polls=len(batch.polls))
        devices = _by_id(await self._equipment.pollable())
        outcomes = await asyncio.gather(
            *(
                self._poll(devices[poll.equipment_id], poll, batch.lane, again=delivery_count > 1)
                for poll in batch.polls
                if poll.equipment_id in devices  # else it was removed or switched off meanwhile
            ),
            return_exceptions=True,
        )
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for error in errors[1:]:
            log.error("Another device of this batch could not be finished: %s", error)
        if errors:
            raise errors[0]

    async def _poll(self, device: Equipment, poll: Poll, lane: Lane, *, again: bool) -> None:
        if self._finished.get(device.id, -1) >= poll.due:
            return
        if again and await self._take_again(device, poll):
            self._finish(poll)
            return
        if self._too_late(device, poll):
            self.stats.stale += 1
            POLLS_SKIPPED.record(1, reason="stale")
            return
        status = await self._recall(device, lane)
        if lane == "steady" and status.consecutive_failures:
            # Sound when this was planned, up to ten seconds ago, and failed since: its back-off counts, and it takes
            # a place among the failing.
            if status.backoff_until is not None and status.backoff_until > from_ms(poll.due):
                return
            lane = "failing"
        if device.id in self._being_read:
            self.stats.busy += 1
            POLLS_SKIPPED.record(1, reason="busy")
            return
        self._being_read.add(device.id)
        try:
            if lane == "steady":
                await self._pace(poll)
            await self._read_and_take(device, poll, lane)
        finally:
            self._being_read.discard(device.id)

    async def _read_and_take(self, device: Equipment, poll: Poll, lane: Lane) -> None:
        places = self._places[lane]
        if lane == "failing" and places.locked():
            self.stats.shed += 1
            POLLS_SKIPPED.record(1, reason="shed")
            return
        async with places:
            late = self._clock.now().timestamp() - poll.due / 1000
            if late > device.poll_interval_seconds:
                self.stats.stale += 1
                POLLS_SKIPPED.record(1, reason="stale")
                return
            if lane == "steady":
                self.stats.note_start(late)
                note_lag(late)
            self.stats.reading += 1
            begun = time.perf_counter()
            try:
                read = await self._device.read(device, self._ingest.keep, self._note_abandoned)
            finally:
                self.stats.reading -= 1
            reading = read.reading
            note_read(device.protocol, reading, time.perf_counter() - begun)
        self.stats.read += 1
        self.stats.failed += failed(reading)
        self.stats.last_read_at = reading.at
        await (self._ingest.judge if read.kept else self._ingest.take)(device, reading)
        self._finish(poll)

    async def _take_again(self, device: Equipment, poll: Poll) -> bool:
        """The message came before. Was this instant's reading recorded? Then finish what may have been left undone."""
        latest = await self._ingest.readings.latest(device.id)
        if latest is None or to_ms(latest.at) < poll.due:
            return False
        await self._ingest.take(device, latest)
        self.stats.repeated += 1
        return True

    async def _recall(self, device: Equipment, lane: Lane) -> ConnectionStatus:
        """The device's connection. Nothing is asked of the store for a device that this process knows to be sound."""
        status = await self._health.status(device.id)
        if status.consecutive_failures or lane == "failing":
            # Another process may have found out since that it failed, or that it is well again.
            self._health.forget(device.id)
            status = await self._health.status(device.id)
        return ConnectionStatus() if _changed_since(device, status) else status

    async def _pace(self, poll: Poll) -> None:
        """Devices of one message are spread over its second."""
        early = poll.due / 1000 - self._clock.now().timestamp()
        if early > 0:
            await asyncio.sleep(min(early, LONGEST_PACE))

    def _too_late(self, device: Equipment, poll: Poll) -> bool:
        return self._clock.now() - from_ms(poll.due) > timedelta(seconds=device.poll_interval_seconds)

    def _finish(self, poll: Poll) -> None:
        if len(self._finished) >= MOST_FINISHED:
            self._finished.clear()
        self._finished[poll.equipment_id] = poll.due

    def _note_abandoned(self) -> None:
        self.stats.abandoned += 1


def _changed_since(device: Equipment, status: ConnectionStatus) -> bool:
    """Somebody corrected the configuration after the failure: try at once."""
    return status.judged_at is not None and device.updated_at > status.judged_at


def _by_id(devices: Iterable[Equipment]) -> dict[str, Equipment]:
    return {device.id: device for device in devices}
