"""What waits in one queue, in memory: the working index over the durable table.

Messages stand in the order of (due time, sequence number), ready and scheduled ones alike: what is at the head and due
can be received. Only a window of the earliest is held here; ``horizon`` is the key behind which messages stand in the
table alone, so a million scheduled messages cost the memory of a few thousand. All methods are called under ``guard``.
"""

from __future__ import annotations

import asyncio
import heapq
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from shared.sqlite_threads import Wake
from shared.topology import QueueSpec

__all__ = ["Backlog", "Key", "Message", "Waiter", "wake"]

Key = tuple[int, int]
"""(due time in microseconds, sequence number)."""

Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]

WINDOW = 10_000
"""So many messages are held in memory per queue; beyond twice that the later half is let go."""

WINDOW_BYTES = 32 * 1024 * 1024


@dataclass(slots=True, eq=False)
class Message:
    """A message that is not settled yet. Times in microseconds since the epoch."""

    sequence: int
    due: int
    expires: int
    message_id: str
    body: bytes
    correlation_id: str | None
    properties: Mapping[str, str]
    deliveries: int = 0
    locked_until: int = 0
    token: str = ""
    """Of the lock; empty: it waits."""

    @property
    def key(self) -> Key:
        """Its place in the order."""
        return self.due, self.sequence


@dataclass(eq=False)
class Backlog:
    """One queue's messages and whoever waits for them."""

    spec: QueueSpec
    guard: threading.Lock = field(default_factory=threading.Lock)
    messages: dict[Key, Message] = field(default_factory=dict)
    """All that are held here: waiting or locked."""
    waiting: list[Key] = field(default_factory=list)
    """A heap; keys of settled messages stay until they come to the head."""
    locked: dict[str, Message] = field(default_factory=dict)
    """By token."""
    lock_ends: list[tuple[int, str]] = field(default_factory=list)
    """A heap; outdated entries stay until they come to the head."""
    size: int = 0
    """Bytes of the bodies held here."""
    horizon: Key | None = None
    """``None``: everything is held here."""
    refilling: bool = False
    total: int = 0
    """Not settled: waiting, locked and behind the horizon."""
    dead: int = 0
    waiters: deque[Waiter] = field(default_factory=deque)

    # Coming and going --------------------------------------------------------------------------------------------

    def add(self, messages: Iterable[Message]) -> None:
        """Newly durable messages."""
        for message in messages:
            self.total += 1
            if self.horizon is None or message.key <= self.horizon:
                self.hold(message)
        if len(self.messages) > 2 * WINDOW or self.size > 2 * WINDOW_BYTES:
            self._let_go()

    def hold(self, message: Message) -> None:
        """Keep in memory."""
        self.messages[message.key] = message
        self.size += len(message.body)
        heapq.heappush(self.waiting, message.key)

    def _let_go(self) -> None:
        """Forget the later part of what waits; the table has it."""
        keys = sorted({k for k in self.waiting if k in self.messages and not self.messages[k].token})
        size = sum(len(message.body) for message in self.locked.values())
        kept = 0
        while kept < len(keys) and kept < WINDOW and (kept == 0 or size <= WINDOW_BYTES):
            size += len(self.messages[keys[kept]].body)
            kept += 1
        if kept == len(keys):
            return
        for key in keys[kept:]:
            self.size -= len(self.messages.pop(key).body)
        self.waiting = keys[:kept]  # sorted, so a heap
        self.horizon = keys[kept - 1]

    def settle(self, key: Key) -> None:
        """It is gone for good."""
        message = self.messages.pop(key, None)
        if message is not None:
            self.locked.pop(message.token, None)
            self.size -= len(message.body)
            self.total -= 1

    # Locks -------------------------------------------------------------------------------------------------------

    def head(self) -> Message | None:
        """The earliest that waits."""
        while self.waiting:
            message = self.messages.get(self.waiting[0])
            if message is not None and not message.token:
                return message
            heapq.heappop(self.waiting)
        return None

    def lock_head(self, token: str, until: int) -> None:
        """Give the head to somebody."""
        message = self.messages[heapq.heappop(self.waiting)]
        message.token = token
        self.locked[token] = message
        self.hold_lock(message, until)

    def hold_lock(self, message: Message, until: int) -> None:
        """Until then nobody else gets it."""
        message.locked_until = until
        heapq.heappush(self.lock_ends, (until, message.token))

    def unlock(self, message: Message) -> None:
        """It waits again, at its old place."""
        self.locked.pop(message.token, None)
        message.token = ""
        if message.key in self.messages:
            heapq.heappush(self.waiting, message.key)

    def take_back(self, now: int) -> None:
        """Messages whose lock has run out wait again."""
        while self.lock_ends and self.lock_ends[0][0] <= now:
            _, token = heapq.heappop(self.lock_ends)
            message = self.locked.get(token)
            if message is not None and message.locked_until <= now:
                self.unlock(message)

    def next_event(self) -> int | None:
        """When something may become due, as far as is known."""
        head = self.head()
        moments = [head.due] if head is not None else []
        if self.lock_ends:
            moments.append(self.lock_ends[0][0])
        return min(moments, default=None)

    # Waiting receivers -------------------------------------------------------------------------------------------

    def wakes(self, count: int) -> list[Wake]:
        """Callbacks that wake so many receivers."""
        calls: list[Wake] = []
        while self.waiters and len(calls) < count:
            loop, future = self.waiters.popleft()
            calls.append((loop, partial(wake, future)))
        return calls


def wake(future: asyncio.Future[None]) -> None:
    """Let a receiver look again."""
    if not future.done():
        future.set_result(None)
