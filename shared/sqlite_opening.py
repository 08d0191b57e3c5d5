"""Opening a SQLite file of ours: one owner, our settings, our schema, and a clear no where that is not so."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

from shared.errors import BrokenSettings

__all__ = ["PRAGMAS", "connect", "lock_folder", "open_database", "unusable"]

SCHEMA_VERSION = 1
"""``PRAGMA user_version``: raised when a file of an older version cannot be used as it is."""

PRAGMAS = (
    "PRAGMA journal_mode=WAL",  # readers never wait for the writer, a commit is one sequential write
    "PRAGMA synchronous=FULL",  # in WAL: fsync at every commit - an acknowledged write is on disk
    "PRAGMA busy_timeout=5000",  # only our own connections can collide, and briefly (checkpoint)
    "PRAGMA wal_autocheckpoint=0",  # the checkpoint thread does it; inside a commit it would stall everybody
    "PRAGMA journal_size_limit=67108864",  # a log that grew under a burst shrinks again
    "PRAGMA cache_size=-16384",  # 16 MB of pages per connection: the upper levels of all trees stay in memory
    "PRAGMA temp_store=MEMORY",  # sorting never touches the disk
    "PRAGMA mmap_size=0",  # an I/O error stays an error code and never becomes SIGBUS
)


def unusable(path: Path, err: sqlite3.Error) -> BrokenSettings:
    """The same in words, for whoever raises it."""
    return BrokenSettings(
        f"DATA_DIR: {path} cannot be opened as our database ({err}). Restore it from a backup, or name another folder."
    )


def open_database(path: Path) -> sqlite3.Connection:
    """The connection of the owner. Raises ``BrokenSettings``: no database of ours, or of a newer version."""
    try:
        connection = connect(path)
    except sqlite3.Error as err:
        raise unusable(path, err) from err
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise BrokenSettings(
                f"DATA_DIR: {path} was written by a newer Ovenbridge (schema {version}); start that one, or name "
                "another folder."
            )
        if version < SCHEMA_VERSION:
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    except sqlite3.Error as err:
        connection.close()
        raise unusable(path, err) from err
    except BaseException:
        connection.close()
        raise
    return connection


def connect(path: Path) -> sqlite3.Connection:
    """One more connection, with our settings. Raises ``sqlite3.Error``."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=1024)
    try:
        for pragma in PRAGMAS:
            connection.execute(pragma)
    except BaseException:
        connection.close()
        raise
    return connection


def lock_folder(path: Path) -> int:
    """Own the file until the handle is closed or the process ends, however it ends.

    Raises:
        BrokenSettings: the folder cannot be written, or another process has it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as err:
        raise BrokenSettings(
            f"DATA_DIR: the folder {path.parent} cannot be written ({err.strerror}). Make it writable for this user, "
            "or name another one."
        ) from err
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as err:
        os.close(handle)
        raise BrokenSettings(
            f"DATA_DIR: the folder {path.parent} is in use by another process; stop that one, or name another folder."
        ) from err
    return handle
