"""From the queue: giving each message its effect, once; and finding those that were stored and never queued."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from shared import json_text
from shared.clock import Clock, iso, parse_iso
from shared.errors import InvalidInput, NotFound, OvenbridgeError, PreconditionFailed
from shared.inbox.kinds import Kinds, NotNow
from shared.inbox.model import InboundMessage, partition_of
from shared.inbox.service import CONTAINER, QUEUE, Inbox
from shared.inbox.sources import HookSources
from shared.observability import bound
from shared.storage import Document, DocumentStore, Equals, Increment, PatchOperation, Query, SetPath, every
from shared.topology import topology
from shared.tracing import mark

__all__ = ["InboundWork"]

log = logging.getLogger("ovenbridge.inbox")

OVERDUE = timedelta(seconds=60)
"""So long after it was queued a message that has no effect yet is queued again; each time twice as long."""
LONGEST_PAUSE = timedelta(hours=1)
SWEPT_AT_ONCE = 500
PATIENCE = timedelta(days=2)
"""So long after it came in a message may wait for what it needs."""
_WAITING = ("status", "sends", "sentAt", "correlationId", "traceparent")


class InboundWork:
    """Handles queued messages and sweeps up forgotten ones."""

    def __init__(
        self,
        store: DocumentStore,
        inbox: Inbox,
        sources: HookSources,
        clock: Clock,
        *,
        kinds: Kinds,
    ) -> None:
        self._store = store
        self._inbox = inbox
        self._sources = sources
        self._clock = clock
        self._kinds = kinds

    async def handle(self, body: bytes, delivery_count: int) -> None:
        """One queue message ``{"id"}``. Safe to repeat: a message that has its effect is left alone.

        Raises:
            OvenbridgeError: the effect failed; the queue delivers again.
        """
        wanted = str(json_text.load(body)["id"])
        try:
            message = await self._inbox.get(wanted)
        except NotFound:
            log.warning("The inbox message %s is gone: it expired before it was handled", wanted)
            return
        if message.status != "received":
            return
        mark(inbox_id=message.id, source=message.source, delivery_count=delivery_count)
        with bound(message.correlation_id or wanted):
            await self._give_effect(message, last_try=delivery_count >= topology().queues[QUEUE].max_delivery_count)

    async def sweep(self) -> int:
        """Queue again what has waited too long (the process died between storing and queueing); how many."""
        again = 0
        continuation: str | None = None
        for _ in range(100):
            sources, continuation = await self._sources.list(limit=1000, continuation=continuation)
            for source in sources:
                again += await self._sweep_source(source.id)
            if continuation is None:
                break
        return again

    async def _give_effect(self, message: InboundMessage, *, last_try: bool) -> None:
        try:
            source = await self._sources.get(message.source)
            effect = await self._kinds.get(source.kind).handle(source, message)
        except (InvalidInput, NotFound) as error:
            await self._settle(message, "failed", reason=error.detail)
        except NotNow as error:
            if self._clock.now() - message.received_at >= PATIENCE:
                await self._settle(message, "failed", reason=error.detail)
            else:
                await self._put_off(message, error.detail)
        except Exception as error:
            # Whatever it was: after the last try the message must say so, and the queue must hear of it.
            if last_try:
                detail = error.detail if isinstance(error, OvenbridgeError) else "It failed unexpectedly; see the log."
                await self._settle(message, "failed", reason=detail)
            raise
        else:
            await self._settle(message, "handled", effect=effect)

    async def _put_off(self, message: InboundMessage, reason: str) -> None:
        """Leave it to the sweeper. People see what it waits for."""
        log.warning("The inbox message %s waits: %s", message.id, reason)
        try:
            await self._store.patch(
                CONTAINER,
                partition_of(message.id),
                message.id,
                [SetPath("reason", reason)],
                when={"status": "received"},
            )
        except PreconditionFailed:
            log.info("The inbox message %s was settled by somebody else", message.id)

    async def _settle(
        self,
        message: InboundMessage,
        status: str,
        *,
        reason: str | None = None,
        effect: Mapping[str, Any] | None = None,
    ) -> None:
        if reason is not None:
            log.error("The inbox message %s has no effect: %s", message.id, reason)
        changes = [
            SetPath("status", status),
            SetPath("handledAt", iso(self._clock.now())),
            SetPath("reason", reason),
            SetPath("effect", effect),
        ]
        for path, name, known in (
            ("workOrderId", "work_order_id", message.work_order_id),
            ("equipmentId", "equipment_id", message.equipment_id),
        ):
            # Some senders only point at what they tell of: what it is about is known now.
            if known is None and effect is not None and isinstance(effect.get(name), str):
                changes.append(SetPath(path, effect[name]))
        when = {"status": "received", "replays": message.replays} if message.replays else {"status": "received"}
        try:
            await self._store.patch(CONTAINER, partition_of(message.id), message.id, changes, when=when)
        except PreconditionFailed:
            log.info("The inbox message %s was settled by somebody else", message.id)

    async def _sweep_source(self, source: str) -> int:
        now = self._clock.now()
        query = Query((Equals("status", "received"),), limit=100, select=_WAITING)
        waiting = [
            stored.document
            async for stored in every(self._store, CONTAINER, query, partition=(source,), at_most=SWEPT_AT_ONCE)
        ]
        again = 0
        for document in waiting:
            pause = min(OVERDUE * 2 ** min(document["sends"] - 1, 10), LONGEST_PAUSE)
            if now - parse_iso(document["sentAt"]) >= pause:
                again += await self._send_again(document)
        return again

    async def _send_again(self, document: Document) -> int:
        name, number = document["id"], document["sends"] + 1
        changes: list[PatchOperation] = [SetPath("sentAt", iso(self._clock.now())), Increment("sends")]
        when = {"status": "received", "sends": document["sends"]}
        try:
            await self._store.patch(CONTAINER, partition_of(name), name, changes, when=when)
        except PreconditionFailed:
            return 0  # another sweeper, or the handler, was faster
        await self._inbox.send(name, number, document.get("correlationId"), document.get("traceparent"))
        log.warning("The inbox message %s waited too long and was queued again", name)
        return 1
