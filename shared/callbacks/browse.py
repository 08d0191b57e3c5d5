"""Looking at deliveries, and sending them again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.access import Caller
from shared.audit import AuditLog
from shared.callbacks.document import (
    CONFIRMED,
    CONTAINER,
    DISCARDED,
    OPEN,
    QUEUE,
    delivery_id,
    parse_delivery_id,
    replayed,
    wake,
)
from shared.callbacks.model import State
from shared.callbacks.registry import Callbacks
from shared.clock import Clock, iso
from shared.errors import Conflict, NotFound, PreconditionFailed
from shared.messaging import Outgoing, Queue
from shared.storage import Condition, Document, DocumentStore, Equals, In, Page, Query, Range

__all__ = ["Browse", "DeliveryFilter", "Replayed"]

Status = Literal["pending", "confirmed", "discarded"]


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries."""

    callback_id: str | None = None
    status: Status | None = None
    event_type: str | None = None
    since: datetime | None = None
    """When it was made; inclusive."""
    until: datetime | None = None
    """Exclusive."""

    def conditions(self) -> tuple[Condition, ...]:
        """For a query."""
        found: list[Condition] = []
        if self.status == "pending":
            found.append(In("status", OPEN))
        elif self.status is not None:
            found.append(Equals("status", self.status))
        if self.event_type is not None:
            found.append(Equals("eventType", self.event_type))
        if self.since is not None or self.until is not None:
            ge = iso(self.since) if self.since else None
            found.append(Range("createdAt", ge=ge, lt=iso(self.until) if self.until else None))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay of many did."""

    replayed: int
    skipped: int
    """Somebody else brought them on, or their callback is gone or disabled."""
    more: bool
    """There are more that match."""


class Browse:
    """The delivery log."""

    def __init__(self, store: DocumentStore, queue: Queue, callbacks: Callbacks, audit: AuditLog, clock: Clock) -> None:
        self._store = store
        self._queue = queue
        self._callbacks = callbacks
        self._audit = audit
        self._clock = clock

    async def list(self, wanted: DeliveryFilter, *, limit: int, continuation: str | None) -> Page:
        """A page, newest first for one callback; across callbacks in no promised order.

        Raises:
            InvalidInput: the continuation is not ours.
        """
        partition = None if wanted.callback_id is None else (wanted.callback_id,)
        query = Query(
            wanted.conditions(),
            order_by=None if partition is None else "createdAt",
            descending=True,
            limit=limit,
            continuation=continuation,
        )
        return await self._store.query(CONTAINER, query, partition=partition)

    async def get(self, id: str) -> Document:
        """One delivery by its ``webhook-id``. Raises ``NotFound``."""
        callback_id, document_id = parse_delivery_id(id)
        try:
            return (await self._store.read(CONTAINER, (callback_id,), document_id)).document
        except NotFound:
            raise NotFound("There is no such delivery; its id is the `webhook-id` of the notification.") from None

    async def replay(self, id: str, *, caller: Caller) -> Document:
        """Send one again: the same ``webhook-id``, a fresh series of attempts.

        Raises:
            NotFound: there is no such delivery.
            Conflict: it is still being tried, or its callback is gone or disabled.
        """
        document = await self.get(id)
        if document["status"] in OPEN:
            raise Conflict("This delivery is still being tried; there is nothing to replay.")
        callback = await self._callbacks.find(document["callbackId"])
        if callback is None:
            raise Conflict("The callback of this delivery was deleted; register it anew, then events go there.")
        if callback.state is State.DISABLED:
            raise Conflict("The callback of this delivery is disabled; enable it first.")
        async with self._audit.recorded(
            f"callback:{callback.id}",
            actor=caller.actor,
            action="delivery.replayed",
            target=delivery_id(callback.id, document["id"]),
            before={"status": document["status"]},
        ):
            message = await self._begin_again(document)
            if message is None:
                raise Conflict("Somebody else is replaying this delivery.")
            await self._queue.send(QUEUE, [message])
        return await self.get(id)

    async def replay_many(self, wanted: DeliveryFilter, *, limit: int, caller: Caller) -> Replayed:
        """Send again what was confirmed or discarded and matches, at most ``limit``."""
        page = await self.list(wanted, limit=limit, continuation=None)
        stream = "deliveries" if wanted.callback_id is None else f"callback:{wanted.callback_id}"
        asked = {
            "callback_id": wanted.callback_id,
            "status": wanted.status,
            "event_type": wanted.event_type,
            "since": iso(wanted.since) if wanted.since else None,
            "until": iso(wanted.until) if wanted.until else None,
            "matching": len(page.items),
        }
        done = 0
        async with self._audit.recorded(
            stream, actor=caller.actor, action="deliveries.replayed", target=wanted.callback_id or "all", after=asked
        ):
            messages: list[Outgoing] = []
            for stored in page.items:
                message = await self._begin_again(stored.document) if await self._possible(stored.document) else None
                if message is not None:
                    messages.append(message)
            for start in range(0, len(messages), 100):
                await self._queue.send(QUEUE, messages[start : start + 100])
            done = len(messages)
        return Replayed(done, len(page.items) - done, page.continuation is not None)

    async def _possible(self, document: Document) -> bool:
        if document["status"] not in (CONFIRMED, DISCARDED):
            return False
        callback = await self._callbacks.find(document["callbackId"])
        return callback is not None and callback.state is State.ACTIVE

    async def _begin_again(self, document: Document) -> Outgoing | None:
        """Written first; should the process die before the message is sent, the sweep sends it."""
        attempt, operations = replayed(document, self._clock.now())
        expected = {"status": document["status"], "attempt": document["attempt"]}
        try:
            await self._store.patch(CONTAINER, (document["callbackId"],), document["id"], operations, when=expected)
        except (NotFound, PreconditionFailed):
            return None
        return wake(document, attempt)
