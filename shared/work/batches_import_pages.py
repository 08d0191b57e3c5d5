"""One run through the pages of one account: every batch stored, what cannot be understood passed over and named."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.clock import Clock
from shared.connectors.paths import Path
from shared.connectors.rational_batch import FoundBatch, UnreadableBatch, read_batch
from shared.connectors.rational_haccp import HaccpPage, PageTooLarge
from shared.connectors.rational_plan import BatchPlan
from shared.errors import DeviceProtocolError, OvenbridgeError, Unavailable
from shared.work.batches_import_state import AccountState, ImportMarks, Resume

if TYPE_CHECKING:
    from shared.connectors.rational_haccp import RationalHaccp
    from shared.equipment.model import Equipment
    from shared.work.batches import Batches

__all__ = ["Oven", "PageReader", "Run", "same_serial"]

RECENT = timedelta(days=1)
"""Of what is new here with an oven's first import, subscribers are told what ended less than this ago."""
MOST_PAGES = 500
"""Pages of one account in one run; the next run goes on from there."""
RUN_SECONDS = 120.0
"""No new page of an account is begun after so long; the next run goes on from there."""
SAVE_EVERY = 10
"""Pages between two notes of how far it is."""
MOST_NAMED = 20

log = logging.getLogger("ovenbridge.batches")


@dataclass(frozen=True, slots=True)
class Oven:
    """An oven with what its batches are asked for by."""

    machine: Equipment
    plan: BatchPlan
    serial: str


@dataclass(slots=True)
class Run:
    """One run of one account."""

    state: AccountState
    ovens: Sequence[Oven]
    known: Mapping[str, datetime]
    """Up to when each oven has everything; an oven that is new has nothing."""
    paths: Mapping[str, Sequence[Path]]
    resume: Resume
    counts: dict[str, int] = field(default_factory=dict)
    unreadable: list[dict[str, str]] = field(default_factory=list)
    elsewhere: dict[str, None] = field(default_factory=dict)

    def count(self, what: str) -> None:
        """One more of these."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def pass_over(self, name: str, reason: str) -> None:
        """This one could not be understood."""
        self.count("unreadable")
        if len(self.unreadable) < MOST_NAMED:
            self.unreadable.append({"batch": name[:100], "reason": reason[:300]})

    def noted(self) -> AccountState:
        """The account's state with what was counted."""
        return replace(
            self.state,
            counts=dict(self.counts),
            unreadable=tuple(self.unreadable),
            elsewhere=tuple(self.elsewhere),
        )


@dataclass(frozen=True, slots=True)
class PageReader:
    """Reads pages and stores their batches."""

    batches: Batches
    marks: ImportMarks
    haccp: RationalHaccp
    clock: Clock

    async def read(self, run: Run) -> bool:
        """Read pages until the last; ``False``: broken off, to go on with the next run.

        Raises:
            DeviceError: a page could not be had; what was read before stays, and ``run.resume`` says how far it was.
            Unavailable: our own store is away.
        """
        until = time.monotonic() + RUN_SECONDS
        previous: list[Any] | None = None
        for number in range(1, MOST_PAGES + 1):
            page = await self._page(run)
            if page is None:
                continue  # it was too large, and is asked for in halves
            if page.items and page.items == previous:
                raise DeviceProtocolError(
                    "The vendor's service answers the same page again and again: check batch_query and batch_path."
                )
            previous = page.items
            for place, item in enumerate(page.items):
                await self._item(run, item, run.resume.page * run.resume.size + place)
            run.resume = _next(run.resume, run.ovens[0].plan.page_size)
            if not page.more:
                return True
            if time.monotonic() >= until:
                break
            if number % SAVE_EVERY == 0:
                await self.marks.note(replace(run.state, resume=run.resume))
        return False

    async def _page(self, run: Run) -> HaccpPage | None:
        where, resume = run.ovens[0].plan, run.resume
        try:
            return await self.haccp.page(where, resume.since, resume.page, resume.size, until=resume.until)
        except PageTooLarge:
            if resume.size > 1:
                smaller = resume.size // 2
                run.resume = replace(resume, page=resume.page * resume.size // smaller, size=smaller)
                return None
        try:
            # One batch alone is too large: its measurements are left out, and stay with the vendor.
            return await self.haccp.page(
                where, resume.since, resume.page, resume.size, until=resume.until, entries=False
            )
        except PageTooLarge as error:
            run.pass_over(f"number {resume.page + 1} of the answer", error.detail)
            return HaccpPage([], more=True)

    async def _item(self, run: Run, item: Any, place: int) -> None:
        run.count("items")
        name = _name_of(item, place)
        try:
            found = read_batch(item, run.paths, self.clock.now())
            ovens = [oven for oven in run.ovens if same_serial(oven.serial, found.serial)]
            if not ovens:
                run.count("elsewhere")
                if len(run.elsewhere) < MOST_NAMED:
                    run.elsewhere[found.serial] = None
            for oven in ovens:
                tell = oven.machine.id in run.known or self.clock.now() - _end(found) < RECENT
                run.count(await self.batches.take(oven.machine, found, tell=tell))
        except UnreadableBatch as error:
            run.pass_over(error.name if error.name != "?" else name, error.reason)
        except Unavailable:
            raise
        except OvenbridgeError as error:
            run.pass_over(name, error.detail)
        except Exception as error:
            # Whatever one batch holds, the others are not to be lost for it.
            log.exception("A batch could not be taken: %s", name)
            run.pass_over(name, f"it could not be taken ({type(error).__name__}); the log has the details")


def _next(done: Resume, largest: int) -> Resume:
    """The page after this one; after a small page perhaps one of twice the size, if it begins there."""
    begin, size = (done.page + 1) * done.size, done.size
    if size * 2 <= largest and begin % (size * 2) == 0:
        size *= 2
    return replace(done, page=begin // size, size=size)


def _end(found: FoundBatch) -> datetime:
    return found.ended_at or found.started_at


def same_serial(one: str, other: str) -> bool:
    """Do these two texts name one device?"""
    return one.strip().casefold() == other.strip().casefold()


def _name_of(item: Any, place: int) -> str:
    known = item.get("id") if isinstance(item, dict) else None
    if isinstance(known, str | int) and not isinstance(known, bool):
        return str(known)[:100]
    return f"number {place + 1} of the answer"
