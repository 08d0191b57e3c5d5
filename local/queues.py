"""The pump of a queue function: receive, call, settle - as the Service Bus extension does.

Returning completes the message; an exception abandons it, so it is delivered again at once and dead-lettered by the
queue after its maximum of deliveries.
"""

from __future__ import annotations

import asyncio
import logging

from local.functions import QueueFunction
from local.host_json import HostJson
from local.invocation import as_coroutine, queue_message
from local.running import Lock, Running
from shared.errors import OvenbridgeError
from shared.messaging import QueueReceiver, Received
from shared.topology import topology

__all__ = ["Pump"]

log = logging.getLogger("ovenbridge.host.queue")

_LONGEST_PAUSE = 15.0
"""Seconds between tries to receive while the queue is away."""


class Pump:
    """Feeds one queue function."""

    def __init__(self, function: QueueFunction, receiver: QueueReceiver, host: HostJson, running: Running) -> None:
        self.function = function
        self._call = as_coroutine(function.handler)
        self._receiver = receiver
        self._running = running
        self._most = host.max_concurrent_calls
        self._renew_for = host.max_lock_renewal_seconds
        self._lock_seconds = topology().queues[function.queue].lock_seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()

    async def run(self) -> None:
        """Receive until cancelled. Calls that run then go on; see ``Running.finish``."""
        pause = 0.0
        while True:
            await self._wait_for_room()
            try:
                batch = await self._receiver.receive(self.function.queue, self._most - len(self._tasks))
            except OvenbridgeError as error:
                pause = min(_LONGEST_PAUSE, pause * 2 or 0.5)
                log.error("%s cannot receive: %s Next try in %.1f s.", self.function.name, error.detail, pause)
                await asyncio.sleep(pause)
                continue
            pause = 0.0
            for received in batch:
                task = asyncio.create_task(self._one(received))
                self._tasks.add(task)
                task.add_done_callback(self._ended)

    async def _wait_for_room(self) -> None:
        while len(self._tasks) >= self._most:
            self._room.clear()
            await self._room.wait()
            # The store commits in groups: let the others of the group end too and take their places in one go.
            await asyncio.sleep(0)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a message of %s was not settled and comes again: %s", self.function.name, error)

    async def _one(self, received: Received) -> None:
        call = self._running.begin(self.function.name, self._lock(received))
        try:
            await self._call(queue_message(received))
        except asyncio.CancelledError:
            # Over the time limit, or the host stops: give the message back, so that it need not wait for its lock.
            await self._receiver.abandon(self.function.queue, received)
            if not call.timed_out:
                raise
            call.task.uncancel()
        except Exception:
            # The edge of a function: whatever escapes means abandon.
            log.exception(
                "%s failed on message %s (delivery %d)",
                self.function.name,
                received.message_id,
                received.delivery_count,
            )
            await self._receiver.abandon(self.function.queue, received)
        else:
            await self._receiver.complete(self.function.queue, received)
        finally:
            self._running.end(call)

    def _lock(self, received: Received) -> Lock:
        now = asyncio.get_running_loop().time()
        every = self._lock_seconds / 2
        return Lock(
            lambda: self._receiver.renew(self.function.queue, received),
            every=every,
            until=now + self._renew_for,
            next_renewal=now + every,
        )
