"""Publishing: hand the event to the subscribers, then write it into the log.

The order matters. The log entry is written last, so an event that stands in the log has been handed to every
subscriber. Whoever publishes is the outbox: an HTTP caller that got no answer sends again; an alert that was
written and not yet published carries that mark until it was (``alerts/``). Both the fan-out and the log are
idempotent by the event's id, so doing it twice tells nobody twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.clock import Clock, hour_of, iso
from shared.errors import Conflict
from shared.events.model import Event
from shared.storage import Document, DocumentStore

__all__ = ["Accepted", "EventLog", "Subscriber"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A subscriber has taken the event."""

    targets: int
    """For how many."""
    finish: Callable[[], Awaitable[None]] | None = None
    """What remains to be done. It begins before the event is written into the log, and beside it."""


class Subscriber(Protocol):
    """Somebody who wants to be handed every event. Must be idempotent by ``event.id``."""

    async def accept(self, event: Event) -> Accepted | int:
        """Take the event, durably once ``finish`` is done too; answers for how many targets."""
        ...


@dataclass(frozen=True, slots=True)
class EventLog:
    """All events of the last weeks, and the way to add one."""

    store: DocumentStore
    clock: Clock
    subscribers: Sequence[Subscriber]

    async def publish(self, event: Event) -> int:
        """Tell everybody; durable when it returns. Returns the number of targets it was queued for."""
        targets = 0
        # Begun only when all have taken it: if one cannot, nothing is left hanging, and it is published again.
        rest: list[Callable[[], Awaitable[None]]] = []
        for subscriber in self.subscribers:
            accepted = await subscriber.accept(event)
            if isinstance(accepted, int):
                targets += accepted
                continue
            targets += accepted.targets
            if accepted.finish is not None:
                rest.append(accepted.finish)
        if rest:
            await asyncio.gather(*(finish() for finish in rest), self._log(event))
        else:
            await self._log(event)
        return targets

    async def _log(self, event: Event) -> None:
        document: Document = event.to_document()
        document["id"] = f"e:{event.id}"
        # Partitioned by the hour of recording: readers follow the log by a cursor, and an event may be told of long
        # after it happened. Published again in another hour it stands there twice; readers go by eventId.
        now = self.clock.now()
        document["hour"] = hour_of(now)
        document["recordedAt"] = iso(now)
        try:
            await self.store.create("events", document)
        except Conflict:
            return
