"""Readings that come from a relay: into the queue at the door, and from there the one way of every reading.

What if the process dies here?

- at the door: the relay was not answered and sends the same batch again; the queue drops the id that it has seen.
- while a batch is taken: the message comes again, all of it. Readings that were taken are found taken
  (:class:`Ingest`), the others follow.
- after the last reading, before the refused ones are counted, or before the message is settled: again all of it; what
  was counted of a batch is remembered with the count.

Readings of one machine are taken one after the other in the order of the relay; machines beside each other. Batches
may overtake each other, because alarms come before history: a reading that is older than what was judged moves no
alert and no connection state.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.access.model import system
from shared.clock import iso
from shared.errors import Conflict, InvalidInput, NotFound, PayloadTooLarge
from shared.messaging import Outgoing
from shared.metrics import RELAY_READINGS_LOST, RELAY_READINGS_REFUSED
from shared.observability import correlation_id
from shared.relay.hub_model import Refused
from shared.relay.messages import ReadingBatch, unpack
from shared.signals import Reading
from shared.telemetry.document import from_document
from shared.tracing import properties

if TYPE_CHECKING:
    from shared.audit.log import AuditLog
    from shared.clock import Clock
    from shared.collection.ingest import Ingest
    from shared.equipment.model import Equipment
    from shared.equipment.registry import EquipmentRegistry
    from shared.messaging import Queue
    from shared.relay.hub_registry import Relays

__all__ = ["RelayIntake"]

QUEUE = "relay-ingest"

AHEAD = timedelta(minutes=5)
"""A reading from further in the future has a wrong time. It would hide all that come after it."""
TOGETHER = 8
"""Machines of one batch that are taken beside each other."""
MOST_VALUES = 1_000
MOST_TEXT = 4_000
MOST_NAMED = 100
"""Machines without leave that are audited one by one, and batches whose refusals are remembered."""

log = logging.getLogger("ovenbridge.relay")


@dataclass(frozen=True, slots=True)
class _Refusal:
    equipment_id: str
    reason: str
    """A word of the measure: ``not_assigned``, ``unreadable``, ``future``."""


class RelayIntake:
    """Takes what relays read."""

    def __init__(
        self,
        queue: Queue,
        relays: Relays,
        equipment: EquipmentRegistry,
        ingest: Ingest,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._relays = relays
        self._equipment = equipment
        self._ingest = ingest
        self._audit = audit
        self._clock = clock

    # The door ----------------------------------------------------------------------------------------------------

    async def accept(self, relay_id: str, raw: bytes) -> ReadingBatch:
        """Put a batch into the queue; it is durable when this returns.

        Raises:
            InvalidInput, PayloadTooLarge: it is no batch of this relay.
            Conflict: the relay's clock is ahead. It keeps the batch and sends it again.
            Unavailable: the queue is away. It sends the same batch again.
        """
        batch = unpack(ReadingBatch, raw)
        if batch.relay_id != relay_id:
            raise InvalidInput(f"This batch is of relay {batch.relay_id}, not of {relay_id}.", field="relay_id")
        latest = iso(self._clock.now() + AHEAD)
        if any(isinstance(ts := reading.get("ts"), str) and ts > latest for reading in batch.readings):
            raise Conflict(
                "Readings of this batch are of the future: the relay's clock is ahead by more than "
                f"{AHEAD.total_seconds() / 60:g} minutes. Set it right (NTP) and send the batch again."
            )
        await self._queue.send(QUEUE, [Outgoing(raw, batch.message_id, None, correlation_id(), properties())])
        return batch

    # The queue ---------------------------------------------------------------------------------------------------

    async def take(self, body: bytes) -> None:
        """Take a batch; safe to repeat.

        Raises:
            InvalidInput: it is none; it ends among the dead letters.
            Unavailable: the store or a queue is away; the message comes again.
        """
        batch = _batch(body)
        try:
            await self._relays.get(batch.relay_id)
        except NotFound:
            log.warning("%d readings of relay %s are refused: it is gone", len(batch.readings), batch.relay_id)
            RELAY_READINGS_REFUSED.record(len(batch.readings), reason="not_assigned")
            return
        by_machine, refused = self._sorted(batch)
        gate = asyncio.Semaphore(TOGETHER)

        async def one(equipment_id: str, readings: Sequence[Reading]) -> list[_Refusal]:
            async with gate:
                return await self._take_machine(batch.relay_id, equipment_id, readings)

        done = await asyncio.gather(*(one(i, readings) for i, readings in by_machine.items()), return_exceptions=True)
        # Only after all have ended: nobody works on a message that was given back.
        for outcome in done:
            if isinstance(outcome, BaseException):
                raise outcome
            refused += outcome
        await self._account(batch, refused)

    def _sorted(self, batch: ReadingBatch) -> tuple[dict[str, list[Reading]], list[_Refusal]]:
        """The readings by machine, in the order of the relay, and those that are none."""
        now = self._clock.now()
        by_machine: dict[str, list[Reading]] = {}
        refused: list[_Refusal] = []
        for document in batch.readings:
            reading = _reading(document)
            if reading is None:
                refused.append(_Refusal(str(document.get("equipmentId"))[:64], "unreadable"))
            elif reading.at > now + AHEAD:
                refused.append(_Refusal(reading.equipment_id, "future"))
            else:
                taken = replace(reading, source="relay", received_at=now)
                by_machine.setdefault(reading.equipment_id, []).append(taken)
        return by_machine, refused

    async def _take_machine(self, relay_id: str, equipment_id: str, readings: Sequence[Reading]) -> list[_Refusal]:
        machine = await self._machine(relay_id, equipment_id)
        if machine is None:
            return [_Refusal(equipment_id, "not_assigned")] * len(readings)
        for reading in readings:
            await self._ingest.take(machine, reading)
        return []

    async def _machine(self, relay_id: str, equipment_id: str) -> Equipment | None:
        """The machine, if it is this relay's."""
        try:
            machine = await self._equipment.known(equipment_id)
            if not _reads(machine, relay_id):
                # It may have been given to this relay seconds ago, in another process.
                machine, _ = await self._equipment.get(equipment_id)
        except NotFound:
            return None
        return machine if _reads(machine, relay_id) else None

    # Keeping account ---------------------------------------------------------------------------------------------

    async def _account(self, batch: ReadingBatch, refused: Sequence[_Refusal]) -> None:
        if batch.lost.history:
            log.warning("Relay %s lost %d readings before this batch", batch.relay_id, batch.lost.history)
            RELAY_READINGS_LOST.record(batch.lost.history)
        if not refused:
            return
        known = (await self._relays.get(batch.relay_id)).refused
        message_id, now = batch.message_id, self._clock.now()
        if message_id in known.counted:
            return
        # The entries first: a batch that is counted is not looked at again.
        for refusal in dict.fromkeys(r for r in refused if r.equipment_id not in known.machines):
            await self._tell_once(batch.relay_id, refusal)

        def count(before: Refused) -> Refused:
            if message_id in before.counted:
                return before
            machines = dict.fromkeys([*before.machines, *(r.equipment_id for r in refused)])
            return Refused(
                count=before.count + len(refused),
                last_at=now,
                last_equipment_id=refused[-1].equipment_id,
                last_reason=refused[-1].reason,
                machines=tuple(machines)[-MOST_NAMED:],
                counted=(*before.counted, message_id)[-MOST_NAMED:],
            )

        await self._relays.change(batch.relay_id, lambda r: replace(r, refused=count(r.refused)))
        for refusal in refused:
            RELAY_READINGS_REFUSED.record(1, reason=refusal.reason)

    async def _tell_once(self, relay_id: str, refusal: _Refusal) -> None:
        log.warning("Readings of %s from relay %s are refused: %s", refusal.equipment_id, relay_id, refusal.reason)
        await self._audit.append(
            f"relay:{relay_id}",
            actor=system("take_relay_readings").actor,
            action="relay.readings_refused",
            target=f"relay:{relay_id}",
            after={"equipment_id": refusal.equipment_id, "reason": refusal.reason},
        )


