"""Receiving from one queue, or from its dead-letter queue, for a host that is not Azure's.

The SDK's receiver is not made for concurrent callers, and breaking off its ``receive_messages`` can lose sight of a
message that is locked already. So one task owns it: it settles and looks when asked, and receives while somebody waits,
in slices short enough that settling never waits long. A message that arrives when the last who waited has just left is
kept for the next one that asks, and given back after a moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.clock import Clock
from shared.errors import OvenbridgeError, Unavailable
from shared.messaging.port import Received
from shared.messaging.service_bus_client import ServiceBusClients, close_within
from shared.messaging.service_bus_errors import trouble
from shared.messaging.service_bus_messages import received

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusReceiver

__all__ = ["Held", "QueueIntake"]

log = logging.getLogger("ovenbridge.servicebus")

SLICE_SECONDS = 0.1
"""So long at most does a call wait for a receive that is under way, while messages are held."""
IDLE_SLICE_SECONDS = 0.25
"""The same while none is held: then hardly anything is asked for."""
MORE_SECONDS = 0.02
"""How long to look for more messages behind those that came."""
KEEP_SECONDS = 1.0
"""How long a message waits here for somebody who takes it."""

QUIET_FAILURES = 1
"""So many times in a row is a lost link opened again before those who wait hear of it."""

CALL_SECONDS = 10.0
"""For one call, opening the link included."""
CLOSE_SECONDS = 2.0

MOST_HELD = 1_000
"""Beyond it, locks that ran out are forgotten."""


@dataclass(slots=True, eq=False)
class Held:
    """A message that we have locked."""

    message: ServiceBusReceivedMessage
    until: datetime


@dataclass(slots=True, eq=False)
class _Waiter:
    limit: int
    future: asyncio.Future[list[Received]]


Call = Callable[["ServiceBusReceiver"], Awaitable[Any]]
SettleCall = Callable[["ServiceBusReceiver", "ServiceBusReceivedMessage"], Awaitable[Any]]


class QueueIntake:
    """Receives from one queue."""

    def __init__(
        self, queue: str, clients: ServiceBusClients, clock: Clock, *, lock_seconds: float, dead_letters: bool = False
    ) -> None:
        self._queue = queue
        self._clients = clients
        self._clock = clock
        self._lock = timedelta(seconds=lock_seconds)
        self._dead_letters = dead_letters
        self._receiver: ServiceBusReceiver | None = None
        self._calls: deque[tuple[Call, asyncio.Future[Any]]] = deque()
        self._waiters: deque[_Waiter] = deque()
        self._spare: deque[Held] = deque()
        self._held: dict[str, Held] = {}
        self._runner: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._failures = 0
        """In a row."""

    # What is asked of it -----------------------------------------------------------------------------------------

    async def receive(self, limit: int) -> list[Received]:
        """See the port. Raises ``Unavailable``."""
        waiter = _Waiter(limit, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self._hand_out()
        self._start()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled():  # it was given messages while it left
                self._take_back(waiter.future.result())
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    async def call(self, call: Call) -> Any:
        """Let the receiver do something; over a new link if the old one broke. Raises ``Unavailable``, or the SDK's
        error that the lock is lost."""
        try:
            return await self._queued(call)
        except Exception as error:
            if not _breaks(error):
                raise
            log.info("Service Bus, receiver of %s: once more over a new link: %r", self._queue, error)
        try:
            return await self._queued(call)
        except Exception as error:
            if not _breaks(error):
                raise
            raise self._translated(error) from error

    async def _queued(self, call: Call) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls.append((call, future))
        self._start()
        return await asyncio.shield(future)

    async def settle(self, lock_token: str, call: SettleCall, *, keep: bool = False) -> None:
        """Decide about a message that is held. That its lock is lost is no error: it comes again."""
        held = self._held.get(lock_token)
        if held is None:
            return
        if not keep:
            del self._held[lock_token]
        try:
            await self.call(lambda receiver: call(receiver, held.message))
        except Exception as error:
            if not _is_lost(error):
                raise
            self._held.pop(lock_token, None)
        else:
            held.until = self._clock.now() + self._lock

    async def take(self, seconds: float) -> ServiceBusReceivedMessage | None:
        """Lock one message, if one is there within so many seconds."""
        found = await self.call(lambda receiver: receiver.receive_messages(1, max_wait_time=seconds))
        return found[0] if found else None

    async def remove(self, message: ServiceBusReceivedMessage) -> None:
        """Complete what was taken. A lost lock is no error."""
        try:
            await self.call(lambda receiver: receiver.complete_message(message))
        except Exception as error:
            if not _is_lost(error):
                raise

    async def give_back(self, message: ServiceBusReceivedMessage) -> None:
        """Abandon what was taken; else it comes again when its lock ends."""
        try:
            await self.call(lambda receiver: receiver.abandon_message(message))
        except Exception as error:  # noqa: BLE001 - what matters is being raised already
            log.info("Giving back a message of %s failed: %r", self._queue, error)

    def held_numbers(self) -> set[int]:
        """The sequence numbers of what this process holds."""
        now = self._clock.now()
        return {int(h.message.sequence_number or 0) for h in (*self._held.values(), *self._spare) if h.until > now}

    async def close(self) -> None:
        """Let go of the link, within seconds. What is held comes again when its lock ends."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        self._fail(Unavailable("The process stops; nothing is received any more."))
        await self._drop()

    # The task that owns the receiver -----------------------------------------------------------------------------

    def _start(self) -> None:
        self._wake.set()
        if self._runner is None or self._runner.done():
            self._runner = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._calls or self._waiters or self._spare:
            self._wake.clear()
            try:
                await self._step()
                self._failures = 0
            except Exception as error:  # noqa: BLE001
                # The edge of the task: a link that was lost is opened again; if that fails, whoever waits is told.
                await self._drop()
                self._failures += 1
                if self._failures > QUIET_FAILURES or isinstance(error, OvenbridgeError):
                    self._fail(self._translated(error))
                else:
                    log.info("Service Bus, receiving from %s: opening a new link: %r", self._queue, error)

    async def _step(self) -> None:
        while self._calls:
            call, future = self._calls.popleft()
            if not future.done():
                await self._do(call, future)
        self._hand_out()
        if self._waiters:
            await self._pull(await self._open())
        elif self._spare:
            await self._keep()

    async def _open(self) -> ServiceBusReceiver:
        if self._receiver is None:
            self._receiver = self._clients.receiver(self._queue, dead_letters=self._dead_letters)
        async with asyncio.timeout(CALL_SECONDS):
            await self._receiver.__aenter__()  # opens the link unless it is open
        return self._receiver

    async def _do(self, call: Call, future: asyncio.Future[Any]) -> None:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                result = await call(await self._open())
        except asyncio.CancelledError:
            future.cancel()
            raise
        except Exception as error:  # noqa: BLE001
            # Told to this caller alone; the next call opens another link.
            if not future.done():
                future.set_exception(error)
            if _breaks(error):
                await self._drop()
        else:
            if not future.done():
                future.set_result(result)

    async def _pull(self, receiver: ServiceBusReceiver) -> None:
        wanted = sum(waiter.limit for waiter in self._waiters)
        wait = SLICE_SECONDS if self._held else IDLE_SLICE_SECONDS
        self._keep_all(await self._receive(receiver, 1, wait))
        more = bool(self._spare)
        while more and len(self._spare) < wanted:
            found = await self._receive(receiver, wanted - len(self._spare), MORE_SECONDS)
            self._keep_all(found)
            more = bool(found)
        self._hand_out()
        if not self._waiters:
            await _withdraw_credit(receiver)

    async def _receive(
        self, receiver: ServiceBusReceiver, count: int, wait: float
    ) -> Sequence[ServiceBusReceivedMessage]:
        async with asyncio.timeout(wait + CALL_SECONDS):
            return await receiver.receive_messages(count, max_wait_time=wait)

    def _keep_all(self, messages: Sequence[ServiceBusReceivedMessage]) -> None:
        self._spare.extend(Held(message, self._lock_end(message)) for message in messages)

    def _lock_end(self, message: ServiceBusReceivedMessage) -> datetime:
        """By our clock. The service's word, for a message may have lain in the socket for a while."""
        told = message.locked_until_utc
        left = self._lock if told is None else told - datetime.now(UTC)
        return self._clock.now() + left

    def _hand_out(self) -> None:
        """Give what is here to those who wait, the longest waiting first."""
        now = self._clock.now()
        while self._waiters and self._spare:
            waiter = self._waiters[0]
            batch: list[Received] = []
            while self._spare and len(batch) < waiter.limit and not waiter.future.done():
                held = self._spare.popleft()
                if held.until > now:  # else its lock was lost while it lay here
                    batch.append(self._hold(held))
            if not batch and not waiter.future.done():
                return
            self._waiters.popleft()
            if batch:
                waiter.future.set_result(batch)

    def _hold(self, held: Held) -> Received:
        token = str(held.message.lock_token)
        if len(self._held) > MOST_HELD:  # nobody settled them; they come again
            now = self._clock.now()
            self._held = {t: h for t, h in self._held.items() if h.until > now}
        self._held[token] = held
        return received(held.message, token)

    def _take_back(self, messages: Sequence[Received]) -> None:
        """Handed to somebody who had left."""
        for one in reversed(messages):
            held = self._held.pop(one.lock_token, None)
            if held is not None:
                self._spare.appendleft(held)
        self._hand_out()
        if self._spare:
            self._start()

    async def _keep(self) -> None:
        """Wait a moment for somebody who takes what lies here, then give it back."""
        try:
            async with asyncio.timeout(KEEP_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            receiver = await self._open()
            while self._spare and not self._waiters:
                held = self._spare.popleft()
                if held.until > self._clock.now():
                    await receiver.abandon_message(held.message)

    # Trouble -----------------------------------------------------------------------------------------------------

    def _translated(self, error: Exception) -> OvenbridgeError:
        if isinstance(error, OvenbridgeError):
            return error
        log.warning("Service Bus, receiving from %s: %r", self._queue, error)
        found = trouble(error, self._clients.connection, self._queue, "receive").error
        found.__cause__ = error
        return found

    def _fail(self, error: OvenbridgeError) -> None:
        for waiter in self._waiters:
            if not waiter.future.done():
                waiter.future.set_exception(error)
        self._waiters.clear()
        for _, future in self._calls:
            if not future.done():
                future.set_exception(error)
        self._calls.clear()
        self._spare.clear()

    async def _drop(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            await close_within(CLOSE_SECONDS, receiver.close(), "receiver")


async def _withdraw_credit(receiver: ServiceBusReceiver) -> None:
    """Tell the service that nobody waits here any more, or it would lock messages that nobody takes.

    The SDK has no public way. It gives such messages back itself when it looks at the socket, which it does every five
    seconds; where its inside is another one day, that is what remains.
    """
    link = getattr(getattr(receiver, "_handler", None), "_link", None)
    if link is not None and getattr(link, "current_link_credit", 0) > 0:
        await link.flow(link_credit=0)


def _is_lost(error: BaseException) -> bool:
    """Does this say that the lock is lost, or that the message is settled already?"""
    from azure.servicebus import exceptions as sdk

    return isinstance(error, sdk.MessageLockLostError | sdk.MessageAlreadySettled | sdk.MessageNotFoundError)


def _breaks(error: BaseException) -> bool:
    """Is the link in no state to be used again?"""
    return not (_is_lost(error) or isinstance(error, OvenbridgeError))
