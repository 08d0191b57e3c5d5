"""The inbox: what came in from outside, stored as it came before anything is done with it.

Stored first, queued second, answered third. If the process dies between storing and queueing, the sender gets no
answer and sends again, or the sweeper (``handling.py``) finds the message; either way it is handled, and once in
effect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared import json_text
from shared.audit import AuditLog
from shared.clock import Clock, day_of, iso, parse_iso
from shared.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from shared.ids import digest_id, new_id
from shared.inbox.model import (
    SOURCE,
    InboundMessage,
    Verdict,
    body_fields,
    kept_headers,
    message_id,
    partition_of,
)
from shared.messaging import Outgoing, Queue
from shared.observability import correlation_id
from shared.storage import Condition, Document, DocumentStore, Equals, Increment, PatchOperation, SetPath
from shared.storage.newest import NewestFirst
from shared.tracing import carried, properties

__all__ = ["Accepted", "Inbox", "InboxFilter"]

CONTAINER = "inbound"
QUEUE = "inbound-events"
KEPT = timedelta(days=8)
"""Messages expire after seven days (topology); nothing older need be looked for."""
MAX_WITHIN = 3_600
MAX_KEPT_BYTES = 262_144
"""Of a message that was answered on the spot so much is kept; its length and digest are those of the whole."""


_NOT_REPLAYED = {
    "rejected": "was rejected at the door",
    "received": "is still waiting to be handled",
    "answered": "was answered on the spot",
}


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a message at the door."""

    id: str
    duplicate: bool
    """It was there already; nothing new will happen."""


@dataclass(frozen=True, slots=True)
class InboxFilter:
    """What is looked for; ``None``: anything."""

    source: str | None = None
    event: str | None = None
    verdict: str | None = None
    status: str | None = None
    equipment_id: str | None = None
    work_order_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[Condition]:
        """As the store understands it; source and times are not among them."""
        wanted = {
            "event": self.event,
            "verdict": self.verdict,
            "status": self.status,
            "equipmentId": self.equipment_id,
            "workOrderId": self.work_order_id,
        }
        return [Equals(path, value) for path, value in wanted.items() if value is not None]


