"""From one event to a delivery per callback: documents first, then the messages that wake them.

What if the process dies in between? The publisher got no answer and publishes again: the documents are there already
(the same ids) and the messages are sent. If nobody publishes again, the sweeper finds the deliveries overdue.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

from shared.callbacks.document import CONTAINER, DISCARDED, PENDING, QUEUE, first_wakes, new_delivery
from shared.callbacks.model import Callback, State
from shared.clock import Clock, iso
from shared.events import Accepted, Event
from shared.messaging import Queue
from shared.metrics import DELIVERY_DISCARDED
from shared.observability import correlation_id
from shared.storage import Document, DocumentStore
from shared.tracing import carried

__all__ = ["FanOut", "JustMade"]

TOGETHER = 100
"""Deliveries of one event that are written and sent in one go."""


class JustMade:
    """Deliveries that this process has just created, so that its own worker need not read them back.

    Each is given out once: whoever comes second with the same message asks the store. Nobody but the worker changes a
    delivery that has not been tried yet, except a deleted callback, which the worker looks up anyway.
    """

    MOST = 4_096
    MOST_BYTES = 16_384
    """Of an event's data; larger ones are read back, so that memory stays small."""

    def __init__(self) -> None:
        self._documents: OrderedDict[tuple[str, str], Document] = OrderedDict()

    def keep(self, document: Document) -> None:
        """Remember it."""
        self._documents[document["callbackId"], document["id"]] = document
        if len(self._documents) > self.MOST:
            self._documents.popitem(last=False)

    def take(self, callback_id: str, document_id: str) -> Document | None:
        """Give it out, once."""
        return self._documents.pop((callback_id, document_id), None)


class FanOut:
    """Creates deliveries and wakes them."""

    def __init__(self, store: DocumentStore, queue: Queue, clock: Clock, just_made: JustMade) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._just_made = just_made

    async def tell(self, event: Event, callbacks: Sequence[Callback]) -> Accepted:
        """For how many callbacks a delivery waits, and what is left to do. Idempotent by the event's id."""
        documents = self._documents(event, callbacks)
        waiting = [document for document in documents if document["status"] == PENDING]
        keep = len(documents) <= JustMade.MOST and _small(event)
        if len(documents) <= TOGETHER and self._queue.follows(self._store):
            # One log: the documents and then the messages, in one commit most of the time. Not where it takes several
            # calls: a message must not overtake a document that has not even been asked for.
            async def create_and_wake() -> None:
                await asyncio.gather(self._create(documents, keep=keep), self._wake(waiting))

            return Accepted(len(waiting), create_and_wake)
        await self._create(documents, keep=keep)
        return Accepted(len(waiting), partial(self._wake, waiting))

    def _documents(self, event: Event, callbacks: Sequence[Callback]) -> list[Document]:
        stored_event = event.to_document()
        now, correlation = self._clock.now(), correlation_id()
        moment = iso(now)
        trace = carried(stored_event.get("correlationId", correlation))
        documents = [new_delivery(callback.id, stored_event, moment, correlation, trace) for callback in callbacks]
        for document, callback in zip(documents, callbacks, strict=True):
            if callback.state is State.DISABLED:
                document.update(discard_as_made(callback, moment))
        return documents

    async def _create(self, documents: Sequence[Document], *, keep: bool) -> None:
        for start in range(0, len(documents), TOGETHER):
            some = documents[start : start + TOGETHER]
            fresh = await self._store.create_each(CONTAINER, some)
            for document, made in zip(some, fresh, strict=True):
                if made and document["status"] == DISCARDED:
                    DELIVERY_DISCARDED.record(1, reason=document["discardReason"])
                elif keep and made:
                    self._just_made.keep(document)

    async def _wake(self, documents: Sequence[Document]) -> None:
        """Those that were there already are woken too: whoever made them may have died before sending."""
        messages = first_wakes(documents)
        for start in range(0, len(messages), TOGETHER):
            await self._queue.send(QUEUE, messages[start : start + TOGETHER])


def discard_as_made(callback: Callback, moment: str) -> Document:
    """A disabled callback is told nothing, but nothing is lost either: it can be replayed."""
    return {
        "status": DISCARDED,
        "nextAttemptAt": None,
        "doneAt": moment,
        "discardReason": "callback_disabled",
        "discardDetail": f"The callback is disabled ({callback.disabled_reason or 'by hand'}); enable it, then replay.",
    }


def _small(event: Event) -> bool:
    """Is its data small? Estimated without writing it out."""
    budget = JustMade.MOST_BYTES
    pending: list[object] = [event.data]
    while pending and budget > 0:
        item = pending.pop()
        budget -= 16
        if isinstance(item, dict):
            budget -= sum(len(key) for key in item)
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, str):
            budget -= len(item)
    return budget > 0
