"""Importing vendors' batches: one account after the other, each oven's window with an overlap, page after page.

Order: every batch of every page is stored, then the ovens' marks move, then the account's state. Killed anywhere, the
next run asks for the same window again and meets what is there. One batch that cannot be understood is passed over,
counted and named; a page that cannot be had ends the run, and the account is left alone for a while.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.clock import Clock, iso
from shared.connectors.profiles import profile_of
from shared.connectors.rational_fields import FIELDS
from shared.connectors.rational_plan import plan
from shared.errors import (
    DeviceAuthenticationError,
    DeviceError,
    DeviceProtocolError,
    InvalidInput,
    NotFound,
    Unavailable,
)
from shared.work.batches_import_pages import Oven, PageReader, Run, same_serial
from shared.work.batches_import_state import AccountState, ImportMarks, OvenState, Resume

if TYPE_CHECKING:
    from shared.connectors.rational_haccp import RationalHaccp
    from shared.equipment.model import Equipment
    from shared.equipment.registry import EquipmentRegistry
    from shared.outgoing.targets import TargetPolicy
    from shared.work.batches import Batches

__all__ = ["BatchImport", "ImportStatus", "Noted"]

CONNECTOR = "rational"
SERVED = timedelta(days=28)
"""The vendor serves the recent month only. Less than that, so that nothing leaves the answer while pages are read:
what follows would move up, and a batch would be passed over."""
RESUMED_WITHIN = timedelta(hours=6)
"""An import that was broken off longer ago begins anew."""
MOST_LISTS = 100
"""Pages of a thousand machines."""
ALL_SECONDS = 420.0
"""No new account is begun after so long: the next run comes after ten minutes."""

log = logging.getLogger("ovenbridge.batches")

Noted = Callable[[str, datetime, str | None, str | None], Awaitable[None]]
"""Told of an import that failed (equipment id, time, sentence, code), and of the first one that works again
(``None``, ``None``)."""


@dataclass(frozen=True, slots=True)
class ImportStatus:
    """How the import of one oven's batches stands."""

    configured: bool
    reason: str | None
    """Why not, or what is missing."""
    serial: str | None
    complete_until: datetime | None
    state: AccountState | None
    next_attempt: datetime | None


