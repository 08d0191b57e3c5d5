"""Several processes over one SQLite file: whose turn it is to write, and what the others have changed.

A write transaction is a *turn*: a kernel lock that goes on to who waits as soon as it is let go, also when its holder
is killed, where SQLite's own waiting is a sleep that grows. Every process counts its changes in memory that all of them
map, by a number made of what was changed; whether another process changed it is then known without asking the disk.
Counts are raised within the turn, after the commit and before anybody is told of it: whoever holds the turn sees them
exactly, and everybody else never too late for what was acknowledged.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import BrokenSettings

__all__ = ["AREAS", "MOST_WORKERS", "SIGNALS", "Crew"]

MOST_WORKERS = 16
AREAS = 65_536
"""Counters of a process for what it changed: so many that two documents seldom share one."""
SIGNALS = 64
"""Counters behind them that are raised by hand."""
_EACH = AREAS + SIGNALS
_ORPHAN_SECONDS = 10.0
"""How long processes of a host that was killed may take to end."""


class Crew:
    """The processes over one file, seen from one of them.

    ``slot`` 0 owns the file and starts the others, which end with it; each slot is one process at a time.
    """

    def __init__(self, path: Path, slot: int, size: int) -> None:
        """
        Raises:
            BrokenSettings: there is no room beside the file.
        """
        if not 0 <= slot < size <= MOST_WORKERS:
            raise ValueError(f"no slot {slot} of {size}")
        self.slot = slot
        self.size = size
        self._turn = _open(path.with_name(path.name + ".turn"))
        handle = _open(path.with_name(path.name + ".counts"))
        length = size * _EACH * 8
        try:
            os.posix_fallocate(handle, 0, length)  # now: on a full disk, a page that is not there yet would be SIGBUS
            mapped = mmap.mmap(handle, length)
        except OSError as err:
            os.close(self._turn)
            raise BrokenSettings(
                f"DATA_DIR: the folder {path.parent} cannot be shared among processes ({err.strerror}): make room on "
                "its disk, or leave --workers out."
            ) from err
        finally:
            os.close(handle)
        self._counts = memoryview(mapped).cast("Q")
        self._others = [other * _EACH for other in range(size) if other != slot]
        for area in range(_EACH):  # whoever had this slot before may have died between a commit and its count
            self.note(area)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Nobody else writes meanwhile. Blocks the thread."""
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def note(self, area: int) -> None:
        """This process has changed something there, and it is on disk."""
        self._counts[self.slot * _EACH + area] += 1

    def elsewhere(self, area: int) -> int:
        """A number that grows with every change there by another process."""
        counts = self._counts
        return sum([counts[first + area] for first in self._others])

    def close(self) -> None:
        """Take no more turns. Counts may still be asked for by whoever ends last."""
        os.close(self._turn)


def share_folder(path: Path) -> int:
    """Hold the file beside its owner, until the handle is closed or the process ends."""
    handle = _open(path.with_name(path.name + ".workers"))
    fcntl.flock(handle, fcntl.LOCK_SH)
    return handle


def wait_for_orphans(path: Path) -> None:
    """The processes of an owner that was killed end by themselves; until they have, nobody may begin.

    Raises:
        BrokenSettings: they have not.
    """
    workers = path.with_name(path.name + ".workers")
    if not workers.exists():
        return
    handle = _open(workers)
    deadline = time.monotonic() + _ORPHAN_SECONDS
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > deadline:
                    raise BrokenSettings(
                        f"DATA_DIR: worker processes of an earlier host still hold the folder {path.parent}; end them, "
                        "or name another folder."
                    ) from None
                time.sleep(0.02)
            else:
                return
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