class Inbox:
    """Raw messages with their verdict, duplicates and effect."""

    def __init__(self, store: DocumentStore, queue: Queue, audit: AuditLog, clock: Clock) -> None:
        self._store = store
        self._queue = queue
        self._audit = audit
        self._clock = clock

    async def accept(
        self,
        source: str,
        raw: bytes,
        headers: Mapping[str, str],
        *,
        dedupe_key: str | None,
        verdict: Verdict,
        event: str | None = None,
        reason: str | None = None,
        within_seconds: int | None = None,
        equipment_id: str | None = None,
        work_order_id: str | None = None,
        came_at: datetime | None = None,
    ) -> Accepted:
        """Store a message and put it into the queue; durable when it returns.

        Args:
            source: id of the hook source.
            raw: the body, byte for byte.
            headers: of the call; credentials among them are not kept.
            dedupe_key: what makes it the same message when it comes again today or came yesterday; ``None``: every
                message is a new one.
            verdict: what the signature said. A ``rejected`` message is kept for people and has no effect; it can never
                stand in the way of a genuine one with the same key.
            event: what the sender calls it.
            reason: why it was rejected.
            within_seconds: the key counts for so long only, at most an hour: for senders without message ids, whose
                equal bodies may be two happenings.
            equipment_id: which machine it is about, if that is known at the door.
            work_order_id: likewise.
            came_at: when it came in, if that was earlier and elsewhere: at a relay. Brought again with the same time it
                is the same message, however late.
        """
        now = self._clock.now()
        came = came_at or now
        new, earlier = self._names(source, dedupe_key if verdict != "rejected" else None, within_seconds, came)
        if earlier is not None and await self._came_before(earlier, came, within_seconds):
            return Accepted(earlier, duplicate=True)
        document: Document = {
            "id": new,
            "source": source,
            "day": partition_of(new)[1],
            "receivedAt": iso(came),
            "event": event,
            "verdict": verdict,
            "reason": reason,
            "status": "rejected" if verdict == "rejected" else "received",
            "headers": kept_headers(headers),
            "bytes": len(raw),
            "sha256": hashlib.sha256(raw).hexdigest(),
            "sends": 0 if verdict == "rejected" else 1,
            "sentAt": iso(now),
            "equipmentId": equipment_id,
            "workOrderId": work_order_id,
            "correlationId": correlation_id(),
            "traceparent": carried(correlation_id()),
            **body_fields(raw),
        }
        try:
            await self._store.create(CONTAINER, document)
        except Conflict:
            await self._count_duplicate(new)
            return Accepted(new, duplicate=True)
        if verdict != "rejected":
            await self.send(new, 1, correlation_id(), document["traceparent"])
        return Accepted(new, duplicate=False)

    async def keep(
        self,
        source: str,
        raw: bytes,
        headers: Mapping[str, str],
        *,
        event: str,
        effect: Mapping[str, Any],
        equipment_id: str | None = None,
    ) -> str:
        """Keep a message that was answered on the spot, with its answer: for looking back. It is not queued."""
        now = self._clock.now()
        new, _ = self._names(source, None, None, now)
        document: Document = {
            "id": new,
            "source": source,
            "day": day_of(now),
            "receivedAt": iso(now),
            "event": event,
            "verdict": "unsigned",
            "reason": None,
            "status": "answered",
            "headers": kept_headers(headers),
            "bytes": len(raw),
            "sha256": hashlib.sha256(raw).hexdigest(),
            "handledAt": iso(now),
            "effect": effect,
            "equipmentId": equipment_id,
            "correlationId": correlation_id(),
            **body_fields(raw[:MAX_KEPT_BYTES]),
        }
        await self._store.create(CONTAINER, document)
        return new

    async def send(self, id: str, number: int, correlation: str | None, trace: str | None) -> None:
        """Wake the handler. The message id differs each time: the queue drops one that it has seen."""
        body = json_text.dump({"id": id})
        message = Outgoing(body, f"{id}:{number}", correlation_id=correlation, properties=properties(trace))
        await self._queue.send(QUEUE, [message])

    async def get(self, id: str) -> InboundMessage:
        """One message. Raises ``NotFound``: it never was, or is older than the inbox keeps."""
        try:
            stored = await self._store.read(CONTAINER, partition_of(id), id)
        except NotFound as err:
            raise NotFound("There is no such message in the inbox; messages are kept for a week.") from err
        return InboundMessage.from_document(stored.document)

    async def list(
        self, wanted: InboxFilter, *, limit: int = 100, continuation: str | None = None
    ) -> tuple[list[InboundMessage], str | None]:
        """A page of messages, newest first. Raises ``InvalidInput`` for a foreign continuation."""
        now = self._clock.now()
        search = NewestFirst(
            self._store,
            CONTAINER,
            "receivedAt",
            wanted.conditions(),
            partition=(wanted.source,) if wanted.source is not None else None,
        )
        found, place = await search.page(
            since=max(wanted.since or now - KEPT, now - KEPT),
            until=wanted.until or now + timedelta(days=1),
            limit=limit,
            continuation=continuation,
        )
        return [InboundMessage.from_document(document) for document in found], place

    async def replay(self, id: str, *, actor: Mapping[str, str]) -> InboundMessage:
        """Have a message handled again, as a new happening: subscribers are told once more.

        Raises:
            NotFound: there is no such message.
            Conflict: it was rejected, or is being handled.
        """
        partition = partition_of(id)
        message = await self.get(id)
        if (why := _NOT_REPLAYED.get(message.status)) is not None:
            raise Conflict(f"This message {why}; only handled and failed ones can be replayed.")
        recorded = self._audit.recorded(f"hook:{message.source}", actor=actor, action="inbox.replayed", target=id)
        async with recorded:
            number = message.sends + 1
            changes: list[PatchOperation] = [
                SetPath("status", "received"),
                SetPath("reason", None),
                SetPath("sentAt", iso(self._clock.now())),
                Increment("sends"),
                Increment("replays"),
            ]
            when = {"status": message.status, "sends": message.sends}
            try:
                stored = await self._store.patch(CONTAINER, partition, id, changes, when=when)
            except PreconditionFailed as err:
                raise Conflict("Somebody else has just replayed this message.") from err
            await self.send(id, number, message.correlation_id, stored.document.get("traceparent"))
        return InboundMessage.from_document(stored.document)

    @staticmethod
    def _names(source: str, key: str | None, within: int | None, now: datetime) -> tuple[str, str | None]:
        """The message's id, and the id under which the same one may have come before."""
        if not SOURCE.fullmatch(source):
            raise InvalidInput(
                "A source is named with lower-case letters, digits and `-`, at most 63 characters.", field="source"
            )
        day = day_of(now)
        if key is None:
            return message_id(source, day, digest_id("new", new_id())), None
        if within is None:
            digest = digest_id("key", key)
            return message_id(source, day, digest), message_id(source, day_of(now - timedelta(days=1)), digest)
        window = max(1, min(within, MAX_WITHIN))
        number = _second_of_day(now) // window
        # One name per window of the day; the window before may belong to yesterday.
        before = now - timedelta(seconds=_second_of_day(now) - (number - 1) * window)
        earlier = _second_of_day(before) // window
        return (
            message_id(source, day, digest_id("within", key, str(number))),
            message_id(source, day_of(before), digest_id("within", key, str(earlier))),
        )

    async def _came_before(self, id: str, now: datetime, within: int | None) -> bool:
        try:
            stored = await self._store.read(CONTAINER, partition_of(id), id)
        except NotFound:
            return False
        if within is not None and (now - parse_iso(stored.document["receivedAt"])).total_seconds() >= within:
            return False
        await self._count_duplicate(id)
        return True

    async def _count_duplicate(self, id: str) -> None:
        changes: list[PatchOperation] = [Increment("duplicates"), SetPath("lastDuplicateAt", iso(self._clock.now()))]
        await self._store.patch(CONTAINER, partition_of(id), id, changes)


def _second_of_day(moment: datetime) -> int:
    return moment.hour * 3600 + moment.minute * 60 + moment.second
