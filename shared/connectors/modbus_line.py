"""A line: everything that is reached over one address or serial port. One conversation at a time.

Normally a poll connects, reads and disconnects. A connection is handed on to whoever waits for the same line, and kept
for a few seconds where the line is asked that often: connecting anew every second would cost four times the CPU of the
reading itself (docs/performance.md). What is kept is never trusted: it is replaced as soon as it fails.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from shared.connectors.modbus_units import Units
from shared.errors import DeviceError

if TYPE_CHECKING:
    from shared.connectors.modbus_blocks import Block
    from shared.connectors.modbus_wire import ModbusConnection

__all__ = ["Line", "Lines", "lines"]

KEEP_SECONDS = 5.0
"""A connection is kept for a line that is asked more often than this, and so long."""
MOST_LINES = 4_000
MOST_REFUSED = 2_000


@dataclass(slots=True)
class _Failure:
    """The last time the line could not be opened."""

    at: float
    error: DeviceError


class Line:
    """One address or port, shared by all devices behind it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.units = Units()
        self.connection: ModbusConnection | None = None
        self.one_request_each = False
        """This device answers only the first request of a connection."""
        self.suspicions = 0
        """Times it went silent in a connection and answered in a new one, one after the other."""
        self.forgotten = False
        """Another line stands for this name by now."""
        self._loop = loop
        self._turns = asyncio.Lock()
        self._waiting = 0
        self.used_at = float("-inf")
        """When it was last spoken on."""
        self.keeps = True
        """Kept connections work with this device."""
        self._often = False
        self._closer: asyncio.TimerHandle | None = None
        self._failure: _Failure | None = None
        self._refused: set[tuple[object, ...]] = set()

    @property
    def now(self) -> float:
        """The loop's clock, in seconds."""
        return self._loop.time()

    def serves(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Is this still the line of its name, in this loop?"""
        return self._loop is loop and not self.forgotten

    @property
    def is_idle(self) -> bool:
        """Nobody speaks, nothing is open."""
        return self.connection is None and not self._turns.locked() and not self._waiting

    async def take(self) -> None:
        """Wait for the line and have it alone, until :meth:`leave`. First come, first served.

        Raises:
            DeviceError: while we waited, somebody before us found that the line cannot be opened.
        """
        asked_at = self.now
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        if self._failure is not None and self._failure.at > asked_at:
            self._turns.release()
            raise type(self._failure.error)(self._failure.error.detail)
        self._often = self.now - self.used_at < KEEP_SECONDS

    def leave(self, *, keep_open: bool | None) -> None:
        """Let the next one have it."""
        self._put_down(keep_open)
        self._turns.release()

    def failed(self, error: DeviceError) -> None:
        """It could not be opened: those who wait already need not try again, each for as long."""
        self._failure = _Failure(self.now, error)

    def suspect(self, *, handed_on: bool, after: int) -> None:
        """It went silent in a used connection and answered in a new one. Some devices do so always.

        ``handed_on``: the connection was used by the turn before, not by this one.
        """
        self.suspicions += 1
        if self.suspicions >= after:
            self.suspicions = 0
            self.keeps = False
            self.one_request_each = self.one_request_each or not handed_on

    def drop(self) -> None:
        """Close what is open."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def refuses(self, unit: int, block: Block) -> bool:
        """Did this unit refuse this block before?"""
        return (unit, *block.span) in self._refused

    def refused(self, unit: int, block: Block) -> None:
        """Remember that this unit does not answer this block as a whole."""
        if len(self._refused) >= MOST_REFUSED:
            self._refused.clear()
        self._refused.add((unit, *block.span))

    def _put_down(self, keep_open: bool | None) -> None:
        if self.connection is None:
            return
        kept = self._waiting > 0 or (self._often if keep_open is None else keep_open)
        if not kept or not self.keeps or not self.connection.alive:
            self.drop()
        elif self._closer is None:
            self._closer = self._loop.call_later(KEEP_SECONDS, self._close_if_idle)

    def _close_if_idle(self) -> None:
        self._closer = None
        if self.connection is None:
            return
        left = KEEP_SECONDS if self._turns.locked() else self.used_at + KEEP_SECONDS - self.now
        if left > 0:
            self._closer = self._loop.call_later(left, self._close_if_idle)
        else:
            self.drop()

    def close(self) -> None:
        """For good."""
        if self._closer is not None:
            self._closer.cancel()
            self._closer = None
        self.drop()


class Lines:
    """The lines of a process. Shared by all connectors, because a serial port and a gateway are."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lines: dict[str, Line] = {}

    def of(self, name: str) -> Line:
        """The line of this name."""
        line = self._lines.get(name)
        if line is None:
            if len(self._lines) >= MOST_LINES:
                self._forget_idle()
            line = self._lines[name] = Line(self._loop)
        return line

    def _forget_idle(self) -> None:
        for name, line in tuple(self._lines.items()):
            if line.is_idle:
                line.forgotten = True
                del self._lines[name]

    def close(self) -> None:
        """Close what is kept open."""
        for line in self._lines.values():
            line.close()


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Lines] = WeakKeyDictionary()


def lines() -> Lines:
    """The lines of the running loop, of which a process has one."""
    loop = asyncio.get_running_loop()
    found = _of_loop.get(loop)
    if found is None:
        found = _of_loop[loop] = Lines(loop)
    return found
