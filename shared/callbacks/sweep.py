"""The sweep: deliveries whose message got lost are woken again.

A message gets lost when a process dies between writing a delivery and sending its message, or when the queue gives a
message up. Such a delivery is overdue for good. One that merely stands in a long line is overdue too: so the sweep adds
how late deliveries are when their turn comes, and wakes none that is not much later than that.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta

from shared.callbacks.document import CONTAINER, OPEN, PENDING, QUEUE, due_at, put_off, wake
from shared.callbacks.registry import Callbacks
from shared.clock import Clock, compact, iso, parse_iso
from shared.errors import NotFound, PreconditionFailed
from shared.messaging import Outgoing, Queue
from shared.metrics import DELIVERY_OLDEST_PENDING
from shared.storage import Document, DocumentStore, Equals, Query, Range, every

__all__ = ["Sweep"]

GRACE_SECONDS = 60.0
MOST = 2_000
"""Deliveries woken by one sweep; the others are found by the next."""
TOGETHER = 100
WORTH_TELLING_SECONDS = 5.0
"""Notifications that wait for their first try for less are not looked for."""
MOST_LOOKED_AT = 200

log = logging.getLogger("ovenbridge.delivery")


class Sweep:
    """Finds what is overdue."""

    def __init__(self, store: DocumentStore, queue: Queue, callbacks: Callbacks, clock: Clock) -> None:
        self._store = store
        self._queue = queue
        self._callbacks = callbacks
        self._clock = clock
        self._late = 0.0
        self._late_before = 0.0

    def saw(self, document: Document) -> None:
        """A delivery's turn has come: how late is that?"""
        late = (self._clock.now() - due_at(document)).total_seconds()
        self._late = max(self._late, late)

    async def run(self) -> int:
        """One sweep; how many deliveries were woken."""
        await self._callbacks.tidy()
        now = self._clock.now()
        usual = max(self._late, self._late_before)
        self._late_before, self._late = self._late, 0.0
        overdue = iso(now - timedelta(seconds=GRACE_SECONDS + 2 * usual))
        woken = 0
        for status in OPEN:
            woken += await self._wake(status, overdue, MOST - woken)
        if woken:
            log.warning("%d notifications were overdue and are sent on; their messages had got lost.", woken)
        await self._tell_the_oldest(now)
        return woken

    async def _tell_the_oldest(self, now: datetime) -> None:
        """How long somebody waits to be told for the first time; of a long line, the oldest that were found."""
        where = (Equals("status", PENDING), Range("createdAt", le=iso(now - timedelta(seconds=WORTH_TELLING_SECONDS))))
        query = Query(where, limit=TOGETHER, select=("createdAt", "replayedAt"))
        oldest = 0.0
        async for stored in every(self._store, CONTAINER, query, at_most=MOST_LOOKED_AT):
            since = parse_iso(stored.document.get("replayedAt") or stored.document["createdAt"])
            oldest = max(oldest, (now - since).total_seconds())
        DELIVERY_OLDEST_PENDING.record(oldest)

    async def _wake(self, status: str, overdue: str, most: int) -> int:
        woken = 0
        where = (Equals("status", status), Range("nextAttemptAt", le=overdue))
        fields = ("status", "attempt", "nextAttemptAt", "correlationId", "traceparent")
        while woken < most:
            page = await self._store.query(CONTAINER, Query(where, limit=TOGETHER, select=fields))
            messages = await asyncio.gather(*(self._touch(stored.document) for stored in page.items))
            sent = [message for message in messages if message is not None]
            await self._queue.send(QUEUE, sent)
            woken += len(sent)
            # What was woken is no longer overdue, so the first page is always the next one.
            if len(page.items) < TOGETHER or not sent:
                break
        return woken

    async def _touch(self, document: Document) -> Outgoing | None:
        """Due from now on, so that the next sweep leaves it alone; then a message that no earlier one can swallow."""
        now = self._clock.now()
        expected = {name: document[name] for name in ("status", "attempt", "nextAttemptAt")}
        partition = (document["callbackId"],)
        try:
            await self._store.patch(CONTAINER, partition, document["id"], put_off(now), when=expected)
        except (NotFound, PreconditionFailed):
            return None
        return wake(document, document["attempt"], suffix=f"sweep-{compact(now)}")
