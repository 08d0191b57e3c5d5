"""What is running now: limits how long a call may take, keeps its queue lock, and ends all of it at shutdown.

One watcher looks at all calls once a second, so that a call costs two dictionary operations and no timer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

__all__ = ["Invocation", "Lock", "Running"]

log = logging.getLogger("ovenbridge.host")


@dataclass(slots=True)
class Lock:
    """A queue lock to be held while the call runs. Times are the loop's, in seconds."""

    renew: Callable[[], Awaitable[None]]
    every: float
    until: float
    next_renewal: float


@dataclass(slots=True, eq=False)
class Invocation:
    """One running call of a function."""

    function: str
    task: asyncio.Task[object]
    started: float
    lock: Lock | None = None
    timed_out: bool = False
    """Set before its task is cancelled for running over the host's ``functionTimeout``."""


@dataclass(slots=True)
class Running:
    """All running calls of this host."""

    timeout_seconds: float | None
    """``functionTimeout``; ``None``: no limit."""
    _calls: set[Invocation] = field(default_factory=set)
    _renewals: set[asyncio.Task[None]] = field(default_factory=set)
    _idle: asyncio.Event | None = None
    """Only there while somebody waits for all calls to end."""

    def __len__(self) -> int:
        return len(self._calls)

    def begin(self, function: str, lock: Lock | None = None) -> Invocation:
        """The current task now runs this function."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a function can only be called inside a task")
        call = Invocation(function, task, task.get_loop().time(), lock)
        self._calls.add(call)
        return call

    def end(self, call: Invocation) -> None:
        """It has ended, whatever way."""
        self._calls.discard(call)
        if self._idle is not None and not self._calls:
            self._idle.set()

    async def watch(self) -> None:
        """Once a second: cancel what runs too long, renew the locks of what runs long."""
        while True:
            await asyncio.sleep(1)
            self.look(asyncio.get_running_loop().time())

    def look(self, now: float) -> None:
        """One look at all calls. ``now`` is the loop's time."""
        for call in tuple(self._calls):
            if self.timeout_seconds is not None and now - call.started > self.timeout_seconds and not call.timed_out:
                call.timed_out = True
                log.error(
                    "%s ran longer than functionTimeout (%.0f s) and is ended", call.function, self.timeout_seconds
                )
                call.task.cancel()
            elif call.lock is not None and call.lock.next_renewal <= now < call.lock.until:
                call.lock.next_renewal = now + call.lock.every
                task = asyncio.ensure_future(self._renew(call, call.lock))
                self._renewals.add(task)
                task.add_done_callback(self._renewals.discard)

    async def finish(self, grace_seconds: float) -> None:
        """Let running calls end; cancel those that have not after ``grace_seconds``, and wait for that shortly."""
        if await self._ended_within(grace_seconds):
            return
        for call in tuple(self._calls):
            log.warning("%s was still running and is ended", call.function)
            call.task.cancel()
        await self._ended_within(1)

    async def _ended_within(self, seconds: float) -> bool:
        if not self._calls:
            return True
        self._idle = asyncio.Event()
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def _renew(self, call: Invocation, lock: Lock) -> None:
        try:
            await lock.renew()
        except Exception as error:  # noqa: BLE001 - the call goes on; without the lock its message comes again
            log.warning("the lock of a message of %s was not renewed: %s", call.function, error)
