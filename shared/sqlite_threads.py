"""Handing work from event loops to the threads of the embedded store, and answers back.

Two things about CPython's GIL shape this. A thread that wants it back after a statement waits until the loop lets go;
and a busy loop that lets go for a microsecond at every turn (``epoll``) takes it again before the thread wakes up, so
that the thread *starves*: measured, a write took 2 s beside a loop that was busy in turns of 50 us. Against it: few
statements per batch, one hand-over per turn, a short switch interval, and :class:`Nudge`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

__all__ = ["Desk", "Entry", "Mailbox", "Wake", "answer", "take_turns_quickly"]

log = logging.getLogger("ovenbridge.sqlite")

Wake = tuple[asyncio.AbstractEventLoop, Callable[[], object]]
"""Something to call on a loop."""

SWITCH_SECONDS = 0.0001
"""Python's default, 5 ms per statement, would make a batch of ten statements last 50 ms beside a busy loop."""

PATIENCE = 0.004
"""Seconds that work may be under way before the loop starts to step aside."""
PAUSE = 0.001
"""Seconds between two steps aside."""


def take_turns_quickly() -> None:
    """Let threads ask for the GIL after 0.1 ms; for this whole process."""
    if sys.getswitchinterval() > SWITCH_SECONDS:
        sys.setswitchinterval(SWITCH_SECONDS)


class Entry:
    """One piece of work and who waits for it (nobody: ``loop`` is ``None``)."""

    __slots__ = ("future", "item", "loop", "work")

    def __init__(self, work: Any, item: Any, loop: asyncio.AbstractEventLoop | None, future: Any) -> None:
        self.work = work
        self.item = item
        self.loop = loop
        self.future = future


class Mailbox:
    """Work for one thread, bundle by bundle."""

    def __init__(self) -> None:
        self._bundles: SimpleQueue[list[Entry] | None] = SimpleQueue()
        self.taken = 0
        """Batches taken so far: tells whether things move."""
        self.idle = True
        self.stopping = False

    def put(self, bundle: list[Entry]) -> None:
        """Leave work."""
        self._bundles.put(bundle)

    def stop(self) -> None:
        """The thread shall finish what is there and end."""
        self.stopping = True
        self._bundles.put(None)

    @property
    def busy(self) -> bool:
        """There is work, waiting or under way. Never once it was told to stop: nobody would say when that ends."""
        return not self.stopping and (not self.idle or not self._bundles.empty())

    def take(self, enough: int, timeout: float | None = None) -> tuple[list[Entry], bool]:
        """What waits, until there is ``enough``, and whether to stop afterwards. Blocks while there is nothing;
        empty after ``timeout`` seconds."""
        self.idle = True
        try:
            bundle = self._bundles.get(timeout=timeout)
        except Empty:
            return [], False
        self.idle = False
        self.taken += 1
        batch: list[Entry] = []
        stopping = False
        while True:
            if bundle is None:
                stopping = True
            else:
                batch += bundle
            if len(batch) >= enough and not stopping:
                return batch, False
            try:
                bundle = self._bundles.get_nowait()
            except Empty:
                return batch, stopping

    def take_more(self, most: int) -> list[Entry]:
        """What has come in since, without waiting; stops when there is ``most`` or word to stop."""
        batch: list[Entry] = []
        while len(batch) < most and not self.stopping:
            try:
                bundle = self._bundles.get_nowait()
            except Empty:
                break
            if bundle is None:
                self._bundles.put(None)
                break
            batch += bundle
        return batch


class Desk:
    """Where the callers on one loop leave work for one thread.

    What comes in the same turn of the loop is handed over at its end, in one piece: the thread is woken once, and not
    while the loop has more to say.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, mailbox: Mailbox) -> None:
        self._loop = loop
        self._mailbox = mailbox
        self._bundle: list[Entry] = []
        self._nudge = Nudge(loop, mailbox)

    def leave(self, entry: Entry) -> None:
        """Hand over at the end of this turn."""
        bundle = self._bundle
        bundle.append(entry)
        if len(bundle) == 1:
            self._loop.call_soon(self.hand_over)

    def hand_over(self) -> None:
        """Now."""
        bundle, self._bundle = self._bundle, []
        if bundle:
            self._mailbox.put(bundle)
            if not self._nudge.ticking and not self._loop.is_closed():
                self._nudge.start()


class Nudge:
    """Lets a busy loop step aside for a moment when work has been under way for too long. Only ticks while there is
    work."""

    def __init__(self, loop: asyncio.AbstractEventLoop, mailbox: Mailbox) -> None:
        self._loop = loop
        self._mailbox = mailbox
        self._seen = -1
        self.ticking = False

    def start(self) -> None:
        """Begin to watch."""
        self.ticking = True
        self._seen = self._mailbox.taken
        self._loop.call_later(PATIENCE, self._look)

    def _look(self) -> None:
        if not self._mailbox.busy:
            self.ticking = False
            return
        if self._mailbox.taken != self._seen:  # it moves
            self._seen = self._mailbox.taken
            self._loop.call_later(PATIENCE, self._look)
            return
        time.sleep(0.00001)  # the GIL is free for as long as the kernel takes: about 60 us
        self._loop.call_later(PAUSE, self._look)


def answer(batch: Sequence[Entry], outcomes: Sequence[Any], wakes: Sequence[Wake] = ()) -> None:
    """Tell every caller, with one hand-over per loop."""
    by_loop: dict[asyncio.AbstractEventLoop, tuple[list[tuple[Any, Any]], list[Callable[[], object]]]] = {}
    for entry, outcome in zip(batch, outcomes, strict=True):
        if entry.loop is not None:
            by_loop.setdefault(entry.loop, ([], []))[0].append((entry.future, outcome))
        elif isinstance(outcome, Exception):
            log.error("A write that nobody waits for failed: %s", outcome)
    for loop, call in wakes:
        by_loop.setdefault(loop, ([], []))[1].append(call)
    for loop, (pairs, calls) in by_loop.items():
        with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_tell, pairs, calls)


def _tell(pairs: list[tuple[Any, Any]], calls: list[Callable[[], object]]) -> None:
    for future, outcome in pairs:
        if future.done():  # its caller was cancelled
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
    for call in calls:
        call()
