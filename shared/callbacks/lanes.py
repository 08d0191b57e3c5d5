"""Bulkheads: a target that hangs or is slow must not take the places that all targets share.

The host runs a limited number of queue calls at a time. Each callback has a lane of its own through them: it begins
narrow, grows with every quick yes and is halved by every failure; all slow lanes together have a limit too. What does
not fit waits for a moment when the target is quick, and is put off at once when it is not.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

__all__ = ["Lanes"]

FIRST = 4.0
WIDEST = 32.0
NARROWEST = 2.0
SLOW_SECONDS = 2.0
"""A target that takes longer is slow."""
STUCK_SECONDS = 0.5
"""Something in the lane takes that long already: nobody waits behind it."""
MOST_SLOW = 16
"""Places that all slow lanes together may take. Below the 64 calls of ``host.json``."""
MOST_WAITING = 32
WAIT_SECONDS = 1.0
SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 15.0


@dataclass(slots=True)
class _Lane:
    width: float = FIRST
    slow: bool = False
    inside: dict[object, float] = field(default_factory=dict)
    """Who is in it since when; the oldest first."""
    waiting: deque[tuple[asyncio.Future[None], object]] = field(default_factory=deque)
    usual_seconds: float = 0.0
    put_off_until: float = 0.0


class Lanes:
    """One lane per callback, of this process."""

    MOST_IDLE = 10_000

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._slow_inside = 0

    def step_in(self, callback_id: str, who: object) -> bool:
        """Go in at once, if there is room; then :meth:`leave` must follow."""
        lane = self._lanes.get(callback_id)
        if lane is None:
            lane = self._new(callback_id)
        if not self._fits(lane):
            return False
        self._go_in(lane, who)
        return True

    async def enter(self, callback_id: str, who: object) -> float | None:
        """Go in (``None``; then :meth:`leave` must follow), or come back in so many seconds."""
        if self.step_in(callback_id, who):
            return None
        lane = self._lanes[callback_id]
        if lane.slow or self._stuck(lane) or len(lane.waiting) >= MOST_WAITING:
            return self._pause(lane)
        return None if await self._wait(lane, who) else self._pause(lane)

    def leave(self, callback_id: str, who: object, *, ok: bool) -> None:
        """Out again, with a yes or without."""
        lane = self._lanes[callback_id]
        seconds = self._go_out(lane, who)
        slow = seconds >= SLOW_SECONDS
        if slow is not lane.slow:
            self._slow_inside += len(lane.inside) if slow else -len(lane.inside)
            lane.slow = slow
        lane.usual_seconds = seconds if lane.usual_seconds == 0 else lane.usual_seconds * 0.8 + seconds * 0.2
        if ok and not slow:
            lane.width = min(WIDEST, lane.width + 1)
            lane.put_off_until = 0.0
        elif not ok:
            lane.width = max(NARROWEST, lane.width / 2)
        while lane.waiting and self._fits(lane):
            future, next_one = lane.waiting.popleft()
            if not future.done():
                self._go_in(lane, next_one)
                future.set_result(None)

    async def _wait(self, lane: _Lane, who: object) -> bool:
        """Stand in line for a moment; was it let in?"""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane.waiting.append((future, who))
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await future
        except TimeoutError:
            return who in lane.inside  # let in at the very moment
        except asyncio.CancelledError:
            if who in lane.inside:
                self._go_out(lane, who)
            raise
        return True

    def _new(self, callback_id: str) -> _Lane:
        if len(self._lanes) >= self.MOST_IDLE:
            self._lanes = {name: lane for name, lane in self._lanes.items() if lane.inside or lane.waiting}
        lane = self._lanes[callback_id] = _Lane()
        return lane

    def _fits(self, lane: _Lane) -> bool:
        if len(lane.inside) >= int(lane.width):
            return False
        return not lane.slow or self._slow_inside < MOST_SLOW

    def _go_in(self, lane: _Lane, who: object) -> None:
        lane.inside[who] = time.monotonic()
        if lane.slow:
            self._slow_inside += 1

    def _go_out(self, lane: _Lane, who: object) -> float:
        if lane.slow:
            self._slow_inside -= 1
        return time.monotonic() - lane.inside.pop(who)

    def _stuck(self, lane: _Lane) -> bool:
        oldest = next(iter(lane.inside.values()), None)
        return oldest is not None and time.monotonic() - oldest > STUCK_SECONDS

    def _pause(self, lane: _Lane) -> float:
        """Spread over the time at the rate at which the target takes them."""
        now = time.monotonic()
        each = max(lane.usual_seconds, SHORTEST_PAUSE) / max(1.0, lane.width)
        lane.put_off_until = max(now + SHORTEST_PAUSE, lane.put_off_until + each)
        return min(LONGEST_PAUSE, lane.put_off_until - now)
