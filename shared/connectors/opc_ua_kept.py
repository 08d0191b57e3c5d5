"""A session kept between two reads, for devices that are read every second or so.

Connecting, signing in and leaving cost twice the processor time of the read itself, and the server as much again
(docs/performance.md). So a session stays open while the device is asked more often than every few seconds, and for less
than a minute: it is replaced as a whole, never renewed, and at the first sign of trouble. Nothing is subscribed to.
"""

from __future__ import annotations

import asyncio
import random
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.connectors.opc_ua_session import Door

__all__ = ["Kept"]

KEEP_SECONDS = 5.0
"""A session is kept for a device that is read more often than this, and so long."""
OLDEST_SECONDS = 45.0
"""Then it is replaced: before its channel ends (a minute), at a time that differs from device to device."""

PAUSE_SECONDS = 60.0
"""So long nothing is kept after a kept session fell silent."""


class Kept:
    """The session of one connector while nobody uses it."""

    def __init__(self) -> None:
        self._door: Door | None = None
        self._replace_at = 0.0
        self._used_at = float("-inf")
        self._not_before = float("-inf")
        self._closer: asyncio.TimerHandle | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    def take(self) -> Door | None:
        """The session, if there is one that can be used. It is the caller's now."""
        door, self._door = self._door, None
        if door is None:
            return None
        if monotonic() < self._replace_at and door.alive:
            return door
        self._dismiss(door)
        return None

    def put(self, door: Door, *, fresh: bool) -> bool:
        """After a good read: keep it, where the device is read that often. ``False``: the caller leaves it.

        ``fresh``: it was opened just now.
        """
        now = monotonic()
        often, self._used_at = now - self._used_at < KEEP_SECONDS, now
        if not often or now < self._not_before or self._door is not None or not door.alive:
            return False
        if fresh:
            self._replace_at = now + OLDEST_SECONDS * random.uniform(0.6, 1.0)  # noqa: S311
        self._door = door
        if self._closer is None:
            self._closer = asyncio.get_running_loop().call_later(KEEP_SECONDS, self._close_if_idle)
        return True

    def pause(self) -> None:
        """A kept session fell silent. Should the server be slow or dislike it, it costs a session now and then only."""
        self._not_before = monotonic() + PAUSE_SECONDS

    async def close(self) -> None:
        """Leave what is kept, and wait until it is left."""
        if self._closer is not None:
            self._closer.cancel()
            self._closer = None
        door, self._door = self._door, None
        if door is not None:
            self._dismiss(door)
        if self._leaving:
            await asyncio.wait(self._leaving)

    def _close_if_idle(self) -> None:
        self._closer = None
        left = self._used_at + KEEP_SECONDS - monotonic()
        if left > 0:
            self._closer = asyncio.get_running_loop().call_later(left, self._close_if_idle)
        elif self._door is not None:
            door, self._door = self._door, None
            self._dismiss(door)

    def _dismiss(self, door: Door) -> None:
        """In the background: the next read need not wait for a goodbye."""
        task = asyncio.get_running_loop().create_task(door.leave())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
