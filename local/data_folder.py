"""The data folder: made, tried for writing, and held by one host at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from shared.errors import BrokenSettings

__all__ = ["DataFolder"]


class DataFolder:
    """A folder that this process alone works in. The lock ends with the process, however it ends."""

    def __init__(self, path: Path, lock: IO[str]) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def take(cls, path: Path) -> DataFolder:
        """Make the folder if need be and hold it.

        Raises:
            BrokenSettings: it cannot be written, or another host is at work in it.
        """
        try:
            (path / "timers").mkdir(parents=True, exist_ok=True)
            _try_writing(path)
            lock = (path / "host.lock").open("a+")
        except OSError as err:
            raise BrokenSettings(
                f"The data folder {path} cannot be written: {err.strerror}. Choose another with --data."
            ) from err
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            lock.seek(0)
            owner = lock.read(20).strip()
            lock.close()
            by = f" (process {owner})" if owner.isdecimal() else ""
            raise BrokenSettings(
                f"The data folder {path} is in use by another host{by}. Stop that one, or choose another with --data."
            ) from err
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        return cls(path, lock)

    def release(self) -> None:
        """Let others work in it."""
        self._lock.close()


def _try_writing(path: Path) -> None:
    probe = path / "host.probe"
    with probe.open("w") as file:
        file.write("written to see whether writing works")
        file.flush()
        os.fsync(file.fileno())
    probe.unlink()
