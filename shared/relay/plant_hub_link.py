"""How the way to the hub is: since when it is away, why, and how long to wait before the next try."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from datetime import datetime

from shared.clock import Clock
from shared.relay.uplink import UplinkError

__all__ = ["FIRST_PAUSE", "LONGEST_PAUSE", "HubLink"]

log = logging.getLogger("ovenbridge.relay")

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds. A hub that comes back is found within so long."""


class HubLink:
    """Of one loop that talks to the hub."""

    def __init__(self, what: str, clock: Clock, *, chance: Callable[[], float] = random.random) -> None:
        """``what``: e.g. ``sending readings``, for the log."""
        self._what = what
        self._clock = clock
        self._chance = chance
        self._failures = 0
        self.away_since: datetime | None = None
        self.problem = ""
        """The last failure's sentence; empty: it works."""

    def works(self) -> None:
        """It was reached."""
        if self.away_since is not None:
            log.warning("The hub is back: %s works again.", self._what)
        self._failures, self.away_since, self.problem = 0, None, ""

    def failed(self, error: UplinkError) -> float:
        """It was not; seconds to wait. Half of it is chance: the relays of a company do not come back as one wave."""
        if self.away_since is None:
            self.away_since = self._clock.now()
            log.warning("The hub is away, %s is tried again: %s", self._what, error.detail)
        elif error.detail != self.problem:
            log.warning("Still away, %s: %s", self._what, error.detail)
        self.problem = error.detail
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures, 10))
        self._failures += 1
        return max(pause * (0.5 + self._chance() / 2), error.retry_after)
