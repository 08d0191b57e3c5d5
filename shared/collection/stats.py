"""How well polling keeps up: counts and lateness of this process, for health checks, metrics and one log line."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.observability import fields

__all__ = ["PollLag", "PollStats"]

log = logging.getLogger("ovenbridge.polling")

WINDOW = 5_000
"""So many latest polls speak for the lateness."""

REPORT_EVERY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class PollLag:
    """How late polls start, in seconds after their instant."""

    polls: int
    p50: float
    p99: float
    worst: float


@dataclass(slots=True)
class PollStats:
    """Counts since the process started, and the lateness of the latest polls."""

    planned: int = 0
    """Polls sent to the queue."""
    read: int = 0
    """Devices read, successfully or not."""
    failed: int = 0
    """Of those: not successfully."""
    stale: int = 0
    """Left out because their message came later than their interval: we are overloaded or were away."""
    busy: int = 0
    """Left out because the device was still being read."""
    shed: int = 0
    """Failing devices left out because all their slots were taken by others that hang."""
    repeated: int = 0
    """Finished from the stored reading after a message came again."""
    abandoned: int = 0
    """Reads that did not even end when they were cancelled. Not zero: a connector is broken."""
    reading: int = 0
    """Devices being read now."""
    last_planned_at: datetime | None = None
    last_read_at: datetime | None = None
    _lateness: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW), repr=False)
    _reported_at: datetime | None = None

    def note_start(self, lateness_seconds: float) -> None:
        """A sound device's read begins so late."""
        self._lateness.append(max(0.0, lateness_seconds))

    @property
    def lag(self) -> PollLag | None:
        """Over the latest polls; ``None`` before the first."""
        if not self._lateness:
            return None
        ordered = sorted(self._lateness)
        last = len(ordered) - 1
        return PollLag(len(ordered), ordered[last // 2], ordered[round(last * 0.99)], ordered[last])

    def report(self, now: datetime) -> None:
        """One log line a minute."""
        if self._reported_at is not None and now - self._reported_at < REPORT_EVERY:
            return
        self._reported_at = now
        if (lag := self.lag) is None:
            return
        figures = {
            "poll_lag_p50_seconds": round(lag.p50, 3),
            "poll_lag_p99_seconds": round(lag.p99, 3),
            "poll_lag_worst_seconds": round(lag.worst, 3),
            "read": self.read,
            "failed": self.failed,
            "stale": self.stale,
            "busy": self.busy,
            "shed": self.shed,
        }
        level = logging.WARNING if lag.p99 > 1.0 else logging.INFO
        log.log(level, "Polls start %.3f s late at p99", lag.p99, extra=fields(**figures))
