"""Readings that come from a relay: into the queue at the door, and from there the one way of every reading.

What if the process dies here?

- at the door: the relay was not answered and sends the same batch again; the queue drops the id that it has seen.
- while a batch is taken: the message comes again, all of it. Readings that were taken are found taken
  (:class:`Ingest`), the others follow.
- after the last reading, before the refused ones are counted, or before the message is settled: again all of it; what
  was counted of a batch is remembered with the count.

Whoever may send to the queue could send in the name of any relay. So batches are signed (``signing.py``): by the relay
that sends straight to the queue, here at the door for one that comes over HTTPS. What is not signed by the relay that
it names is given up among the dead letters.

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
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.access.model import system
from shared.clock import iso
from shared.errors import Conflict, Forbidden, InvalidInput, NotFound, PayloadTooLarge, Unavailable
from shared.ids import digest_id, new_id
from shared.messaging import Outgoing
from shared.metrics import (
    RELAY_BATCHES_DOUBTED,
    RELAY_DELIVERY_LAG,
    RELAY_READINGS_LOST,
    RELAY_READINGS_REFUSED,
)
from shared.observability import correlation_id
from shared.relay.hub_model import Doubted, Refused, Relay
from shared.relay.messages import ReadingBatch, unpack
from shared.relay.signing import SIGNATURE, claim
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
WAITED_FOR = timedelta(minutes=15)
"""So far ahead of a relay whose clock is right by now they are waited for."""
TELL_FROM = 3
"""From this delivery on a batch that is not believed is spoken of: a new key may take moments to be seen everywhere."""
PUT_OFF_FROM = 5
"""From this delivery on a batch is put off rather than delivered again at once. The queue gives up after ten."""
PUT_OFF_FOR = timedelta(minutes=1)
TOGETHER = 8
"""Machines of one batch that are taken beside each other."""
FIRST_YEAR = 2000
"""A reading from before has no time at all; reckoning with such a one ends before the calendar begins."""
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

    async def accept(self, relay_id: str, raw: bytes, *, token: str) -> ReadingBatch:
        """Put a batch into the queue; it is durable when this returns.

        Args:
            relay_id: who came.
            raw: the packed batch.
            token: by which it came in.

        Raises:
            InvalidInput, PayloadTooLarge: it is no batch of this relay.
            Conflict: the relay's clock is ahead. It keeps the batch and sends it again.
            Unavailable: the queue is away. It sends the same batch again.
        """
        batch = unpack(ReadingBatch, raw)
        if batch.relay_id != relay_id:
            raise InvalidInput(f"This batch is of relay {batch.relay_id}, not of {relay_id}.", field="relay_id")
        await self._let_wait(relay_id, batch)
        key = await self._relays.signing(relay_id, token)
        said = {**properties(), SIGNATURE: key.sign(raw)}
        await self._queue.send(QUEUE, [Outgoing(raw, batch.message_id, None, correlation_id(), said)])
        return batch

    async def _let_wait(self, relay_id: str, batch: ReadingBatch) -> None:
        """Raises ``Conflict`` for readings of the future: the relay keeps them. But a clock that was wrong for a minute
        and is right again has left readings that would hold up all others until their year comes: those are let in,
        to be refused one by one."""
        now = self._clock.now()
        latest = max((ts for reading in batch.readings if isinstance(ts := reading.get("ts"), str)), default="")
        if latest <= iso(now + AHEAD):
            return
        offset = (await self._relays.get(relay_id)).clock_offset_seconds
        if latest > iso(now + WAITED_FOR) and offset is not None and offset <= AHEAD.total_seconds():
            log.warning("Relay %s brings readings of %s: its clock was wrong when it took them.", relay_id, latest[:30])
            return
        raise Conflict(
            "Readings of this batch are of the future: the relay's clock is ahead by more than "
            f"{AHEAD.total_seconds() / 60:g} minutes. Set it right (NTP) and send the batch again."
        )

    # The queue ---------------------------------------------------------------------------------------------------

    async def arrived(
        self,
        body: bytes,
        *,
        message_id: str,
        signature: str | None,
        enqueued_at: datetime | None,
        delivery_count: int = 1,
    ) -> None:
        """Take a message out of the queue, if the relay that it names has signed it; safe to repeat. One that cannot be
        taken because the store is away is put off before the queue gives it up: an outage may last longer than ten
        deliveries.

        Args:
            body: the packed batch.
            message_id: for counting each once that is not believed.
            signature: the message's property of that name.
            enqueued_at: when the queue took it.
            delivery_count: 1 at the first delivery.

        Raises:
            Forbidden: it is not signed by that relay; it ends among the dead letters.
            InvalidInput: it is no batch; the same.
            Unavailable: the store, the vault or a queue is away; the message comes again.
        """
        try:
            await self._arrived(body, message_id, signature, enqueued_at, delivery_count)
        except Unavailable as error:
            if delivery_count < PUT_OFF_FROM:
                raise
            await self._put_off(body, signature, error)

    async def _put_off(self, body: bytes, signature: str | None, error: Unavailable) -> None:
        """Send it to ourselves for later. Dying after it, or an answer that is lost, makes two of one: both are taken
        as one."""
        at = self._clock.now() + PUT_OFF_FOR
        log.warning("A batch is tried again at %s: %s", iso(at), error.detail)
        said = {**properties(), **({} if signature is None else {SIGNATURE: signature})}
        await self._queue.send(QUEUE, [Outgoing(body, f"later:{new_id()}", at, correlation_id(), said)])

    async def _arrived(
        self, body: bytes, message_id: str, signature: str | None, enqueued_at: datetime | None, delivery_count: int
    ) -> None:
        batch = _batch(body)
        relay = await self._known(batch)
        if relay is None:
            return
        doubt = await self._doubt(relay, body, signature, enqueued_at or self._clock.now())
        if doubt is not None:
            if delivery_count >= TELL_FROM:
                await self._tell_of_doubt(relay, message_id, doubt)
            raise Forbidden(
                f"A batch in the name of relay {relay.id} is not believed ({doubt}): it is not signed with a key of "
                "that relay. Who else may send to relay-ingest? If it was the relay itself, give it a new token."
            )
        await self._take(batch)

    async def take(self, body: bytes) -> None:
        """Take a batch of which it is known whose it is; safe to repeat.

        Raises:
            InvalidInput: it is none; it ends among the dead letters.
            Unavailable: the store or a queue is away; the message comes again.
        """
        batch = _batch(body)
        if await self._known(batch) is not None:
            await self._take(batch)

    async def _known(self, batch: ReadingBatch) -> Relay | None:
        try:
            return await self._relays.get(batch.relay_id)
        except NotFound:
            log.warning("%d readings of relay %s are refused: it is gone", len(batch.readings), batch.relay_id)
            RELAY_READINGS_REFUSED.record(len(batch.readings), reason="not_assigned")
            return None

    async def _take(self, batch: ReadingBatch) -> None:
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
        self._measure(batch, by_machine)

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

    def _measure(self, batch: ReadingBatch, by_machine: Mapping[str, Sequence[Reading]]) -> None:
        """How old the newest reading of the batch is: what a person sees of the machines is as old."""
        newest = max((readings[-1].at for readings in by_machine.values()), default=None)
        if newest is not None:
            lag = (self._clock.now() - newest).total_seconds()
            RELAY_DELIVERY_LAG.record(max(0.0, lag), lane=batch.priority)

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

    # Whose is it? -------------------------------------------------------------------------------------------------

    async def _doubt(self, relay: Relay, body: bytes, signature: str | None, enqueued_at: datetime) -> str | None:
        """Why it is not believed, as a word of the measure; ``None``: it is the relay's."""
        claimed = claim(signature)
        if claimed is None:
            return "unsigned"
        known = next((key for key in relay.keys if key.id == claimed.key_id), None)
        if known is None:
            return "unknown_key"
        ended = await self._relays.ended(known)
        if ended is not None and enqueued_at > ended:
            return "old_key"
        key = await self._relays.keys.find(known.id)
        if key is None:
            log.error("The key of relay %s is not in the vault: give it a new token.", relay.id)
            return "unknown_key"
        return None if key.signed(claimed, body) else "forged"

    async def _tell_of_doubt(self, relay: Relay, message_id: str, reason: str) -> None:
        """Count each message once, and tell the audit log once a day: a flood must not become one of entries."""
        mark, now = digest_id(message_id.encode())[:16], self._clock.now()
        if mark in relay.doubted.counted:
            return
        log.error("A batch in the name of relay %s is not believed: %s", relay.id, reason)
        day = iso(now)[:10]
        if relay.doubted.told_on != day:
            await self._audit.append(
                f"relay:{relay.id}",
                actor=system("take_relay_readings").actor,
                action="relay.batch_not_believed",
                target=f"relay:{relay.id}",
                after={"reason": reason, "message_id": message_id[:128]},
            )

        def count(before: Doubted) -> Doubted:
            if mark in before.counted:
                return before
            return Doubted(before.count + 1, now, reason, day, (*before.counted, mark)[-MOST_NAMED:])

        await self._relays.change(relay.id, lambda r: replace(r, doubted=count(r.doubted)))
        RELAY_BATCHES_DOUBTED.record(1, reason=reason)

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
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError):
        return None
    return reading if _sound(reading) else None


def _sound(reading: Reading) -> bool:
    texts = [reading.reason, reading.error_code, *reading.values]
    if not isinstance(reading.equipment_id, str) or len(reading.values) > MOST_VALUES:
        return False
    if reading.at.year < FIRST_YEAR:
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
