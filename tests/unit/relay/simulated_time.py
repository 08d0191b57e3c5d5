"""An event loop whose time jumps to whatever is due next: an hour of waiting costs a moment. For code without I/O."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    """Waits for nothing: what it was to wait goes to the loop's time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits for something that nobody does"
        self.now += max(timeout, 0.0)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """``time()`` is simulated."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


class SimulatedClock:
    """The same time for people."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return datetime(2026, 11, 21, 10, tzinfo=UTC) + timedelta(seconds=self._loop.time())


def simulate(story: Callable[[SimulatedClock], Awaitable[T]]) -> T:
    """Run it in simulated time."""
    loop = SimulatedLoop()

    async def told() -> T:
        return await story(SimulatedClock(loop))

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(told())


def per_second(times: Mapping[str, list[float]], begin: float, end: float) -> int:
    """The most within one second."""
    seconds: dict[int, int] = {}
    for moments in times.values():
        for moment in moments:
            if begin <= moment < end:
                seconds[int(moment)] = seconds.get(int(moment), 0) + 1
    return max(seconds.values(), default=0)