def _reads(machine: Equipment, relay_id: str) -> bool:
    return machine.polled_from == "relay" and machine.relay_id == relay_id


def _batch(body: bytes) -> ReadingBatch:
    try:
        return unpack(ReadingBatch, body)
    except (InvalidInput, PayloadTooLarge) as error:
        log.error("A message in %s is no batch of readings: %s", QUEUE, error.detail)
        raise


def _reading(document: Mapping[str, Any]) -> Reading | None:
    """The reading, if it is one. A relay is ours, but its disk may be broken and its program older."""
    try:
        reading = from_document(document)
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    return reading if _sound(reading) else None


def _sound(reading: Reading) -> bool:
    texts = [reading.reason, reading.error_code, *reading.values]
    if not isinstance(reading.equipment_id, str) or len(reading.values) > MOST_VALUES:
        return False
    for value in reading.values.values():
        if not all(isinstance(number, float | int | str | bool | None) for number in (value.value, value.raw)):
            return False
        texts += [value.reason, value.unit, value.raw_unit]
        texts += [text for text in (value.value, value.raw) if isinstance(text, str)]
    if any(not isinstance(text, str | None) or len(text or "") > MOST_TEXT for text in texts):
        return False
    took = reading.response_ms
    return took is None or (isinstance(took, float | int) and math.isfinite(took))
