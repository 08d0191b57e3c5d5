"""Delivering: what happens to one queue message (reference/azure.md section 3.2).

The store is the authority. On a failure the next attempt is written first, then its message is scheduled, then the
message in hand is let go; a process that dies anywhere in between leaves a delivery that either its own message or the
sweeper brings on. A receiver may see a notification twice and can tell by its ``webhook-id``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from shared.access import system
from shared.audit import AuditLog
from shared.callbacks.attempt import Attempts, Dialect, Outcome, missing_destination
from shared.callbacks.browse import Browse
from shared.callbacks.carrying import Carrier, Via
from shared.callbacks.document import (
    CONTAINER,
    OPEN,
    PENDING,
    QUEUE,
    RETRYING,
    Wake,
    confirmed,
    delivery_id,
    discarded,
    due_at,
    failed,
    logged,
    only_missing,
    parse_wakes,
    put_off,
    wake,
)
from shared.callbacks.lanes import Lanes
from shared.callbacks.model import Callback, State
from shared.callbacks.registry import Callbacks
from shared.callbacks.sweep import Sweep
from shared.callbacks.unconfirmed import Unconfirmed
from shared.clock import Clock, compact, iso
from shared.errors import NotFound, OvenbridgeError, PreconditionFailed, Unavailable
from shared.messaging import Outgoing, Queue
from shared.metrics import DELIVERY_DISCARDED
from shared.observability import fields
from shared.outgoing.http import OutgoingHttp
from shared.storage import Document, DocumentStore, PatchOperation, SetPath

__all__ = ["Deliveries"]

VAULT_PAUSE_SECONDS = 10.0
"""A vault that is away is asked again after so long; no attempt is counted."""

log = logging.getLogger("ovenbridge.delivery")


class Deliveries:
    """Brings notifications to their receivers."""

    def __init__(
        self,
        store: DocumentStore,
        queue: Queue,
        http: OutgoingHttp,
        callbacks: Callbacks,
        audit: AuditLog,
        clock: Clock,
        *,
        dialects: Mapping[str, Dialect],
        base_url: str,
        timeout_seconds: float,
        retry_seconds: float,
        via: Callable[[], Via],
    ) -> None:
        self._store = store
        self._queue = queue
        self._callbacks = callbacks
        self._clock = clock
        self._retry_seconds = retry_seconds
        self._attempts = Attempts(Carrier(http), via, clock, dialects, base_url, timeout_seconds)
        self._lanes = Lanes()
        self._unconfirmed = Unconfirmed(store)
        self._in_hand: set[tuple[str, str]] = set()
        self._seen = 0
        self._sweep = Sweep(store, queue, callbacks, clock)
        self.browse = Browse(store, queue, callbacks, audit, clock)

    async def deliver(self, body: bytes) -> None:
        """Handle one queue message; returning settles it.

        Raises:
            InvalidInput: the message is none of ours.
            Unavailable: store or queue are away; the message comes again.
        """
        wakes = parse_wakes(body)
        if len(wakes) == 1:
            found: list[Outgoing | BaseException | None] = [await self._one(wakes[0])]
        else:
            found = await asyncio.gather(*(self._one(called) for called in wakes), return_exceptions=True)
        next_messages = [message for message in found if isinstance(message, Outgoing)]
        if next_messages:
            await self._queue.send(QUEUE, next_messages)
        if self._callbacks.standing.overdue():
            await self._write_standing()
        for problem in found:
            if isinstance(problem, BaseException):
                # The message comes again, and those of its deliveries that were brought on are left alone then.
                raise problem

    async def _write_standing(self) -> None:
        try:
            await self._callbacks.write_standing()
        except OvenbridgeError as error:  # the notification is told, and that is what counts
            log.warning("How callbacks are doing is written later: %s", error.detail)

    async def sweep(self) -> int:
        """Wake what is overdue, write how callbacks are doing, finish removals. How many were woken."""
        return await self._sweep.run()

    # One message -------------------------------------------------------------------------------------------------

    async def _one(self, called: Wake) -> Outgoing | None:
        """Bring one delivery a step on; the message to send then."""
        key = (called.callback_id, called.document_id)
        if key in self._in_hand:
            # Its other message is being worked on here. Should that one fail, it comes again itself.
            return None
        self._in_hand.add(key)
        try:
            return await self._advance(called, key)
        finally:
            # Before the next message is sent: with a very short pause it may be back at once.
            self._in_hand.discard(key)

    async def _advance(self, called: Wake, key: tuple[str, str]) -> Outgoing | None:
        document = self._callbacks.just_made.take(*key) or await self._read(called)
        if document is None or document["status"] not in OPEN:
            return None
        if called.attempt < document["attempt"]:
            # Somebody wrote the next attempt and perhaps died before scheduling it. Doing so again is harmless: if
            # the message is there already, the queue drops this one by its id.
            return wake(document, document["attempt"], at=due_at(document))
        self._seen += 1
        if self._seen & 15 == 0:  # one of sixteen tells how late deliveries are
            self._sweep.saw(document)
        callback = await self._callbacks.find(called.callback_id)
        if callback is None:
            await self._give_up(document, "callback_deleted", "The callback was deleted.")
            return None
        if callback.state is State.DISABLED:
            await self._give_up(document, "callback_disabled", "The callback is disabled; enable it, then replay.")
            return None
        return await self._through_its_lane(callback, document, key)

    async def _through_its_lane(self, callback: Callback, document: Document, key: object) -> Outgoing | None:
        if not self._lanes.step_in(callback.id, key):
            pause = await self._lanes.enter(callback.id, key)
            if pause is not None:
                return await self._put_off(document, pause)
        outcome: Outcome | None = None
        try:
            outcome = await self._try(callback, document)
        except Unavailable as error:
            log.warning("The address of callback %s cannot be read now: %s", callback.id, error.detail)
        finally:
            self._lanes.leave(callback.id, key, ok=outcome is not None and outcome.confirmed)
        if outcome is None:
            return await self._put_off(document, VAULT_PAUSE_SECONDS)
        return await self._settle(callback, document, outcome)

    async def _try(self, callback: Callback, document: Document) -> Outcome:
        sealed = self._callbacks.sealed
        try:
            version = callback.sealed_version
            destination = sealed.known(callback.id, version) or await sealed.destination(callback.id, version)
        except NotFound:
            return missing_destination(document, iso(self._clock.now()))
        outcome = await self._attempts.make(callback, destination, document)
        if outcome.refused_us:
            sealed.doubt(callback.id)
        return outcome

    async def _settle(self, callback: Callback, document: Document, outcome: Outcome) -> Outgoing | None:
        now = self._clock.now()
        if outcome.confirmed:
            self._callbacks.standing.succeeded(callback.id, now)
            await self._confirm(document, outcome)
            return None
        self._callbacks.standing.failed(callback.id, now)
        log.info(
            "A notification was not confirmed: %s",
            outcome.sentence,
            extra=fields(
                event=document["id"][2:],
                delivery=delivery_id(callback.id, document["id"]),
                attempt=outcome.tried["n"],
            ),
        )
        if outcome.gone:
            await self._give_up(document, "gone", outcome.sentence, outcome)
            await self._callbacks.disable(callback.id, "gone", outcome.sentence, caller=system("deliver_notification"))
            return None
        if document["attempt"] - document["firstAttempt"] >= callback.max_retries:
            detail = f"{outcome.sentence} That was the last of {callback.max_retries + 1} attempts."
            await self._give_up(document, "max_attempts", detail, outcome)
            if callback.ends_when_missing and only_missing(document, outcome.tried):
                said = f"The receiver answered 404 {callback.max_retries + 1} times: it is not there any more."
                await self._callbacks.disable(callback.id, "gone", said, caller=system("deliver_notification"))
            return None
        return await self._schedule(callback, document, outcome, now)

    async def _confirm(self, document: Document, outcome: Outcome) -> None:
        partition = (document["callbackId"],)
        try:
            await self._store.patch(CONTAINER, partition, document["id"], confirmed(document, outcome.tried))
        except NotFound:
            log.info("Delivery %s was confirmed and is no longer in the store.", document["id"])
        if document["status"] == RETRYING:
            self._unconfirmed.gone(document)

    async def _schedule(
        self, callback: Callback, document: Document, outcome: Outcome, now: datetime
    ) -> Outgoing | None:
        """Write the next attempt; its message is sent after this returned."""
        next_at = now + timedelta(seconds=self._retry_seconds)
        if not await self._patch_as_read(document, failed(document, outcome.tried, next_at)):
            return None
        if document["status"] == PENDING:
            for oldest in await self._unconfirmed.add(document, callback.max_unconfirmed):
                await self._drop_oldest(callback, oldest, now)
                if oldest == document["id"]:
                    return None
        return wake(document, document["attempt"] + 1, at=next_at)

    async def _drop_oldest(self, callback: Callback, document_id: str, now: datetime) -> None:
        detail = (
            f"More than {callback.max_unconfirmed} failed notifications of this callback were waiting "
            "(maxUnconfirmedMessages); the oldest is discarded."
        )
        try:
            await self._store.patch(
                CONTAINER,
                (callback.id,),
                document_id,
                discarded("max_unconfirmed", detail, now),
                when={"status": RETRYING},
            )
            DELIVERY_DISCARDED.record(1, reason="max_unconfirmed")
        except (NotFound, PreconditionFailed):
            log.debug("Delivery %s ended by itself before it was dropped.", document_id)

    async def _put_off(self, document: Document, seconds: float) -> Outgoing | None:
        """The same attempt later, in a message of its own: the plain id is the one in hand."""
        until = self._clock.now() + timedelta(seconds=seconds)
        if not await self._patch_as_read(document, put_off(until)):
            return None
        return wake(document, document["attempt"], at=until, suffix=f"later-{compact(until)}")

    async def _give_up(self, document: Document, reason: str, detail: str, outcome: Outcome | None = None) -> None:
        operations = [*discarded(reason, detail, self._clock.now())]
        if outcome is not None:
            operations.append(SetPath("attempts", logged(document, outcome.tried)))
        if await self._patch_as_read(document, operations):
            DELIVERY_DISCARDED.record(1, reason=reason)
        self._unconfirmed.gone(document)

    # The store ---------------------------------------------------------------------------------------------------

    async def _read(self, called: Wake) -> Document | None:
        try:
            return (await self._store.read(CONTAINER, (called.callback_id,), called.document_id)).document
        except NotFound:
            log.warning("A message names a delivery that is not there (any more): %s", called.document_id)
            return None

    async def _patch_as_read(self, document: Document, operations: Sequence[PatchOperation]) -> bool:
        """Only if it still stands as it was read; otherwise somebody else brought it on."""
        expected = {"status": document["status"], "attempt": document["attempt"]}
        try:
            await self._store.patch(CONTAINER, (document["callbackId"],), document["id"], operations, when=expected)
        except (NotFound, PreconditionFailed):
            log.info("Delivery %s was brought on by somebody else.", document["id"])
            return False
        return True
