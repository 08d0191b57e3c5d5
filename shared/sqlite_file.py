"""One SQLite file: the ground under the embedded store and queues.

One process owns the file (a kernel lock beside it, gone with the process), alone or with worker processes that it
starts (``sqlite_crew.py``). Inside, one thread writes and commits for
everybody who waits (group commit: one fsync, many callers), two threads read: one answers point reads in batches,
the other runs queries, so that a long query never holds up a point read. A fourth moves what was committed from the
write-ahead log into the file, so that the writer never stops for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from shared.errors import OvenbridgeError, Unavailable
from shared.sqlite_crew import Crew, share_folder, wait_for_orphans
from shared.sqlite_opening import connect, lock_folder, open_database, unusable
from shared.sqlite_threads import Desk, Entry, Mailbox, Wake, answer, take_turns_quickly

__all__ = ["SqliteFile", "Work"]

log = logging.getLogger("ovenbridge.sqlite")

R = TypeVar("R")

BATCH = 512
"""So many operations share one commit at most: keeps a transaction, and with it the wait, short."""

CROWD = 8
"""With more operations than this in the usual commit the writer waits a moment for others before it begins."""

GATHER_SECONDS = 0.001
"""How long. Measured on deliveries: a third fewer commits, a fifth less processor time, a tenth more throughput; 4 ms
gain nothing more and cost latency. A quiet store never waits."""

IDLE_SECONDS = 0.25
"""The writer takes care of upkeep when nothing came for so long,"""
MORE_SECONDS = 0.05
"""then at this interval while there is more to do,"""
UPKEEP_SECONDS = 60.0
"""then at this one;"""
BUSY_SECONDS = 2.0
"""and a little of it now and then even when it is never idle, or the file would grow."""

CHECKPOINT_ROWS = 4_000
"""So many changed rows (a commit counts as four more) until the log is moved into the file: 5 to 40 MB of it."""


_ALWAYS = contextlib.nullcontext()
"""The turn of a process that writes alone."""


class Work(Protocol):
    """What can be written, for everybody who asks in the same moment."""

    def apply(self, connection: sqlite3.Connection, items: Sequence[Any]) -> Sequence[Any]:
        """Do it inside the open transaction; one outcome per item, in order. An exception as outcome means: this one
        failed and left nothing behind. Raising undoes everything; then each item is tried by itself."""
        ...

    def committed(self) -> Iterable[Wake]:
        """The last ``apply`` is on disk now. Called in the writer thread, before any caller knows."""
        ...


class SqliteFile:
    """An open file. Make one with :meth:`open`; it closes when its last user releases it."""

    def __init__(self, path: Path, lock: int, writer: sqlite3.Connection, crew: Crew | None = None) -> None:
        self.path = path
        self.crew = crew
        """The processes over this file; ``None``: this one alone."""
        self._lock = lock
        self._writer = writer
        self._users = 0
        self._closed = False
        self._started = False
        self._failing = False
        self._unmoved = 0
        self._moved_mostly = False
        self._move = threading.Event()
        self._querying: sqlite3.Connection | None = None
        self._upkeep: list[Callable[[sqlite3.Connection], bool]] = []
        self._writes, self._reads, self._queries = Mailbox(), Mailbox(), Mailbox()
        self._desks: dict[asyncio.AbstractEventLoop, dict[Mailbox, Desk]] = {}
        self._threads = [
            threading.Thread(target=self._write_forever, name="sqlite-writer", daemon=True),
            threading.Thread(target=self._read_forever, args=(self._reads,), name="sqlite-reader", daemon=True),
            threading.Thread(target=self._read_forever, args=(self._queries,), name="sqlite-queries", daemon=True),
            threading.Thread(target=self._move_forever, name="sqlite-checkpoint", daemon=True),
        ]

    # Opening and closing -----------------------------------------------------------------------------------------

    @classmethod
    def open(cls, path: Path, crew: tuple[int, int] | None = None) -> SqliteFile:
        """Open or create the file; ``crew``: as this slot (0: the owner) of so many processes.

        Raises:
            BrokenSettings: the folder cannot be used, another process has it, or the file is no database of ours.
        """
        slot, size = crew or (0, 1)
        lock = lock_folder(path) if slot == 0 else share_folder(path)
        try:
            if slot == 0:
                wait_for_orphans(path)
            return cls(path, lock, open_database(path), Crew(path, slot, size) if size > 1 else None)
        except BaseException:
            os.close(lock)
            raise

    def prepare(self, setup: Callable[[sqlite3.Connection], R]) -> R:
        """Run a set-up (schema, loading) at start, before anything is written.

        Raises:
            BrokenSettings: the file is damaged or cannot be written.
        """
        try:
            with contextlib.closing(connect(self.path)) as connection, self._turn():
                connection.execute("BEGIN IMMEDIATE")
                try:
                    result = setup(connection)
                    connection.execute("COMMIT")
                except BaseException:
                    _roll_back(connection)
                    raise
        except sqlite3.Error as err:
            raise unusable(self.path, err) from err
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
        """Write what waits, stop the threads, let the file go. Takes as long as one commit; idempotent."""
        if self._closed:
            return
        self._closed = True
        for desks in self._desks.values():
            for desk in desks.values():
                desk.hand_over()
        for mailbox in (self._writes, self._reads, self._queries):
            mailbox.stop()
        self._move.set()
        if self._querying is not None:
            # Its thread may have closed it a moment ago.
            with contextlib.suppress(sqlite3.ProgrammingError):
                self._querying.interrupt()
        if self._started:
            for thread in self._threads:
                thread.join(10)
        self._writer.close()
        if self.crew is not None:
            self.crew.close()
        os.close(self._lock)

    # Asking ------------------------------------------------------------------------------------------------------

    def write(self, work: Work, item: Any) -> asyncio.Future[Any]:
        """Have it written; await it: done when it is on disk. A cancelled caller stops waiting, the write goes on.

        Raises:
            Unavailable: it could not be written; nothing of it is there.
        """
        return self._ask(self._writes, work, item)

    def write_later(self, work: Work, item: Any) -> None:
        """Have it written with the next commit; nobody waits for it. Called on a loop."""
        self._start()
        self._desk(asyncio.get_running_loop(), self._writes).leave(Entry(work, item, None, None))

    def read(
        self, look: Callable[[sqlite3.Connection, Sequence[Any]], Sequence[Any]], item: Any
    ) -> asyncio.Future[Any]:
        """Ask a batched point read; sees every write that was acknowledged before."""
        return self._ask(self._reads, look, item)

    async def query(self, run: Callable[[sqlite3.Connection], R]) -> R:
        """Run a query in the thread for those that may take long."""
        result: R = await self._ask(self._queries, _alone, run)
        return result

    def when_idle(self, upkeep: Callable[[sqlite3.Connection], bool]) -> None:
        """Upkeep for quiet moments: does a small piece in its own transaction, answers whether more remains."""
        self._upkeep.append(upkeep)

    def _start(self) -> None:
        if self._closed:
            raise Unavailable("The embedded store is closed: the process is stopping.")
        if not self._started:
            self._started = True
            take_turns_quickly()
            for thread in self._threads:
                thread.start()

    def _ask(self, mailbox: Mailbox, work: Any, item: Any) -> asyncio.Future[Any]:
        if self._closed or not self._started:
            self._start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._desk(loop, mailbox).leave(Entry(work, item, loop, future))
        return future

    def _desk(self, loop: asyncio.AbstractEventLoop, mailbox: Mailbox) -> Desk:
        desks = self._desks.get(loop)
        if desks is None:
            self._desks = {known: d for known, d in self._desks.items() if not known.is_closed()}
            desks = {m: Desk(loop, m) for m in (self._writes, self._reads, self._queries)}
            self._desks[loop] = desks
        return desks[mailbox]

    # The writer thread -------------------------------------------------------------------------------------------

    def _write_forever(self) -> None:
        pause = IDLE_SECONDS
        tidied = time.monotonic()
        usual = 0.0
        while True:
            batch, stopping = self._writes.take(BATCH, pause)
            if batch and not stopping and usual > CROWD and len(batch) < BATCH:
                time.sleep(GATHER_SECONDS)
                batch += self._writes.take_more(BATCH - len(batch))
            usual = 0.75 * usual + 0.25 * len(batch)
            if batch:
                pause = IDLE_SECONDS
                if self._moved_mostly:
                    self._finish_moving()
                with self._turn():
                    if self.crew is not None:  # more came while another process had its turn
                        batch += self._writes.take_more(BATCH - len(batch))
                    done = self._commit(batch)
                answer(batch, *done)
            if stopping:
                return
            if not batch or time.monotonic() - tidied > BUSY_SECONDS:
                pause = MORE_SECONDS if self._tidy() else UPKEEP_SECONDS
                tidied = time.monotonic()

    def _commit(self, batch: list[Entry]) -> tuple[list[Any], list[Wake]]:
        """All in one transaction, within the turn; the outcomes in order, and who is to be woken."""
        connection = self._writer
        groups: dict[Any, list[Entry]] = {}
        for entry in batch:
            groups.setdefault(entry.work, []).append(entry)
        outcomes: dict[Entry, Any] = {}
        rows = connection.total_changes
        try:
            connection.execute("BEGIN IMMEDIATE")
            for work, entries in groups.items():
                results = work.apply(connection, [entry.item for entry in entries])
                outcomes.update(zip(entries, results, strict=True))
            connection.execute("COMMIT")
        except Exception as err:  # noqa: BLE001 - whatever it is, callers must hear of it and this thread go on
            _roll_back(connection)
            return self._failed(batch, err)
        if self._failing:
            self._failing = False
            log.info("The store writes again.")
        wakes = [wake for work in groups for wake in work.committed()]
        self._note_rows(connection.total_changes - rows)
        return [outcomes[entry] for entry in batch], wakes

    def _turn(self) -> contextlib.AbstractContextManager[None]:
        return _ALWAYS if self.crew is None else self.crew.turn()

    def _failed(self, batch: list[Entry], err: Exception) -> tuple[list[Any], list[Wake]]:
        if isinstance(err, sqlite3.OperationalError):  # the disk, not an operation: the same for all
            if not self._failing:  # said once: under load it happens a hundred times a second
                self._failing = True
                log.error("The store cannot write: %s", err)
            return [_unavailable(self.path, err) for _ in batch], []
        if len(batch) == 1:
            return [_translated(self.path, err)], []
        outcomes: list[Any] = []
        wakes: list[Wake] = []
        for entry in batch:  # one of them is bad: the others must not suffer
            outcome, woken = self._commit([entry])
            outcomes += outcome
            wakes += woken
        return outcomes, wakes

    def _tidy(self) -> bool:
        more = False
        if self.crew is not None and self.crew.slot != 0:  # the owner does it for all
            return more
        for upkeep in self._upkeep:
            with self._turn():
                try:
                    self._writer.execute("BEGIN IMMEDIATE")
                    more = upkeep(self._writer) or more
                    self._writer.execute("COMMIT")
                except Exception as err:  # noqa: BLE001 - upkeep can wait; this thread must go on
                    _roll_back(self._writer)
                    log.warning("Upkeep of the store is put off: %s", err)
        return more

    # Moving the log into the file --------------------------------------------------------------------------------

    def _note_rows(self, rows: int) -> None:
        self._unmoved += rows + 4
        if self._unmoved >= CHECKPOINT_ROWS and not self._move.is_set():
            self._unmoved = 0
            self._move.set()

    def _move_forever(self) -> None:
        with contextlib.closing(connect(self.path)) as connection:
            while True:
                self._move.wait()
                if self._closed:
                    return
                self._checkpoint(connection)
                self._move.clear()
                if self._closed:  # asked to stop meanwhile, and that call was just cleared away
                    return
                self._moved_mostly = True

    def _finish_moving(self) -> None:
        """The little that came in the meantime, between two commits: then the log starts anew and does not grow."""
        self._moved_mostly = False
        with self._turn():
            self._checkpoint(self._writer)

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as err:
            log.warning("The log of the store could not be moved into its file, it will be tried again: %s", err)

    # The reader threads ------------------------------------------------------------------------------------------

    def _read_forever(self, mailbox: Mailbox) -> None:
        connection: sqlite3.Connection | None = None
        while True:
            batch, stopping = mailbox.take(BATCH)
            groups: dict[Any, list[Entry]] = {}
            for entry in batch:
                groups.setdefault(entry.work, []).append(entry)
            for work, entries in groups.items():
                try:
                    if connection is None:
                        connection = self._connect_reader(mailbox)
                    outcomes = work(connection, [entry.item for entry in entries])
                except Exception as err:  # noqa: BLE001 - handed to whoever asked; this thread goes on
                    outcomes = [_translated(self.path, err) for _ in entries]
                answer(entries, outcomes)
            if stopping:
                break
        if connection is not None:
            connection.close()

    def _connect_reader(self, mailbox: Mailbox) -> sqlite3.Connection:
        connection = connect(self.path)
        connection.execute("PRAGMA query_only=1")
        if mailbox is self._queries:
            self._querying = connection
        return connection


def _alone(connection: sqlite3.Connection, runs: Sequence[Callable[[sqlite3.Connection], Any]]) -> list[Any]:
    results: list[Any] = []
    for run in runs:
        try:
            results.append(run(connection))
        except (OvenbridgeError, sqlite3.Error) as err:
            results.append(_translated(Path("the store"), err))
    return results


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
