"""One SQLite file: the ground under the embedded store and queues.

One process owns the file (a kernel lock beside it, gone with the process). Inside, one thread writes and commits for
everybody who waits (group commit: one fsync, many callers), two threads read: one answers point reads in batches,
the other runs queries, so that a long query never holds up a point read.

Why work is handed over in batches: Python's ``sqlite3`` gives the GIL away at every single statement and, while the
event loop is busy, waits up to ``sys.getswitchinterval()`` to get it back. So the number of *statements* per batch
counts, not the number of rows; a :class:`Work` gets everything that waits for it at once and answers it with few.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from shared.errors import BrokenSettings, OvenbridgeError, Unavailable

__all__ = ["SqliteFile", "Wake", "Work"]

log = logging.getLogger("ovenbridge.sqlite")

R = TypeVar("R")

Wake = tuple[asyncio.AbstractEventLoop, Callable[[], object]]
"""Something to call on a loop after the commit."""

SCHEMA_VERSION = 1
"""``PRAGMA user_version``: raised when a file of an older version cannot be used as it is."""

BATCH = 512
"""So many operations share one commit at most: keeps a transaction, and with it the wait, short."""

IDLE_SECONDS = 0.25
"""The writer takes care of upkeep when nothing came for so long."""

PRAGMAS = (
    "PRAGMA journal_mode=WAL",  # readers never wait for the writer, a commit is one sequential write
    "PRAGMA synchronous=FULL",  # in WAL: fsync at every commit - an acknowledged write is on disk
    "PRAGMA busy_timeout=5000",  # only our own connections can collide, and briefly (checkpoint)
    "PRAGMA cache_size=-16384",  # 16 MB of pages per connection: the upper levels of all trees stay in memory
    "PRAGMA temp_store=MEMORY",  # sorting never touches the disk
    "PRAGMA mmap_size=0",  # an I/O error stays an error code and never becomes SIGBUS
)


class Work(Protocol):
    """What can be written, for everybody who asks in the same moment."""

    def apply(self, connection: sqlite3.Connection, items: Sequence[Any]) -> Sequence[Any]:
        """Do it inside the open transaction; one outcome per item, in order. An exception as outcome means: this one
        failed and left nothing behind. Raising undoes everything; then each item is tried by itself."""
        ...

    def committed(self) -> Iterable[Wake]:
        """The last ``apply`` is on disk now. Called in the writer thread, before any caller knows."""
        ...


class _Entry:
    __slots__ = ("future", "item", "loop", "work")

    def __init__(self, work: Any, item: Any, loop: asyncio.AbstractEventLoop | None, future: Any) -> None:
        self.work = work
        self.item = item
        self.loop = loop
        self.future = future


class SqliteFile:
    """An open file. Make one with :meth:`open`; close it with :meth:`release` when the last user is done."""

    def __init__(self, path: Path, lock: int, writer: sqlite3.Connection) -> None:
        self.path = path
        self._lock = lock
        self._writer = writer
        self._users = 0
        self._closed = False
        self._upkeep: list[Callable[[sqlite3.Connection], bool]] = []
        self._writes: SimpleQueue[_Entry | None] = SimpleQueue()
        self._reads: SimpleQueue[_Entry | None] = SimpleQueue()
        self._queries: SimpleQueue[_Entry | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._write_forever, name="sqlite-writer", daemon=True),
            threading.Thread(target=self._read_forever, args=(self._reads,), name="sqlite-reader", daemon=True),
            threading.Thread(target=self._read_forever, args=(self._queries,), name="sqlite-queries", daemon=True),
        ]
        self._started = False

    # Opening and closing -----------------------------------------------------------------------------------------

    @classmethod
    def open(cls, path: Path) -> SqliteFile:
        """Open or create the file.

        Raises:
            BrokenSettings: the folder cannot be used, another process has it, or the file is no database of ours.
        """
        lock = _lock_folder(path)
        try:
            writer = _connect(path)
            version = writer.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise BrokenSettings(
                    f"{path} was written by a newer Ovenbridge (schema {version}); start that one, or use another "
                    "folder in DATA_DIR."
                )
            writer.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        except sqlite3.Error as err:
            os.close(lock)
            raise BrokenSettings(
                f"{path} cannot be opened as our database ({err}). Restore it from a backup, or point DATA_DIR to "
                "another folder."
            ) from err
        except BaseException:
            os.close(lock)
            raise
        return cls(path, lock, writer)

    def prepare(self, setup: Callable[[sqlite3.Connection], R]) -> R:
        """Run a set-up (schema, loading) at start, before anything is written."""
        with contextlib.closing(_connect(self.path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = setup(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        return result

    def retain(self) -> None:
        """One more user."""
        self._users += 1

    def release(self) -> None:
        """One user less; the last one closes the file."""
        self._users -= 1
        if self._users <= 0:
            self.close()

    def close(self) -> None:
        """Write what waits, stop the threads, let the file go. Blocks for one commit at most; idempotent."""
        if self._closed:
            return
        self._closed = True
        for queue in (self._writes, self._reads, self._queries):
            queue.put(None)
        if self._started:
            for thread in self._threads:
                thread.join(10)
        self._writer.close()
        os.close(self._lock)

    # Asking ------------------------------------------------------------------------------------------------------

    async def write(self, work: Work, item: Any) -> Any:
        """Have it written; returns when it is on disk. A cancelled caller stops waiting, the write goes on.

        Raises:
            Unavailable: it could not be written; nothing of it is there.
        """
        return await self._ask(self._writes, work, item)

    def write_later(self, work: Work, item: Any) -> None:
        """Have it written with the next commit; nobody waits for it."""
        self._open()
        self._writes.put(_Entry(work, item, None, None))

    async def read(self, look: Callable[[sqlite3.Connection, Sequence[Any]], Sequence[Any]], item: Any) -> Any:
        """Ask a batched point read; sees every write that was acknowledged before."""
        return await self._ask(self._reads, look, item)

    async def query(self, run: Callable[[sqlite3.Connection], R]) -> R:
        """Run a query in the thread for those that may take long."""
        result: R = await self._ask(self._queries, _alone, run)
        return result

    def when_idle(self, upkeep: Callable[[sqlite3.Connection], bool]) -> None:
        """Upkeep for quiet moments: does a small piece in its own transaction, answers whether more remains."""
        self._upkeep.append(upkeep)

    def _open(self) -> None:
        if self._closed:
            raise Unavailable("The embedded store is closed: the process is stopping.")
        if not self._started:
            self._started = True
            for thread in self._threads:
                thread.start()

    async def _ask(self, queue: SimpleQueue[_Entry | None], work: Any, item: Any) -> Any:
        if not self._started or self._closed:
            self._open()
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        queue.put(_Entry(work, item, loop, future))
        return await future

    # The writer thread -------------------------------------------------------------------------------------------

    def _write_forever(self) -> None:
        more = False
        while True:
            try:
                entry = self._writes.get(timeout=None if not more else IDLE_SECONDS)
            except Empty:
                more = self._tidy()
                continue
            batch, stopping = _drain(self._writes, entry)
            more = True
            if batch:
                outcomes, wakes = self._commit(batch)
                _resolve(batch, outcomes, wakes)
            if stopping:
                return

    def _commit(self, batch: list[_Entry]) -> tuple[list[Any], list[Wake]]:
        connection = self._writer
        outcomes: dict[int, Any] = {}
        wakes: list[Wake] = []
        groups: dict[int, list[_Entry]] = {}
        for entry in batch:
            groups.setdefault(id(entry.work), []).append(entry)
        try:
            connection.execute("BEGIN IMMEDIATE")
            for entries in groups.values():
                results = entries[0].work.apply(connection, [e.item for e in entries])
                for entry, result in zip(entries, results, strict=True):
                    outcomes[id(entry)] = result
            connection.execute("COMMIT")
            for entries in groups.values():
                wakes.extend(entries[0].work.committed())
        except sqlite3.OperationalError as err:
            _roll_back(connection)
            log.error("The store could not write: %s", err)
            return [_unavailable(self.path, err)] * len(batch), []
        except Exception as err:  # noqa: BLE001 - one bad operation must not take the others down, nor this thread
            _roll_back(connection)
            if len(batch) == 1:
                return [_translated(self.path, err)], []
            return self._one_by_one(batch)
        return [outcomes[id(entry)] for entry in batch], wakes

    def _one_by_one(self, batch: list[_Entry]) -> tuple[list[Any], list[Wake]]:
        outcomes: list[Any] = []
        wakes: list[Wake] = []
        for entry in batch:
            outcome, woken = self._commit([entry])
            outcomes += outcome
            wakes += woken
        return outcomes, wakes

    def _tidy(self) -> bool:
        more = False
        for upkeep in self._upkeep:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                more = upkeep(self._writer) or more
                self._writer.execute("COMMIT")
            except sqlite3.Error as err:
                _roll_back(self._writer)
                log.warning("Upkeep of the store is put off: %s", err)
        return more

    # The reader threads ------------------------------------------------------------------------------------------

    def _read_forever(self, queue: SimpleQueue[_Entry | None]) -> None:
        connection = _connect(self.path)
        connection.execute("PRAGMA query_only=1")
        try:
            while True:
                batch, stopping = _drain(queue, queue.get())
                groups: dict[int, list[_Entry]] = {}
                for entry in batch:
                    groups.setdefault(id(entry.work), []).append(entry)
                for entries in groups.values():
                    _resolve(entries, self._look(connection, entries), [])
                if stopping:
                    return
        finally:
            connection.close()

    def _look(self, connection: sqlite3.Connection, entries: list[_Entry]) -> Sequence[Any]:
        try:
            results: Sequence[Any] = entries[0].work(connection, [e.item for e in entries])
        except Exception as err:  # noqa: BLE001 - handed to whoever asked; the thread goes on
            return [_translated(self.path, err)] * len(entries)
        return results


def _alone(connection: sqlite3.Connection, runs: Sequence[Callable[[sqlite3.Connection], Any]]) -> list[Any]:
    results: list[Any] = []
    for run in runs:
        try:
            results.append(run(connection))
        except OvenbridgeError as err:
            results.append(err)
    return results


def _drain(queue: SimpleQueue[_Entry | None], first: _Entry | None) -> tuple[list[_Entry], bool]:
    if first is None:
        return [], True
    batch = [first]
    while len(batch) < BATCH:
        try:
            entry = queue.get_nowait()
        except Empty:
            break
        if entry is None:
            return batch, True
        batch.append(entry)
    return batch, False


def _resolve(batch: Sequence[_Entry], outcomes: Sequence[Any], wakes: Sequence[Wake]) -> None:
    """Tell every caller, with one hand-over per loop."""
    by_loop: dict[asyncio.AbstractEventLoop, tuple[list[tuple[Any, Any]], list[Callable[[], object]]]] = {}
    for entry, outcome in zip(batch, outcomes, strict=True):
        if entry.loop is not None:
            by_loop.setdefault(entry.loop, ([], []))[0].append((entry.future, outcome))
        elif isinstance(outcome, Exception):
            log.error("A write that nobody waits for failed: %s", outcome)
    for loop, call in wakes:
        by_loop.setdefault(loop, ([], []))[1].append(call)
    for loop, (pairs, calls) in by_loop.items():
        with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_tell, pairs, calls)


def _tell(pairs: list[tuple[Any, Any]], calls: list[Callable[[], object]]) -> None:
    for future, outcome in pairs:
        if future.done():
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
    for call in calls:
        call()


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back by itself
            connection.execute("ROLLBACK")


def _translated(path: Path, err: Exception) -> Exception:
    return _unavailable(path, err) if isinstance(err, sqlite3.Error) else err


def _unavailable(path: Path, err: sqlite3.Error) -> Unavailable:
    text = str(err)
    if "full" in text:
        hint = f"The disk is full: make room for {path.parent}."
    elif "malformed" in text or "not a database" in text:
        hint = f"{path} is damaged: stop, and restore it from a backup."
    else:
        hint = f"Check the disk that holds {path.parent}."
    error = Unavailable(f"The embedded store cannot be used right now ({text}). {hint}")
    error.__cause__ = err
    return error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=1024)
    try:
        for pragma in PRAGMAS:
            connection.execute(pragma)
    except BaseException:
        connection.close()
        raise
    return connection


def _lock_folder(path: Path) -> int:
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
