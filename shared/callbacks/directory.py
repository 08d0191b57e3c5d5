"""All registrations as this process knows them, so that telling an event asks the store for nothing.

Read anew every few seconds, and at once after a change in this process: a caller who got 201 is told of the very next
event. Other processes over the same embedded store see it at once too (a signal); elsewhere, with their next reading.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from shared.callbacks.model import ANY, Callback, State
from shared.errors import NotFound
from shared.events import Event
from shared.storage import DocumentStore, Query, every

__all__ = ["Directory"]

CONTAINER = "callbacks"
REFRESH_SECONDS = 5.0
SHARE = 0.02
"""Reading takes at most this share of the time: ten thousand registrations are read less often than ten."""
MAX_CALLBACKS = 10_000

_SHOWN = (State.ACTIVE, State.DISABLED)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    by_id: Mapping[str, Callback] = field(default_factory=dict)
    by_type: Mapping[str, list[Callback]] = field(default_factory=dict)


@runtime_checkable
class _Shared(Protocol):
    """A store that several processes of one host may share."""

    def signal(self, container: str) -> None: ...

    def signals(self, container: str) -> int: ...


class Directory:
    """Who is registered."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self._shared = store if isinstance(store, _Shared) else None
        self._snapshot: _Snapshot | None = None
        self._changes = 0
        self._seen_changes = (-1, -1)
        self._refresh_at = 0.0
        self._lock = asyncio.Lock()

    def changed(self) -> None:
        """A registration was written: read all of them before the next answer."""
        self._changes += 1
        if self._shared is not None:
            self._shared.signal(CONTAINER)

    def _now(self) -> tuple[int, int]:
        """Grows with every change, here and in processes over the same embedded store."""
        return self._changes, 0 if self._shared is None else self._shared.signals(CONTAINER)

    async def matching(self, event: Event) -> list[Callback]:
        """Who wants to be told; disabled ones too, for their notifications are kept."""
        by_type = (await self._fresh()).by_type
        known, of_any = by_type.get(event.type), by_type.get(ANY)
        if of_any:
            known = [*(known or ()), *of_any]
        return [callback for callback in known if callback.wants(event)] if known else []

    async def registered_for(self, event_type: str) -> Sequence[Callback]:
        """Who is registered for this very type, whatever else they want; disabled ones too."""
        return (await self._fresh()).by_type.get(event_type, ())

    def known(self, callback_id: str) -> Callback | None:
        """The registration, when what is in memory is fresh and has it; otherwise :meth:`find` it."""
        snapshot = self._snapshot
        if snapshot is None or self._seen_changes != self._now() or time.monotonic() >= self._refresh_at:
            return None
        return snapshot.by_id.get(callback_id)

    async def find(self, callback_id: str) -> Callback | None:
        """A registration that is active or disabled; ``None``: it is gone, or never was.

        One that another process has just made is read from the store.
        """
        callback = (await self._fresh()).by_id.get(callback_id)
        if callback is not None:
            return callback
        try:
            stored = await self._store.read(CONTAINER, (callback_id,), callback_id)
        except NotFound:
            return None
        callback = Callback.from_document(stored.document)
        return callback if callback.state in _SHOWN else None

    async def everything(self) -> list[Callback]:
        """All of them straight from the store, unfinished and dying ones too, oldest first."""
        found = [
            Callback.from_document(stored.document)
            async for stored in every(self._store, CONTAINER, Query(limit=1000), at_most=2 * MAX_CALLBACKS)
        ]
        found.sort(key=lambda callback: (callback.created_at, callback.id))
        return found

    async def _fresh(self) -> _Snapshot:
        if (
            self._snapshot is not None
            and self._seen_changes == self._now()
            and (time.monotonic() < self._refresh_at or self._lock.locked())
        ):
            return self._snapshot
        async with self._lock:
            # Whoever waited here finds the work done, unless something changed again while it was read.
            if self._snapshot is None or time.monotonic() >= self._refresh_at:
                self._snapshot = await self._read()
            while self._seen_changes != self._now():
                self._snapshot = await self._read()
            return self._snapshot

    async def _read(self) -> _Snapshot:
        changes, started = self._now(), time.monotonic()
        shown = [callback for callback in await self.everything() if callback.state in _SHOWN]
        by_type: dict[str, list[Callback]] = {}
        for callback in shown:
            by_type.setdefault(callback.event_type, []).append(callback)
        self._seen_changes = changes
        now = time.monotonic()
        self._refresh_at = now + max(REFRESH_SECONDS, (now - started) / SHARE)
        return _Snapshot({callback.id: callback for callback in shown}, by_type)
