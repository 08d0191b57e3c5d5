"""Timer functions: when they run, and what is remembered over a restart.

As the timer extension does (``reference/functions-runtime.md`` 3.3): runs of one timer follow each other, the next
time is reckoned after the run; schedules of a minute and longer keep their state, and when the recorded next time
has passed while the host was down there is one run with ``past_due``, not one per missed time.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from local.functions import TimerFunction
from local.invocation import as_coroutine, timer_request
from local.running import Running
from local.schedule import Schedule, parse_schedule
from shared.clock import Clock, iso, parse_iso

__all__ = ["Status", "Timer"]

log = logging.getLogger("ovenbridge.host.timer")

_LONGEST_SLEEP = 60.0
"""Seconds; the clock is read again at least so often, because it may be set while we sleep."""

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Status:
    """What is remembered of a timer."""

    schedule: str
    last: datetime | None
    next: datetime

    def write(self, path: Path, now: datetime) -> None:
        """Put it on disk, in one step."""
        content = {
            "schedule": self.schedule,
            "last": iso(self.last) if self.last else None,
            "next": iso(self.next),
            "lastUpdated": iso(now),
        }
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(content), "utf-8")
        draft.replace(path)

    @classmethod
    def read(cls, path: Path) -> Status | None:
        """What stands on disk; ``None`` when there is nothing, or nothing legible."""
        try:
            raw = json.loads(path.read_text("utf-8"))
            last = parse_iso(raw["last"]) if raw["last"] else None
            return cls(str(raw["schedule"]), last, parse_iso(raw["next"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
            log.warning("the timer state %s cannot be read (%s) and is begun anew", path, type(err).__name__)
            return None


class Timer:
    """Runs one timer function by its schedule."""

    def __init__(
        self, function: TimerFunction, folder: Path, clock: Clock, running: Running, sleep: Sleep = asyncio.sleep
    ) -> None:
        self.function = function
        self._call = as_coroutine(function.handler)
        self._clock = clock
        self._running = running
        self._sleep = sleep
        self._schedule: Schedule = parse_schedule(function.schedule, now=clock.now())
        self._path = folder / f"{function.name.lower()}.json"
        self._monitored = function.use_monitor and self._schedule.is_monitored(clock.now())
        self._one_at_a_time = asyncio.Lock()
        self._stopping = False
        self._past_due = False
        self._last: datetime | None = None
        self._next = self._schedule.next_after(clock.now())

    async def run(self) -> None:
        """Until cancelled, after :meth:`recall`."""
        if self._past_due or self.function.run_on_startup:
            await self.fire(past_due=self._past_due)
            self._past_due = False
        while not self._stopping:
            await self._wait_until(self._next)
            await self.fire()

    def stop(self, runner: asyncio.Task[None]) -> None:
        """No further run; one that is under way goes on. ``runner`` is the task of :meth:`run`."""
        self._stopping = True
        if not self._one_at_a_time.locked():
            runner.cancel()

    async def fire(self, *, past_due: bool = False) -> None:
        """Run the function now, after a run that is under way. A failure is logged; the schedule goes on."""
        async with self._one_at_a_time:
            status = None
            if self._monitored:
                began = self._last or self._clock.now()
                status = {"Last": began, "Next": self._next, "LastUpdated": began}
            call = self._running.begin(self.function.name)
            try:
                await self._call(timer_request(past_due=past_due, status=status))
            except asyncio.CancelledError:
                if not call.timed_out:
                    raise
                call.task.uncancel()
            except Exception:
                # The edge of a function: whatever escapes, the next tick comes.
                log.exception("%s failed", self.function.name)
            finally:
                self._running.end(call)
            self._last = self._clock.now()
            self._next = self._schedule.next_after(self._last)
            await self._remember()

    async def recall(self) -> None:
        """Read the state: was a time missed while the host was down? A changed schedule begins anew."""
        if not self._monitored:
            return
        status = await asyncio.to_thread(Status.read, self._path)
        if status is None or status.schedule != self._schedule.text:
            await self._remember()
            return
        self._last = status.last
        if self._clock.now() > status.next:
            self._next = status.next
            self._past_due = True

    async def _remember(self) -> None:
        if not self._monitored:
            return
        status = Status(self._schedule.text, self._last, self._next)
        try:
            await asyncio.to_thread(status.write, self._path, self._clock.now())
        except OSError as err:
            log.error("the state of the timer %s was not kept: %s", self.function.name, err)

    async def _wait_until(self, moment: datetime) -> None:
        while (left := (moment - self._clock.now()).total_seconds()) > 0:
            await self._sleep(min(left, _LONGEST_SLEEP))
