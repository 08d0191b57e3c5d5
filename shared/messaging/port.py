"""The queue port. Two implementations: ``service_bus.py`` (Azure) and ``sqlite.py`` (embedded).

Sending is what ``shared/`` does. Receiving is what a host does: the Functions host in Azure, ``local/`` elsewhere;
it calls the queue function and settles the message by how that ended (return: complete, exception: abandon).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from shared.errors import InvalidInput

__all__ = ["DeadLetter", "Outgoing", "Queue", "QueueDepth", "QueueReceiver", "Received", "check_outgoing"]

MAX_BODY = 200 * 1024
MAX_ID = 128


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send."""

    body: bytes
    """At most 200 KB, so that it fits a Service Bus message with its properties. Carry keys, not payloads."""
    message_id: str
    """Deterministic: the queue drops an id it saw within its duplicate window. **A retry needs a new one.**"""
    at: datetime | None = None
    """Not before this time; ``None``: now."""
    correlation_id: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    """Application properties, e.g. ``traceparent``."""


def check_outgoing(message: Outgoing) -> None:
    """Refuse what no queue takes. Raises ``InvalidInput``."""
    if not isinstance(message.body, bytes) or len(message.body) > MAX_BODY:
        raise InvalidInput(f"A message body is bytes, at most {MAX_BODY}.", field="body")
    if not isinstance(message.message_id, str) or not 1 <= len(message.message_id) <= MAX_ID:
        raise InvalidInput(f"A message id is a text of 1 to {MAX_ID} characters.", field="message_id")


class Received(NamedTuple):
    """A message under lock."""

    body: bytes
    message_id: str
    sequence_number: int
    delivery_count: int
    """1 at the first delivery."""
    enqueued_at: datetime
    correlation_id: str | None
    properties: Mapping[str, str]
    lock_token: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up, with the reason."""

    message: Received
    reason: str
    dead_lettered_at: datetime | None
    """``None``: the backend does not tell. Service Bus keeps no such time; there it is known of messages that our
    receivers gave up, not of those the service itself gave up (too many deliveries, too old)."""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How much waits. Over Service Bus an estimate: its data plane has no counts, so messages are looked at, 2,000 of
    them at most; and a lock is known to the process that holds it, to others its message looks active."""

    active: int
    scheduled: int
    locked: int
    dead_lettered: int
    oldest_active: datetime | None
    """When the oldest message that could be received now became due."""


class Queue(Protocol):
    """The sending side."""

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        """Durably accepted when it returns. Raises ``Unavailable``, ``InvalidInput`` (too large, unknown queue).

        Nothing is sent where one of the messages is not fit to be. Up to 500 messages of 240 KB together are accepted
        all or none; more, over Service Bus, may be accepted in part. After ``Unavailable`` it is not known whether they
        were accepted: **send the same messages again**, with the same ids, and each arrives once within the queue's
        duplicate window."""
        ...

    def follows(self, store: object) -> bool:
        """Do this queue and this store write one log, in the order of asking? Then no message can be seen before what
        was asked of the store earlier is on disk, and nobody need wait for that before sending. Otherwise: state
        first, then the message."""
        ...

    async def check(self) -> None:
        """Can we send? Returns, or raises ``Unavailable`` with what to do. For the readiness probe."""
        ...

    async def check_queue(self, queue: str) -> None:
        """Is there this queue, and may we send to it? Raises ``InvalidInput``: there is none of this name here;
        ``Unavailable`` with what to do."""
        ...

    async def close(self) -> None:
        """Let go of files and connections. Never needed for durability."""
        ...


class QueueReceiver(Protocol):
    """The receiving side, for a host."""

    async def receive(self, queue: str, limit: int) -> list[Received]:
        """Wait until at least one message is due, then lock and return up to ``limit``, oldest first. A lock that is
        not settled within the queue's lock time makes the message due again. Cancel it to stop waiting: a message
        that came at that moment goes to the next who receives here or, if nobody does, back to the queue (over Service
        Bus after some seconds, and that may count as a delivery). Raises ``Unavailable``."""
        ...

    async def complete(self, queue: str, received: Received) -> None:
        """Done: remove it. A lost lock is no error: the message will come again and its effect is idempotent."""
        ...

    async def abandon(self, queue: str, received: Received) -> None:
        """Failed: due again at once, or dead-lettered after the queue's maximum of deliveries."""
        ...

    async def dead_letter(self, queue: str, received: Received, reason: str) -> None:
        """Given up: moved aside with the reason."""
        ...

    async def renew(self, queue: str, received: Received) -> None:
        """Hold the lock for another lock time."""
        ...

    async def dead_letters(self, queue: str, limit: int) -> list[DeadLetter]:
        """Look at what was given up, oldest first."""
        ...

    async def redrive(self, queue: str, limit: int) -> int:
        """Send given-up messages again, under fresh message ids; how many."""
        ...

    async def depth(self, queue: str) -> QueueDepth:
        """How much waits."""
        ...