class BatchImport:
    """Fetches batches of ovens whose vendor documents them."""

    def __init__(
        self,
        batches: Batches,
        marks: ImportMarks,
        registry: EquipmentRegistry,
        haccp: RationalHaccp,
        targets: TargetPolicy,
        clock: Clock,
        *,
        noted: Noted,
    ) -> None:
        self._batches = batches
        self._marks = marks
        self._registry = registry
        self._pages = PageReader(batches, marks, haccp, clock)
        self._targets = targets
        self._clock = clock
        self._noted = noted

    async def run(self) -> int:
        """Import every account that is due; how many were tried. Tells what was left untold, too."""
        await self._batches.tell()
        accounts = await self._accounts()
        if not accounts:
            return 0
        marks, states = await self._marks.all()
        begun, tried = time.monotonic(), 0
        # Who waited longest comes first, so that nobody waits for ever.
        for account in sorted(accounts, key=lambda name: _last(states.get(name))):
            state, ovens = states.get(account, AccountState(account)), accounts[account]
            due = _due(state, ovens)
            if due is not None and self._clock.now() < due:
                continue
            if time.monotonic() - begun > ALL_SECONDS:
                log.warning("Not every account's batches could be imported in time; the next run goes on.")
                break
            tried += 1
            try:
                await self._import(state, ovens, marks)
            except Unavailable as error:
                # Our own store or queue: the next run repeats it, and other accounts may fare better.
                log.warning("The import of batches of %s was broken off: %s", _names(ovens), error.detail)
            except Exception:
                # A fault of ours. Who waited longest comes first: without a note it would be this account for ever,
                # and none after it.
                log.exception("The import of batches of %s failed unexpectedly", _names(ovens))
                await self._broke(state, ovens)
        return tried

    async def run_for(self, equipment_id: str) -> ImportStatus:
        """Import the account of one oven now, unless it is to be left alone.

        Raises:
            NotFound: no such machine.
            Unavailable: our own store, queue or vault is away.
        """
        status = await self.status(equipment_id)
        backoff = status.state.backoff_until if status.state is not None else None
        if not status.configured or (backoff is not None and self._clock.now() < backoff):
            return status
        marks, states = await self._marks.all()
        for account, ovens in (await self._accounts()).items():
            if any(oven.machine.id == equipment_id for oven in ovens):
                await self._import(states.get(account, AccountState(account)), ovens, marks)
        return await self.status(equipment_id)

    async def status(self, equipment_id: str) -> ImportStatus:
        """How the import of one oven's batches stands. Raises ``NotFound``."""
        machine, _ = await self._registry.get(equipment_id)
        found = await self._planned(machine)
        if isinstance(found, str):
            mark, _ = await self._marks.of(equipment_id, None)
            return ImportStatus(False, found, None, None if mark is None else mark.complete_until, None, None)
        mark, state = await self._marks.of(equipment_id, found.plan.account)
        due = _due(state, [found]) if state is not None else None
        return ImportStatus(
            configured=True,
            reason=None,
            serial=found.serial,
            complete_until=None if mark is None else mark.complete_until,
            state=state,
            next_attempt=due or self._clock.now(),
        )

    # Which ovens -------------------------------------------------------------------------------------------------

    async def _accounts(self) -> dict[str, list[Oven]]:
        """Ovens whose batches can be fetched, by account."""
        accounts: dict[str, list[Oven]] = {}
        for machine in await self._machines():
            try:
                found = await self._planned(machine)
            except Unavailable as error:
                log.warning("The batches of %s are not imported now: %s", machine.id, error.detail)
                continue
            if isinstance(found, Oven):
                accounts.setdefault(found.plan.account, []).append(found)
        return accounts

    async def _machines(self) -> list[Equipment]:
        from shared.equipment.listing import EquipmentFilter

        found: list[Equipment] = []
        continuation: str | None = None
        for _ in range(MOST_LISTS):
            page = await self._registry.list(EquipmentFilter(iot_enabled=True), limit=1000, continuation=continuation)
            found += [machine for machine in page.equipment if _vendors(machine)]
            continuation = page.continuation
            if continuation is None:
                break
        return found

    async def _planned(self, machine: Equipment, *, fresh: bool = False) -> Oven | str:
        """The oven with its plan, or why its batches cannot be fetched."""
        profile = profile_of(machine.protocol) if machine.protocol is not None else None
        if profile is None or profile.connector != CONNECTOR:
            return (
                "Batches are imported of ovens with iot_protocol rational; others are opened by POST /api/v1/batches."
            )
        if machine.polled_from != "cloud":
            return "Batches come from the vendor's cloud and are fetched by the hub: set polled_from to cloud."
        if not machine.iot_enabled:
            return "It is switched off (iot_enabled is false)."
        try:
            config = await self._registry.connector_config(machine, fresh=fresh)
            worked_out = plan(config, profile, machine.id, self._targets)
        except (InvalidInput, NotFound) as error:
            return f"Its IoT configuration cannot be used: {error.detail}"
        if worked_out.batches is None:
            return worked_out.why_no_batches
        serial = worked_out.batches.serial or machine.serial_number or worked_out.batches.unit_id
        if serial is None:
            return "Batches name their device by its serial number: set serial_number of this oven."
        return Oven(machine, worked_out.batches, serial)

    # One account -------------------------------------------------------------------------------------------------

    async def _import(self, state: AccountState, ovens: Sequence[Oven], marks: Mapping[str, OvenState]) -> None:
        now = self._clock.now()
        known = {
            oven.machine.id: mark.complete_until
            for oven in ovens
            if (mark := marks.get(oven.machine.id)) is not None and same_serial(mark.serial, oven.serial)
        }
        run = Run(state, ovens, known, FIELDS.paths(ovens[0].plan.fields), _begin(state, ovens, known, now))
        try:
            finished = await self._pages.read(run)
        except DeviceError as error:
            await self._failed(run, error)
            return
        if finished:
            await self._marks.complete(
                OvenState(oven.machine.id, run.resume.until, oven.serial)
                for oven in ovens
                if oven.machine.id in run.resume.ovens
            )
        done = replace(
            run.noted(),
            last_attempt=now,
            last_complete=run.resume.until if finished else state.last_complete,
            failures=0,
            failing_since=None,
            backoff_until=None,
            error=None,
            error_code=None,
            resume=None if finished else run.resume,
        )
        await self._marks.note(done)
        if state.failures:
            for oven in ovens:
                await self._noted(oven.machine.id, now, None, None)
        if run.unreadable:
            log.warning("Batches of %s that could not be understood: %s", _names(ovens), run.unreadable)

    async def _broke(self, state: AccountState, ovens: Sequence[Oven]) -> None:
        now = self._clock.now()
        error = DeviceProtocolError("The import failed unexpectedly; the log of the hub has the details.")
        try:
            await self._marks.note(state.failed(error, now))
            for oven in ovens:
                await self._noted(oven.machine.id, now, error.detail, error.code)
        except Unavailable as away:
            log.warning("That the import failed could not be noted: %s", away.detail)

    async def _failed(self, run: Run, error: DeviceError) -> None:
        now = self._clock.now()
        log.warning("The batches of %s could not be fetched: %s", _names(run.ovens), error.detail)
        # Pages that were read stay read.
        resume = run.resume if run.resume.page else None
        await self._marks.note(replace(run.noted(), resume=resume).failed(error, now))
        for oven in run.ovens:
            await self._noted(oven.machine.id, now, error.detail, error.code)
        if isinstance(error, DeviceAuthenticationError):
            for oven in run.ovens:
                # They may have been changed in the vault: then the next run has another account, and no pause.
                await self._planned(oven.machine, fresh=True)


def _begin(state: AccountState, ovens: Sequence[Oven], known: Mapping[str, datetime], now: datetime) -> Resume:
    """The window: from where the oven that is furthest behind has everything, with an overlap; or on from a page."""
    oldest = now - SERVED
    if state.resume is not None and now - state.resume.until < RESUMED_WITHIN:
        return state.resume
    where = ovens[0].plan
    overlap = timedelta(hours=max(oven.plan.overlap_hours for oven in ovens))
    marks = [known.get(oven.machine.id, oldest) for oven in ovens]
    since = max(oldest, min(marks) - overlap)
    return Resume(since, now, 0, where.page_size, tuple(oven.machine.id for oven in ovens))


def _due(state: AccountState, ovens: Sequence[Oven]) -> datetime | None:
    """When the account is to be asked next; ``None``: now."""
    if state.last_attempt is None:
        return None
    if state.failures:
        return state.backoff_until
    if state.resume is not None:
        return None
    return state.last_attempt + timedelta(minutes=min(oven.plan.interval_minutes for oven in ovens))


def _last(state: AccountState | None) -> str:
    return "" if state is None or state.last_attempt is None else iso(state.last_attempt)


def _vendors(machine: Equipment) -> bool:
    profile = profile_of(machine.protocol) if machine.protocol is not None else None
    return profile is not None and profile.connector == CONNECTOR


def _names(ovens: Sequence[Oven]) -> str:
    return ", ".join(oven.machine.id for oven in ovens[:5]) + (" ..." if len(ovens) > 5 else "")
