"""How the way to the hub is: since when it is away, why, and how long to wait before the next try.

While the hub is away one loop of the relay looks for it, every ten seconds at most (:attr:`HubLink.scout`): a small
question. The others wait for what it finds, so that a hub that comes back is found by all of them at once, and a
hundred relays ask it a dozen questions a second and not a hundred. Half of every pause is chance: relays do not come as
a wave.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import datetime

from shared.clock import Clock
from shared.relay.uplink import UplinkError

__all__ = ["FIRST_PAUSE", "LONGEST_PAUSE", "SCOUT_PAUSE", "HubLink", "HubSight"]

log = logging.getLogger("ovenbridge.relay")

FIRST_PAUSE = 1.0
SCOUT_PAUSE = 10.0
"""Seconds. A hub that comes back is found within so long."""
LONGEST_PAUSE = 60.0
"""Of a loop that waits for the scout: should the scout be wrong, it looks for itself this often."""


class HubSight:
    """What the loops of a relay know of the hub together."""

    def __init__(self) -> None:
        self.out_of_sight = False
        """The scout cannot find it."""
        self._waiting: set[asyncio.Event] = set()

    def found(self) -> None:
        """It is there: nobody waits any longer."""
        self.out_of_sight = False
        for event in self._waiting:
            event.set()

    async def wait(self, seconds: float) -> None:
        """Wait so long, or until the hub is back."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return
        finally:
            self._waiting.discard(event)


class HubLink:
    """Of one loop that talks to the hub."""

    def __init__(
        self,
        what: str,
        clock: Clock,
        *,
        sight: HubSight | None = None,
        scout: bool = False,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Args:
        what: e.g. ``sending readings``, for the log.
        clock: for people: since when.
        sight: what the loops of this relay share.
        scout: this one looks for the hub; its questions are small.
        chance: 0 to 1.
        """
        self._what = what
        self._clock = clock
        self.sight = sight or HubSight()
        """Shared by the loops of a relay."""
        self.scout = scout
        self._chance = chance
        self._failures = 0
        self.away_since: datetime | None = None
        self.problem = ""
        """The last failure's sentence; empty: it works."""

    def works(self) -> None:
        """It was reached."""
        if self.away_since is not None:
            log.warning("The hub is back: %s works again.", self._what)
            self.sight.found()
        self._failures, self.away_since, self.problem = 0, None, ""

    def failed(self, error: UplinkError) -> float:
        """It was not; seconds to wait."""
        if self.away_since is None:
            self.away_since = self._clock.now()
            log.warning("The hub is away, %s is tried again: %s", self._what, error.detail)
        elif error.detail != self.problem:
            log.warning("Still away, %s: %s", self._what, error.detail)
        self.problem = error.detail
        if self.scout:
            self.sight.out_of_sight = True
        longest = LONGEST_PAUSE if self.sight.out_of_sight and not self.scout else SCOUT_PAUSE
        pause = min(longest, FIRST_PAUSE * 2.0 ** min(self._failures, 10))
        self._failures += 1
        return max(pause * (0.5 + self._chance() / 2), error.retry_after)

    async def pause(self, error: UplinkError) -> None:
        """:meth:`failed`, and wait; not longer than until another loop finds that the hub is back, unless the hub
        itself said how long."""
        seconds = self.failed(error)
        if error.retry_after >= seconds:
            await asyncio.sleep(seconds)
        else:
            await self.sight.wait(seconds)

    async def rest(self, seconds: float) -> None:
        """Wait for the next turn; while the hub is away not longer than until it is back."""
        if self.away_since is None:
            await asyncio.sleep(seconds)
        else:
            await self.sight.wait(seconds)
