"""One call of a vendor's interface for many machines, and one patience for the whole account.

A page that is being fetched is waited for, not fetched again (single flight); one that was fetched a moment ago is told
to each machine once. A machine that asks again is asking for something new: so the cache can never make a value look
newer than it is, and an account costs one call a period, whatever the period.

Keys are digests of the URL and of everything that decides on the answer, the credentials' values first: what one
account may see is never shown to another. What a vendor says with 429 holds for all who use the account. All of this
is one process's; nothing is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.clock import Clock, iso
from shared.errors import DeviceError, DeviceThrottled

__all__ = ["Page", "SharedReads"]

MAX_KEPT = 256
MAX_KEPT_BYTES = 32 * 1_048_576
MAX_ACCOUNTS = 4_096
UNSAID_PAUSE_SECONDS = 30.0
"""After a 429 that does not say for how long."""
LONGEST_PAUSE_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class Page:
    """One answer, read. Many look at the same document: nobody changes it."""

    document: Any
    at: datetime
    """When it was asked for."""
    elapsed_ms: float
    size: int
    """Bytes."""
    link: str | None = None
    """The header ``Link``."""


Fetch = Callable[[], Awaitable[Page]]
"""Asks the vendor. Raises ``DeviceError``."""


@dataclass(slots=True)
class _Kept:
    """What came of one call."""

    outcome: Page | DeviceError
    at: datetime
    told: set[str] = field(default_factory=set)

    def tell(self, equipment_id: str) -> Page:
        self.told.add(equipment_id)
        found = self.outcome
        if isinstance(found, Page):
            return found
        # A new one for everybody: each goes its own way up, and collects its own traces.
        raise type(found)(found.detail, retry_after=found.retry_after)

    @property
    def size(self) -> int:
        return self.outcome.size if isinstance(self.outcome, Page) else 0


@dataclass(slots=True)
class _Flight:
    task: asyncio.Task[_Kept]
    told: set[str]


class SharedReads:
    """What the REST connectors of this process share."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._flights: dict[tuple[str, str], _Flight] = {}
        self._holds: dict[str, datetime] = {}

    async def read(self, account: str, key: str, equipment_id: str, fresh_for: float, fetch: Fetch) -> Page:
        """A page that ``equipment_id`` was not told yet and that is at most ``fresh_for`` seconds old.

        Args:
            account: digest of origin and credentials.
            key: digest of everything else the answer depends on.
            equipment_id: who asks.
            fresh_for: seconds; at 0 nothing is shared.
            fetch: how to get it.

        Raises:
            DeviceError: it could not be had; everybody who waited is told.
        """
        self.check(account)
        if fresh_for <= 0:
            return (await self._fetched(account, fetch)).tell(equipment_id)
        whole = (account, key)
        kept = self._kept.get(whole)
        if kept is not None and equipment_id not in kept.told and self._fresh(kept, fresh_for):
            return kept.tell(equipment_id)
        flight = self._flights.get(whole)
        if flight is None or equipment_id in flight.told:
            flight = self._start(whole, fetch)
        flight.told.add(equipment_id)
        # Shielded: one reader's deadline must not fail the others who wait for the same answer.
        return (await asyncio.shield(flight.task)).tell(equipment_id)

    def check(self, account: str) -> None:
        """Raises ``DeviceThrottled`` while the vendor wants this account to stay away."""
        until = self._holds.get(account)
        if until is None:
            return
        left = (until - self._clock.now()).total_seconds()
        if not 0 < left <= LONGEST_PAUSE_SECONDS:  # over, or the clock was put back
            del self._holds[account]
            return
        raise DeviceThrottled(
            f"The vendor asked this account to come less often (429), so nothing is asked before {iso(until)}: raise "
            "poll_interval_seconds of the machines that share it.",
            retry_after=left,
        )

    def hold(self, account: str, seconds: float | None) -> None:
        """The vendor answered 429."""
        pause = min(UNSAID_PAUSE_SECONDS if seconds is None else seconds, LONGEST_PAUSE_SECONDS)
        self._holds[account] = self._clock.now() + timedelta(seconds=pause)
        if len(self._holds) > MAX_ACCOUNTS:
            del self._holds[next(iter(self._holds))]

    def forget(self, account: str) -> None:
        """Something was written: what was read before, and what is being read now, says nothing about afterwards."""
        for whole in [one for one in self._kept if one[0] == account]:
            del self._kept[whole]
        for whole in [one for one in self._flights if one[0] == account]:
            del self._flights[whole]

    def _fresh(self, kept: _Kept, seconds: float) -> bool:
        return timedelta() <= self._clock.now() - kept.at <= timedelta(seconds=seconds)

    def _start(self, whole: tuple[str, str], fetch: Fetch) -> _Flight:
        flight = _Flight(asyncio.create_task(self._fetched(whole[0], fetch)), set())
        self._flights[whole] = flight
        flight.task.add_done_callback(lambda _: self._landed(whole, flight))
        return flight

    async def _fetched(self, account: str, fetch: Fetch) -> _Kept:
        begun = self._clock.now()
        try:
            page = await fetch()
        except DeviceError as error:
            if isinstance(error, DeviceThrottled):
                self.hold(account, error.retry_after)
            return _Kept(error, begun)
        return _Kept(page, begun)

    def _landed(self, whole: tuple[str, str], flight: _Flight) -> None:
        if self._flights.get(whole) is flight:
            del self._flights[whole]
        else:
            return  # overtaken by a write, or by a newer call
        if flight.task.cancelled() or flight.task.exception() is not None:
            return
        kept = flight.task.result()
        self._kept.pop(whole, None)
        self._kept[whole] = kept
        self._bound()

    def _bound(self) -> None:
        size = sum(kept.size for kept in self._kept.values())
        while len(self._kept) > MAX_KEPT or (size > MAX_KEPT_BYTES and self._kept):
            size -= self._kept.pop(next(iter(self._kept))).size
