"""How a callback is doing: when it was last told, when it last said yes, since when it only fails.

Kept in memory and written with the sweep, so that a delivery writes no document that others write too. A process that
runs no sweep writes it now and then by itself. One that dies takes the knowledge of that time with it; deliveries
themselves lose nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime

from shared.callbacks.model import Callback, State
from shared.clock import iso
from shared.errors import NotFound, PreconditionFailed
from shared.storage import DocumentStore, PatchOperation, SetPath

__all__ = ["BAD_LUCK", "Standing", "status_of"]

CONTAINER = "callbacks"
BAD_LUCK = 3
"""So many failed tries in a row, and a callback is called degraded."""


PATIENCE_SECONDS = 45.0
"""Longer than from one sweep to the next."""


@dataclass(slots=True)
class _Notes:
    triggered: datetime | None = None
    succeeded: datetime | None = None
    failures: int = 0
    """In a row."""
    first_failure: datetime | None = None
    recovered: bool = False
    """A success since the last writing."""
    unwritten: bool = False


class Standing:
    """What this process saw of each callback."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self._notes: dict[str, _Notes] = {}
        self._write_by = time.monotonic() + PATIENCE_SECONDS

    def overdue(self) -> bool:
        """Has nobody written for too long, here? Says so once; then it is the caller's to do."""
        if time.monotonic() < self._write_by:
            return False
        self._write_by = time.monotonic() + PATIENCE_SECONDS
        return True

    def succeeded(self, callback_id: str, now: datetime) -> None:
        """A receiver confirmed."""
        notes = self._of(callback_id)
        notes.triggered = notes.succeeded = now
        notes.failures, notes.first_failure = 0, None
        notes.recovered = notes.unwritten = True

    def failed(self, callback_id: str, now: datetime) -> None:
        """A try failed."""
        notes = self._of(callback_id)
        notes.triggered = now
        notes.failures += 1
        notes.first_failure = notes.first_failure or now
        notes.unwritten = True

    def begin_anew(self, callback_id: str) -> None:
        """It was enabled: earlier failures no longer count."""
        notes = self._of(callback_id)
        notes.failures, notes.first_failure, notes.recovered = 0, None, True

    def seen_with(self, callback: Callback) -> Callback:
        """The callback with what this process knows beyond its document."""
        notes = self._notes.get(callback.id)
        if notes is None:
            return callback
        return replace(
            callback,
            last_triggered_at=_later(callback.last_triggered_at, notes.triggered),
            last_successful_at=_later(callback.last_successful_at, notes.succeeded),
            failing_since=_failing_since(callback.failing_since, notes),
        )

    async def write(self, known: dict[str, Callback]) -> int:
        """Write what is new; how many documents."""
        self._write_by = time.monotonic() + PATIENCE_SECONDS
        written = 0
        for callback_id, notes in tuple(self._notes.items()):
            if not notes.unwritten:
                continue
            notes.unwritten = False
            callback = known.get(callback_id)
            if callback is None:
                del self._notes[callback_id]
                continue
            try:
                await self._store.patch(CONTAINER, (callback_id,), callback_id, _operations(self.seen_with(callback)))
                notes.recovered = False
                written += 1
            except (NotFound, PreconditionFailed):
                self._notes.pop(callback_id, None)
        return written

    def _of(self, callback_id: str) -> _Notes:
        notes = self._notes.get(callback_id)
        if notes is None:
            notes = self._notes[callback_id] = _Notes()
        return notes


def status_of(callback: Callback) -> str:
    """``disabled``, ``degraded`` or ``healthy``."""
    if callback.state is State.DISABLED:
        return "disabled"
    return "degraded" if callback.failing_since is not None else "healthy"


def _failing_since(written: datetime | None, notes: _Notes) -> datetime | None:
    if notes.failures >= BAD_LUCK:
        return written if written is not None and not notes.recovered else notes.first_failure
    if notes.failures == 0 or notes.recovered:
        return None
    return written


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return max(one, other)


def _operations(callback: Callback) -> list[PatchOperation]:
    return [
        SetPath(path, iso(moment) if moment else None)
        for path, moment in (
            ("lastTriggeredAt", callback.last_triggered_at),
            ("lastSuccessfulAt", callback.last_successful_at),
            ("failingSince", callback.failing_since),
        )
    ]
