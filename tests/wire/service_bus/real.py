"""The adapter over a real namespace, or Microsoft's emulator, when ``OVENBRIDGE_TEST_SERVICEBUS`` names one.

Its queues are those of ``infra/topology.json``, made for tests: what is found there is removed. Its clock cannot be
moved: a test that tries is skipped and says so. Its duplicate detection outlives a test: ids get a word of their own.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusMessageState

from shared.azure_connections import AzureConnection
from shared.azure_identity import AzureIdentity
from shared.clock import Clock
from shared.messaging import DeadLetter, Outgoing, QueueDepth, Received
from shared.messaging.service_bus import ServiceBusQueue

__all__ = ["MOMENT", "REAL", "RealQueue", "real_service_bus_queue"]

REAL = os.environ.get("OVENBRIDGE_TEST_SERVICEBUS", "")
"""``<namespace>.servicebus.windows.net`` (sign-in by identity) or a connection string."""

MOMENT = 2.0 if REAL else 0.15
"""Seconds to wait for what is there already; a namespace is some way off."""

QUEUES = ("callback-deliveries", "poll-batches")
"""Those that the suite uses."""

NEAR = timedelta(minutes=1)


class RealQueue:
    """A queue as the suite expects it: empty at first, with ids and times of its own."""

    def __init__(self, queue: ServiceBusQueue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._word = f"{secrets.token_hex(4)}-"
        self._skew = timedelta()
        self._locked: dict[str, tuple[str, Received]] = {}

    def begin(self) -> None:
        """From now on the namespace's time and the test's go together."""
        self._skew = datetime.now(UTC) - self._clock.now()

    async def purge(self) -> None:
        """Remove what is there: scheduled, active, given up, and what this test holds."""
        for name, received in tuple(self._locked.values()):
            await self.complete(name, received)
        for name in QUEUES:
            await self._cancel_scheduled(name)
            while await self._queue.redrive(name, 100):
                continue
            while found := await self._soon(name):
                for received in found:
                    await self._queue.complete(name, received)

    async def _cancel_scheduled(self, name: str) -> None:
        clients = self._queue._clients
        async with clients.receiver(name) as receiver, clients.sender(name) as sender:
            found = await receiver.peek_messages(250, sequence_number=1, timeout=10)
            numbers = [m.sequence_number or 0 for m in found if m.state is ServiceBusMessageState.SCHEDULED]
            await sender.cancel_scheduled_messages(numbers, timeout=10)

    async def _soon(self, name: str) -> list[Received]:
        try:
            return await asyncio.wait_for(self._queue.receive(name, 100), MOMENT)
        except TimeoutError:
            return []

    def _ours(self, received: Received) -> Received:
        """Its id and time as the test knows them; the test's clock stands still, the namespace's does not."""
        sent = received.enqueued_at - self._skew
        near = abs(sent - self._clock.now()) < NEAR
        name = received.message_id.removeprefix(self._word)
        return received._replace(message_id=name, enqueued_at=self._clock.now() if near else sent)

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        room = 128 - len(self._word)
        marked = [
            replace(m, message_id=f"{self._word}{m.message_id[:room]}") if 1 <= len(m.message_id) <= 128 else m
            for m in messages
        ]
        await self._queue.send(queue, [m if m.at is None else replace(m, at=m.at + self._skew) for m in marked])

    def follows(self, store: object) -> bool:
        return self._queue.follows(store)

    async def check(self) -> None:
        await self._queue.check()

    async def check_queue(self, queue: str) -> None:
        await self._queue.check_queue(queue)

    async def close(self) -> None:
        await self._queue.close()

    async def receive(self, queue: str, limit: int) -> list[Received]:
        while True:
            found = await self._queue.receive(queue, limit)
            for received in found:
                self._locked[received.lock_token] = (queue, received)
            ours = [self._ours(received) for received in found if self._word in received.message_id]
            for received in found:
                if self._word not in received.message_id:  # an earlier run's, whose lock has ended
                    await self.complete(queue, received)
            if ours:
                return ours

    async def complete(self, queue: str, received: Received) -> None:
        self._locked.pop(received.lock_token, None)
        await self._queue.complete(queue, received)

    async def abandon(self, queue: str, received: Received) -> None:
        self._locked.pop(received.lock_token, None)
        await self._queue.abandon(queue, received)

    async def dead_letter(self, queue: str, received: Received, reason: str) -> None:
        self._locked.pop(received.lock_token, None)
        await self._queue.dead_letter(queue, received, reason)

    async def renew(self, queue: str, received: Received) -> None:
        await self._queue.renew(queue, received)

    async def dead_letters(self, queue: str, limit: int) -> list[DeadLetter]:
        found = await self._queue.dead_letters(queue, limit)
        return [replace(dead, message=self._ours(dead.message)) for dead in found]

    async def redrive(self, queue: str, limit: int) -> int:
        return await self._queue.redrive(queue, limit)

    async def depth(self, queue: str) -> QueueDepth:
        return await self._queue.depth(queue)


def _cannot_be_moved(*_: object) -> None:
    pytest.skip("The clock of a real namespace cannot be moved.")


@asynccontextmanager
async def real_service_bus_queue(folder: Path, clock: Clock) -> AsyncIterator[RealQueue]:
    """The adapter over the namespace that the environment names."""
    by_key = "SharedAccess" in REAL
    connection = AzureConnection(
        "ServiceBusConnection", wanted=True, address="" if by_key else REAL, connection_string=REAL if by_key else ""
    )
    identity = AzureIdentity(os.environ.get("AZURE_CLIENT_ID", ""))
    queue = RealQueue(ServiceBusQueue(connection, identity, clock=clock), clock)
    try:
        await queue.purge()
        queue.begin()
        clock.advance = _cannot_be_moved  # type: ignore[attr-defined]
        yield queue
        await queue.purge()
    finally:
        await queue.close()
        await identity.close()
