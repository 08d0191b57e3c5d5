"""What waits in one queue, in memory: the working index over the durable table.

Messages stand in the order of (due time, sequence number), ready and scheduled ones alike: what is at the head and due
can be received. Only a window of the earliest is held here; ``horizon`` is the key behind which messages stand in the
table alone. All methods are called under the backlog's lock.
"""

from __future__ import annotations

import asyncio
import heapq
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.topology import QueueSpec

__all__ = ["Backlog", "Key", "Message"]

Key = tuple[int, int]
"""(due time in microseconds, sequence number)."""

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

    @property
    def key(self) -> Key:
        """Its place in the order."""
        return self.due, self.sequence


@dataclass(eq=False)
class Backlog:
    """One queue's messages and whoever waits for them."""

    spec: QueueSpec
    guard: threading.Lock = field(default_factory=threading.Lock)
    waiting: list[Key] = field(default_factory=list)
    """A heap; keys of settled messages stay until they come to the head."""
    messages: dict[Key, Message] = field(default_factory=dict)
    """In ``waiting`` or locked."""
    locked: dict[str, Message] = field(default_factory=dict)
    bytes: int = 0
    horizon: Key | None = None
    """``None``: everything is in memory."""
    refilling: bool = False
    total: int = 0
    """Not settled: waiting, locked and beyond the horizon."""
    dead: int = 0
    waiters: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = field(default_factory=deque)

    def add(self, messages: Iterable[Message]) -> None:
        """Newly durable messages."""
        for message in messages:
            self.total += 1
            if self.horizon is None or message.key <= self.horizon:
                self.hold(message)
        if len(self.messages) > 2 * WINDOW or self.bytes > 2 * WINDOW_BYTES:
            self._let_go()

    def hold(self, message: Message) -> None:
        """Keep in memory."""
        self.messages[message.key] = message
        self.bytes += len(message.body)
        heapq.heappush(self.waiting, message.key)

    def _let_go(self) -> None:
        """Forget the later part of what waits; the table has it."""
        keys = sorted(key for key in self.waiting if key in self.messages)
        kept = 0
        size = sum(len(message.body) for message in self.locked.values())
        while kept < min(len(keys), WINDOW) and size <= WINDOW_BYTES:
            size += len(self.messages[keys[kept]].body)
            kept += 1
        if kept == len(keys):
            return
        kept = max(kept, 1)
        for key in keys[kept:]:
            self.bytes -= len(self.messages.pop(key).body)
        self.waiting = keys[:kept]  # sorted, so a heap
        self.horizon = keys[kept - 1]

    def head(self) -> Message | None:
        """The earliest that waits."""
        while self.waiting:
            message = self.messages.get(self.waiting[0])
            if message is not None and not message.token:
                return message
            heapq.heappop(self.waiting)
        return None

    def lock(self, message: Message, token: str, until: int) -> None:
        """Give the head to somebody."""
        heapq.heappop(self.waiting)
        message.token = token
        message.locked_until = until
        message.deliveries += 1
        self.locked[token] = message

    def unlock(self, message: Message) -> None:
        """It waits again, at its old place."""
        self.locked.pop(message.token, None)
        message.token = ""
        if message.key in self.messages:
            heapq.heappush(self.waiting, message.key)

    def settle(self, key: Key) -> bool:
        """It is gone for good; whether it was here."""
        message = self.messages.pop(key, None)
        if message is None:
            return False
        self.locked.pop(message.token, None)
        self.bytes -= len(message.body)
        self.total -= 1
        return True

    def take_back(self, now: int) -> list[Message]:
        """Messages whose lock has run out; they wait again."""
        lost = [message for message in self.locked.values() if message.locked_until <= now]
        for message in lost:
            self.unlock(message)
        return lost

    def wakes(self, count: int) -> list[tuple[asyncio.AbstractEventLoop, Any]]:
        """Callbacks that wake so many receivers."""
        calls: list[tuple[asyncio.AbstractEventLoop, Any]] = []
        while self.waiters and len(calls) < count:
            loop, future = self.waiters.popleft()
            calls.append((loop, lambda f=future: None if f.done() else f.set_result(None)))
        return calls
