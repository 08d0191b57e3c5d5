"""Sending to one queue: one SDK sender per process, one call at a time, and what waits meanwhile goes as one batch.

The SDK's sender is not made for concurrent callers, and opening its link costs half a second; so it is kept, and
whoever sends while a call is under way joins the next batch. A batch is one transfer: all of it is accepted or nothing.

What may go wrong with a send, and what we do: the answer is lost, or the link, or the SDK hangs (a rejection without
``info`` makes 7.15 wait for ever, whatever ``timeout=`` it was given). Then the sender is thrown away and the same
messages are sent again over a new one: their ids are the same, so a queue with duplicate detection keeps one of each.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import InvalidInput, Unavailable
from shared.messaging.port import Outgoing
from shared.messaging.service_bus_client import ServiceBusClients, close_within
from shared.messaging.service_bus_errors import BUSY_PAUSE_SECONDS, Trouble, trouble
from shared.messaging.service_bus_messages import to_sdk, weight
from shared.metrics import QUEUE_SENDS

if TYPE_CHECKING:
    from azure.servicebus.aio import ServiceBusSender

__all__ = ["QueueSender"]

log = logging.getLogger("ovenbridge.servicebus")

ATTEMPT_SECONDS = 6.0
"""For one try, opening the link and fetching a token included."""

GRACE_SECONDS = 0.5
"""So much longer than the ``timeout=`` we give the SDK do we wait for it to keep it."""

BATCH_BYTES = 240 * 1024
"""Below the 256 KB of the Standard tier; a batch may hold one message of our largest size and little else."""
BATCH_MESSAGES = 500

CHECK_SECONDS = 4.0
"""Below the patience of the readiness page, so that our own sentence is the one that is shown."""
CLOSE_SECONDS = 2.0


@dataclass(slots=True, eq=False)
class _Group:
    """What one caller wants to send."""

    messages: Sequence[Outgoing]
    done: asyncio.Future[None]
    since: float


class QueueSender:
    """Sends to one queue."""

    def __init__(self, queue: str, clients: ServiceBusClients, *, patience_seconds: float) -> None:
        self._queue = queue
        self._clients = clients
        self._patience = patience_seconds
        self._attempt = min(ATTEMPT_SECONDS, patience_seconds / 2)
        self._waiting: deque[_Group] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._sender: ServiceBusSender | None = None
        self._opened = False
        """Has the link that is kept been used with success?"""
        self._closing: set[asyncio.Task[None]] = set()
        self.last_success = float("-inf")
        """When a link was opened or a message accepted; the loop's time."""

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Accepted when it returns. Raises ``Unavailable``, or ``InvalidInput`` where the queue takes no such size."""
        loop = asyncio.get_running_loop()
        group = _Group(messages, loop.create_future(), loop.time())
        self._waiting.append(group)
        if self._pump is None or self._pump.done():
            self._pump = loop.create_task(self._run())
        await group.done

    async def probe(self) -> None:
        """Open a link of its own and close it: there is such a queue and we may send. Leaves nothing behind.

        Raises ``Unavailable``.
        """
        sender = self._clients.sender(self._queue)
        try:
            async with asyncio.timeout(min(self._attempt, CHECK_SECONDS)):
                await sender.__aenter__()
        except Exception as error:
            raise self._trouble(error).error from error
        finally:
            self._discard(sender)
        self._succeeded()

    async def close(self) -> None:
        """Let go of the link, within seconds. What still waits is told so."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        for group in self._waiting:
            _fail(group, Unavailable("The process stops; nothing is sent any more.", retry_after=5.0))
        self._waiting.clear()
        self._drop()
        await asyncio.gather(*self._closing, return_exceptions=True)

    # The pump ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while self._waiting:
            groups = self._next_batch()
            try:
                await self._deliver(groups)
            except asyncio.CancelledError:
                for group in groups:
                    _fail(group, Unavailable("The process stops before the answer came.", retry_after=5.0))
                raise
            except Exception as error:  # noqa: BLE001
                # Whatever happened is told to those who wait for it; the pump goes on for the others.
                for group in groups:
                    _fail(group, error)

    def _next_batch(self) -> list[_Group]:
        """The longest waiting groups that fit one batch; a group that does not fit one stands alone."""
        groups: list[_Group] = []
        size = count = 0
        while self._waiting:
            group = self._waiting[0]
            more = sum(weight(message) for message in group.messages)
            if groups and (size + more > BATCH_BYTES or count + len(group.messages) > BATCH_MESSAGES):
                break
            self._waiting.popleft()
            if not group.done.done():  # else its caller has left
                groups.append(group)
                size, count = size + more, count + len(group.messages)
        return groups

    async def _deliver(self, groups: list[_Group]) -> None:
        if not groups:
            return
        messages = [message for group in groups for message in group.messages]
        # Who waited through another's tries has used up some of our patience, but gets one try of its own.
        end = max(groups[0].since + self._patience, asyncio.get_running_loop().time() + self._attempt)
        try:
            for batch in _batches(messages):
                await self._persist(batch, end)
        except InvalidInput:
            if len(groups) == 1:
                raise
            for group in groups:  # find out whose it is; the others are sent
                await self._alone(group)
            return
        for group in groups:
            if not group.done.done():
                group.done.set_result(None)

    async def _alone(self, group: _Group) -> None:
        try:
            await self._deliver([group])
        except (InvalidInput, Unavailable) as error:
            _fail(group, error)

    # One batch ---------------------------------------------------------------------------------------------------

    async def _persist(self, batch: Sequence[Outgoing], end: float) -> None:
        """Send, and send again until this time of the loop."""
        loop = asyncio.get_running_loop()
        tries = 0
        while True:
            tries += 1
            was_open = self._opened
            try:
                await self._once(batch, min(self._attempt, max(end - loop.time(), GRACE_SECONDS)))
            except Exception as error:
                found = self._trouble(error)
                if found.rebuild:
                    self._drop()
                pause = _pause(found, tries, was_open)
                if pause is None or loop.time() + pause >= end - GRACE_SECONDS:
                    log.warning("Sending to %s was given up at try %d: %r", self._queue, tries, error)
                    raise found.error from error
                log.info("Sending to %s failed at try %d, again in %.2f s: %r", self._queue, tries, pause, error)
                await asyncio.sleep(pause)
            else:
                self._succeeded()
                self._opened = True
                QUEUE_SENDS.record(len(batch), queue=self._queue)
                return

    async def _once(self, batch: Sequence[Outgoing], seconds: float) -> None:
        if self._sender is None:
            self._sender = self._clients.sender(self._queue)
        sender = self._sender
        # Two limits: the SDK's own, and ours for where it forgets its own.
        async with asyncio.timeout(seconds + GRACE_SECONDS):
            if len(batch) == 1:
                await sender.send_messages(to_sdk(batch[0]), timeout=seconds)
                return
            full = await sender.create_message_batch()
            for message in batch:
                full.add_message(to_sdk(message))
            await sender.send_messages(full, timeout=seconds)

    def _trouble(self, error: Exception) -> Trouble:
        if isinstance(error, Unavailable):  # the settings
            return Trouble(error, "no", rebuild=True)
        return trouble(error, self._clients.connection, self._queue, "send")

    def _succeeded(self) -> None:
        self.last_success = asyncio.get_running_loop().time()

    def _drop(self) -> None:
        """The next send opens a new link."""
        sender, self._sender = self._sender, None
        self._opened = False
        self.last_success = float("-inf")
        if sender is not None:
            self._discard(sender)

    def _discard(self, sender: ServiceBusSender) -> None:
        task = asyncio.get_running_loop().create_task(close_within(CLOSE_SECONDS, sender.close(), "sender"))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _pause(found: Trouble, tries: int, was_open: bool) -> float | None:
    """Seconds until the next try; ``None``: there is none."""
    match found.again:
        case "now":
            return 0.0 if tries == 1 else min(2.0, 0.1 * 2.0**tries)
        case "later":
            return BUSY_PAUSE_SECONDS
        case "reopened" if was_open:
            return 0.0
        case _:
            return None


def _batches(messages: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
    """Cut into what fits one transfer."""
    begin = size = 0
    for at, message in enumerate(messages):
        more = weight(message)
        if at > begin and (size + more > BATCH_BYTES or at - begin >= BATCH_MESSAGES):
            yield messages[begin:at]
            begin, size = at, 0
        size += more
    if begin < len(messages):
        yield messages[begin:]


def _fail(group: _Group, error: BaseException) -> None:
    if not group.done.done():
        group.done.set_exception(error)
