"""Queues in Azure: Service Bus through azure-servicebus (aio). Implements ``Queue`` and ``QueueReceiver``.

In Azure the app only sends, and the Functions host receives; under ``python -m local`` the local host receives here.

What Service Bus cannot keep of what the embedded queues keep, the port says: messages beyond one batch are not accepted
all or none, counts are bounded and know only this process's locks, and the time a message was given up is known only
where we gave it up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from shared.azure_connections import AzureConnection
from shared.azure_identity import AzureIdentity
from shared.clock import Clock
from shared.errors import InvalidInput
from shared.messaging.port import DeadLetter, Outgoing, QueueDepth, Received, check_outgoing
from shared.messaging.service_bus_client import ServiceBusClients, Transport
from shared.messaging.service_bus_intake import QueueIntake
from shared.messaging.service_bus_messages import dead_letter, dead_letter_words, enqueued_at, outgoing
from shared.messaging.service_bus_sender import QueueSender
from shared.topology import QueueSpec, topology

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusReceiver

__all__ = ["ServiceBusQueue"]

PATIENCE_SECONDS = 15.0
"""How long a send is tried before its caller is told to come again."""

MOST_COUNTED = 2_000
"""Messages that are looked at to count them. The data plane has no counts; the management API needs other rights."""
PAGE = 250

LOOK_SECONDS = 0.3
"""How long to look for another dead letter to send again."""

CHECKED_SECONDS = 10.0
"""A queue we sent to so recently need not be asked whether it works."""


class ServiceBusQueue:
    """All queues of the topology in one namespace."""

    def __init__(
        self,
        connection: AzureConnection,
        identity: AzureIdentity,
        *,
        clock: Clock,
        transport: Transport = "amqp",
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Never raises and never connects; a half-set connection raises in the first call."""
        self._clock = clock
        self._patience = patience_seconds
        self._clients = ServiceBusClients(connection, identity, transport)
        self._senders: dict[str, QueueSender] = {}
        self._intakes: dict[tuple[str, bool], QueueIntake] = {}

    # Sending -----------------------------------------------------------------------------------------------------

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        """See the port."""
        sender = self._sender(queue)
        for message in messages:
            check_outgoing(message)
        if messages:
            await sender.send(tuple(messages))

    def follows(self, store: object) -> bool:
        """Never: the queue and any store are two services."""
        return False

    async def check(self) -> None:
        """See the port. Opens a link of its own to every queue that was not sent to just now."""
        self._clients.client()
        now = asyncio.get_running_loop().time()
        due = [s for s in map(self._sender, topology().queues) if s.last_success < now - CHECKED_SECONDS]
        outcomes = await asyncio.gather(*(sender.probe() for sender in due), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def check_queue(self, queue: str) -> None:
        """See the port. Opens a link of its own to it."""
        await self._sender(queue).probe()

    async def close(self) -> None:
        """See the port. Takes a few seconds at most."""
        senders, self._senders = list(self._senders.values()), {}
        intakes, self._intakes = list(self._intakes.values()), {}
        await asyncio.gather(*(sender.close() for sender in senders), *(intake.close() for intake in intakes))
        await self._clients.close()

    # Receiving ---------------------------------------------------------------------------------------------------

    async def receive(self, queue: str, limit: int) -> list[Received]:
        """See the port."""
        if limit < 1:
            raise InvalidInput("limit is at least 1.", field="limit")
        return await self._intake(queue).receive(limit)

    async def complete(self, queue: str, received: Received) -> None:
        """See the port."""
        await self._intake(queue).settle(received.lock_token, lambda r, m: r.complete_message(m))

    async def abandon(self, queue: str, received: Received) -> None:
        """See the port."""
        await self._intake(queue).settle(received.lock_token, lambda r, m: r.abandon_message(m))

    async def dead_letter(self, queue: str, received: Received, reason: str) -> None:
        """See the port."""
        words = dead_letter_words(reason, self._clock.now())
        await self._intake(queue).settle(received.lock_token, lambda r, m: r.dead_letter_message(m, **words))

    async def renew(self, queue: str, received: Received) -> None:
        """See the port."""
        await self._intake(queue).settle(received.lock_token, lambda r, m: r.renew_message_lock(m), keep=True)

    # Looking -----------------------------------------------------------------------------------------------------

    async def dead_letters(self, queue: str, limit: int) -> list[DeadLetter]:
        """See the port."""
        intake = self._intake(queue, dead_letters=True)
        return [dead_letter(message) async for message in _peeked(intake, limit)]

    async def redrive(self, queue: str, limit: int) -> int:
        """See the port. One at a time: sent, then completed, under an id made from the dead letter's number, so that a
        redrive that was interrupted can be repeated."""
        intake = self._intake(queue, dead_letters=True)
        sender = self._sender(queue)
        count = 0
        while count < limit and (message := await intake.take(LOOK_SECONDS)) is not None:
            try:
                await sender.send((outgoing(message),))
            except BaseException:
                await intake.give_back(message)
                raise
            await intake.remove(message)
            count += 1
        return count

    async def depth(self, queue: str) -> QueueDepth:
        """See the port. Bounded: looks at the first ``MOST_COUNTED`` messages, and knows the locks of this process."""
        from azure.servicebus import ServiceBusMessageState as State

        intake, dead = self._intake(queue), self._intake(queue, dead_letters=True)
        mine = intake.held_numbers()
        active = scheduled = locked = 0
        oldest = None
        async for message in _peeked(intake, MOST_COUNTED):
            if message.state == State.SCHEDULED:
                scheduled += 1
            elif int(message.sequence_number or 0) in mine:
                locked += 1
            elif message.state == State.ACTIVE:
                active += 1
                oldest = min(oldest or enqueued_at(message), enqueued_at(message))
        given_up = sum([1 async for _ in _peeked(dead, MOST_COUNTED)])
        return QueueDepth(active, scheduled, locked, given_up, oldest)

    # Inside ------------------------------------------------------------------------------------------------------

    def _sender(self, queue: str) -> QueueSender:
        _known(queue)
        found = self._senders.get(queue)
        if found is None:
            found = self._senders[queue] = QueueSender(queue, self._clients, patience_seconds=self._patience)
        return found

    def _intake(self, queue: str, *, dead_letters: bool = False) -> QueueIntake:
        found = self._intakes.get((queue, dead_letters))
        if found is None:
            lock = _known(queue).lock_seconds
            found = QueueIntake(queue, self._clients, self._clock, lock_seconds=lock, dead_letters=dead_letters)
            self._intakes[queue, dead_letters] = found
        return found


def _known(queue: str) -> QueueSpec:
    spec = topology().queue(queue)
    if spec is None:
        raise InvalidInput(f"There is no queue {queue}; infra/topology.json names them.", field="queue")
    return spec


async def _peeked(intake: QueueIntake, most: int) -> AsyncIterator[ServiceBusReceivedMessage]:
    """Messages in the order of their numbers, at most so many."""
    begin, seen = 1, 0
    while seen < most:
        count, start = min(PAGE, most - seen), begin

        async def page(receiver: ServiceBusReceiver, count: int = count, start: int = start) -> object:
            return await receiver.peek_messages(count, sequence_number=start, timeout=5)

        found: list[ServiceBusReceivedMessage] = await intake.call(page)
        if not found:
            return
        for message in found:
            yield message
        seen += len(found)
        begin = int(found[-1].sequence_number or 0) + 1
