"""The unconfirmed notifications of a callback: those that failed and are tried again. Beyond its limit the oldest goes.

Counted only when a notification fails for the first time. This process remembers what it knows of a callback for half
a minute, so that a receiver that goes down under load does not cost a query per notification.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from shared.callbacks.document import CONTAINER, RETRYING
from shared.storage import Document, DocumentStore, Equals, Query, every

__all__ = ["Unconfirmed"]

REMEMBER_SECONDS = 30.0
MOST_READ = 2_000
"""More than any callback's limit."""


@dataclass(slots=True)
class _Known:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    created: dict[str, str] = field(default_factory=dict)
    """Delivery -> when it was made."""
    until: float = 0.0


class Unconfirmed:
    """Failed notifications by callback."""

    MOST = 1_000
    """Callbacks remembered at a time."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self._known: dict[str, _Known] = {}

    async def add(self, document: Document, limit: int) -> list[str]:
        """One more that failed (written as such already). Which ones, oldest first, must go for it."""
        callback_id = document["callbackId"]
        known = self._known.get(callback_id)
        if known is None:
            if len(self._known) >= self.MOST:
                self._known.clear()
            known = self._known[callback_id] = _Known()
        async with known.lock:
            if time.monotonic() >= known.until:
                known.created = await self._read(callback_id)
                known.until = time.monotonic() + REMEMBER_SECONDS
            known.created[document["id"]] = document["createdAt"]
            excess = len(known.created) - limit
            if excess <= 0:
                return []
            oldest = sorted(known.created, key=lambda name: (known.created[name], name))[:excess]
            for name in oldest:
                del known.created[name]
            return oldest

    def gone(self, document: Document) -> None:
        """It was confirmed or discarded."""
        known = self._known.get(document["callbackId"])
        if known is not None:
            known.created.pop(document["id"], None)

    async def _read(self, callback_id: str) -> dict[str, str]:
        query = Query((Equals("status", RETRYING),), limit=1000, select=("createdAt",))
        found = every(self._store, CONTAINER, query, partition=(callback_id,), at_most=MOST_READ)
        return {stored.document["id"]: stored.document["createdAt"] async for stored in found}
