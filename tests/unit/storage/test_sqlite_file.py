"""The file under store and queues: who may open it, what happens when something fails, many loops, a busy loop."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.errors import BrokenSettings, Conflict, NotFound, Unavailable
from shared.sqlite_file import SqliteFile
from shared.sqlite_threads import Desk, Entry, Mailbox, Wake
from shared.storage import Equals, Query, SetPath, Stored
from shared.storage.sqlite import SqliteStore


class Inserts:
    """Work of the test: puts its items into a table; callables are called."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.commits = 0

    def apply(self, connection: sqlite3.Connection, items: Sequence[Any]) -> list[Any]:
        self.batches.append(len(items))
        connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
        outcomes: list[Any] = []
        for item in items:
            if callable(item):
                outcomes.append(item(connection))
            else:
                connection.execute("INSERT INTO t VALUES (?)", (item,))
                outcomes.append(item)
        return outcomes

    def committed(self) -> Iterable[Wake]:
        self.commits += 1
        return ()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SqliteFile]:
    made = SqliteFile.open(tmp_path / "folder" / "x.db")
    yield made
    made.close()


def execute(sql: str, connection: sqlite3.Connection) -> list[Any]:
    return connection.execute(sql).fetchall()


def rows(connection: sqlite3.Connection) -> list[Any]:
    return [x for (x,) in connection.execute("SELECT x FROM t ORDER BY rowid")]


# Opening -------------------------------------------------------------------------------------------------------------


def test_a_second_opener_is_told(file: SqliteFile) -> None:
    with pytest.raises(BrokenSettings, match=r"DATA_DIR.*in use by another process") as caught:
        SqliteFile.open(file.path)
    assert str(file.path.parent) in caught.value.detail
    assert "\n" not in caught.value.detail
    file.close()
    SqliteFile.open(file.path).close()


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("a file")
    with pytest.raises(BrokenSettings, match="DATA_DIR"):
        SqliteFile.open(tmp_path / "plain" / "x.db")


def test_a_folder_that_cannot_be_written_is_told() -> None:
    with pytest.raises(BrokenSettings, match=r"DATA_DIR.*cannot be written"):
        SqliteFile.open(Path("/proc/ovenbridge/x.db"))


@pytest.mark.parametrize("content", [b"no database at all" * 500, b"SQLite format 3\x00" + b"\xff" * 8000])
def test_a_damaged_file_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(content)
    with pytest.raises(BrokenSettings, match="cannot be opened as our database"):
        SqliteFile.open(path)
    path.unlink()
    SqliteFile.open(path).close()


def test_a_file_of_the_future_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(BrokenSettings, match="newer Ovenbridge"):
        SqliteFile.open(path)


def test_it_is_as_durable_as_promised(file: SqliteFile) -> None:
    assert file._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert file._writer.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"


# Group commit --------------------------------------------------------------------------------------------------------


async def test_what_comes_in_one_turn_shares_a_commit(file: SqliteFile) -> None:
    work = Inserts()
    await asyncio.gather(*(file.write(work, n) for n in range(100)))
    assert work.batches == [100]
    assert await file.query(rows) == list(range(100))


async def test_a_bad_operation_harms_no_other(file: SqliteFile) -> None:
    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES ('half')")
        raise ZeroDivisionError("a bug")

    work = Inserts()
    items: list[Any] = [1, broken, 2, lambda c: Conflict("no"), 3]
    outcomes = await asyncio.gather(*(file.write(work, i) for i in items), return_exceptions=True)
    assert [type(o) for o in outcomes] == [int, ZeroDivisionError, int, Conflict, int]
    assert await file.query(rows) == [1, 2, 3]


async def test_an_error_of_sqlite_is_unavailable_and_passes(file: SqliteFile) -> None:
    work = Inserts()
    await file.write(work, 1)
    for sql in ("INSERT INTO nowhere VALUES (1)", "garbage"):
        with pytest.raises(Unavailable, match="Check the disk"):
            await file.write(work, partial(execute, sql))
        with pytest.raises(Unavailable):
            await file.query(partial(execute, sql))
    await file.write(work, 2)
    assert await file.query(rows) == [1, 2]


async def test_a_full_disk_is_unavailable_until_there_is_room(file: SqliteFile) -> None:
    work = Inserts()
    await file.write(work, "small")
    file._writer.execute("PRAGMA max_page_count=10")
    outcomes = await asyncio.gather(*(file.write(work, "x" * 10_000) for _ in range(9)), return_exceptions=True)
    assert all(isinstance(o, Unavailable) and "make room" in o.detail for o in outcomes)
    file._writer.execute("PRAGMA max_page_count=1000000")
    await file.write(work, "after")
    assert await file.query(rows) == ["small", "after"]


async def test_readers_cannot_write(file: SqliteFile) -> None:
    await file.write(Inserts(), 1)
    with pytest.raises(Unavailable):
        await file.query(lambda c: c.execute("DELETE FROM t"))
    assert await file.query(rows) == [1]


async def test_a_long_query_does_not_hold_up_reads_and_writes(tmp_path: Path, clock: ManualClock) -> None:
    store = SqliteStore(SqliteFile.open(tmp_path / "x.db"), clock)
    started, go_on = threading.Event(), threading.Event()

    def long(connection: sqlite3.Connection) -> None:
        connection.execute("SELECT 1").fetchall()
        started.set()
        assert go_on.wait(20)

    query = asyncio.create_task(store._file.query(long))
    await asyncio.to_thread(started.wait, 10)
    await store.create("equipment", {"id": "a"})
    store._cache._rows.clear()
    assert (await store.read("equipment", ("a",), "a")).document == {"id": "a"}
    assert not query.done()
    go_on.set()
    await query
    await store.close()


# Closing -------------------------------------------------------------------------------------------------------------


async def test_closing_writes_what_waits(tmp_path: Path) -> None:
    file = SqliteFile.open(tmp_path / "x.db")
    work = Inserts()
    tasks = [file.write(work, n) for n in range(10)]
    await asyncio.sleep(0)
    file.write_later(work, "later")
    file.close()
    assert await asyncio.gather(*tasks) == list(range(10))
    with pytest.raises(Unavailable):
        await file.write(work, 11)
    file.close()
    again = SqliteFile.open(tmp_path / "x.db")
    assert await again.query(rows) == [*range(10), "later"]
    again.close()


async def test_nothing_ticks_on_the_loop_after_closing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A house opened and closed a hundred times in one loop must cost the hundredth no more than the first."""
    made = SqliteFile.open(tmp_path / "x.db")
    await made.write(Inserts(), 1)
    made.close()
    loop = asyncio.get_running_loop()
    ticks = 0
    later = loop.call_later

    def counting(*args: Any, **more: Any) -> asyncio.TimerHandle:
        nonlocal ticks
        ticks += 1
        return later(*args, **more)

    monkeypatch.setattr(loop, "call_later", counting)
    await asyncio.sleep(0.05)
    assert ticks <= 2, "the loop is still being asked to step aside for a thread that has ended"


async def test_the_last_user_closes(tmp_path: Path) -> None:
    file = SqliteFile.open(tmp_path / "x.db")
    file.retain()
    file.retain()
    file.release()
    await file.write(Inserts(), 1)
    file.release()
    SqliteFile.open(tmp_path / "x.db").close()


async def test_closing_does_not_wait_for_a_long_query(tmp_path: Path) -> None:
    file = SqliteFile.open(tmp_path / "x.db")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    began = threading.Event()

    def long(connection: sqlite3.Connection) -> None:
        began.set()
        connection.execute(endless).fetchall()

    query = asyncio.create_task(file.query(long))
    await asyncio.to_thread(began.wait, 10)
    await asyncio.sleep(0.05)
    started = time.monotonic()
    file.close()
    assert time.monotonic() - started < 5
    with pytest.raises(Unavailable):
        await query


# Loops ---------------------------------------------------------------------------------------------------------------


def test_loops_come_and_go(tmp_path: Path, clock: ManualClock) -> None:
    store = SqliteStore(SqliteFile.open(tmp_path / "x.db"), clock)
    outcomes: list[Any] = []

    async def one(n: int) -> None:
        outcomes.extend(
            await asyncio.gather(
                *(store.create("equipment", {"id": f"e{k}", "by": n}) for k in range(20)), return_exceptions=True
            )
        )

    threads = [threading.Thread(target=lambda n=n: asyncio.run(one(n))) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(o, Stored) for o in outcomes) == 20
    assert sum(isinstance(o, Conflict) for o in outcomes) == 80

    async def leave() -> None:
        left = asyncio.create_task(store.create("equipment", {"id": "last"}))
        await asyncio.sleep(0)
        assert not left.done()

    asyncio.run(leave())

    async def look() -> None:
        page = await store.query("equipment", Query(limit=100))
        assert len(page.items) >= 20
        await store.close()

    asyncio.run(look())


async def test_a_busy_loop_does_not_starve_the_writer(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At Python's own switch interval, a loop that is busy in short turns keeps the writer from ever running, unless
    it steps aside."""
    monkeypatch.setattr("shared.sqlite_file.take_turns_quickly", lambda: None)
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    store = SqliteStore(SqliteFile.open(tmp_path / "x.db"), clock)
    await store.create("equipment", {"id": "a"})
    stop = False

    async def burn() -> None:
        while not stop:
            until = time.perf_counter() + 0.00005
            while time.perf_counter() < until:
                pass
            await asyncio.sleep(0)

    burning = asyncio.create_task(burn())
    try:
        async with asyncio.timeout(5):
            for n in range(10):
                await store.patch("equipment", ("a",), "a", [SetPath("n", n)])
    finally:
        stop = True
        await burning
        await store.close()
        sys.setswitchinterval(before)


async def test_the_loop_steps_aside_while_work_does_not_move(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[float] = []
    monkeypatch.setattr("shared.sqlite_threads.time.sleep", steps.append)
    mailbox = Mailbox()
    desk = Desk(asyncio.get_running_loop(), mailbox)
    for round_ in range(2):
        desk.leave(Entry(None, round_, None, None))
        await asyncio.sleep(0.05)
        assert len(steps) > 3, "nobody takes it"
        batch, stopping = await asyncio.to_thread(mailbox.take, 10)
        assert ([e.item for e in batch], stopping) == ([round_], False)
        await asyncio.to_thread(mailbox.take, 10, 0.001)
        await asyncio.sleep(0.01)
        steps.clear()
        await asyncio.sleep(0.03)
        assert steps == [], "nothing is under way: it does not tick"


async def test_threads_take_turns_quickly(file: SqliteFile) -> None:
    await file.write(Inserts(), 1)
    assert sys.getswitchinterval() <= 0.001


# The cache -----------------------------------------------------------------------------------------------------------


async def test_reads_past_the_cache_see_the_same(tmp_path: Path, clock: ManualClock) -> None:
    store = SqliteStore(SqliteFile.open(tmp_path / "x.db"), clock)
    large = {"id": "large", "text": "x" * 100_000}
    await store.create("equipment", large)
    await store.create("equipment", {"id": "small"})
    assert (await store.read("equipment", ("large",), "large")).document == large
    await store.patch("equipment", ("large",), "large", [SetPath("n", 1)])
    assert (await store.read("equipment", ("large",), "large")).document["n"] == 1
    store._cache._rows.clear()
    etag = (await store.read("equipment", ("small",), "small")).etag
    assert len(store._cache._rows) == 1, "filled by the read"
    await store.replace("equipment", {"id": "small", "n": 2}, etag=etag)
    store._cache._rows.clear()
    assert (await store.read("equipment", ("small",), "small")).document == {"id": "small", "n": 2}
    await store.delete("equipment", ("small",), "small")
    with pytest.raises(NotFound):
        await store.read("equipment", ("small",), "small")
    await store.close()


async def test_a_slow_reader_does_not_put_back_what_was_changed(tmp_path: Path, clock: ManualClock) -> None:
    """A read that began before a write and ends after it must not leave the old state behind."""
    store = SqliteStore(SqliteFile.open(tmp_path / "x.db"), clock)
    await store.create("equipment", {"id": "a", "n": 0})
    store._cache._rows.clear()
    began, go_on = threading.Event(), threading.Event()
    look: Callable[..., Any] = store._cache.fill

    def late(rows: Any, mark: int) -> None:
        rows = list(rows)
        began.set()
        assert go_on.wait(10)
        look(rows, mark)

    store._cache.fill = late  # type: ignore[method-assign]
    reading = asyncio.create_task(store.read("equipment", ("a",), "a"))
    await asyncio.to_thread(began.wait, 10)
    await store.patch("equipment", ("a",), "a", [SetPath("n", 1)])
    go_on.set()
    assert (await reading).document["n"] == 0, "it began before"
    assert (await store.read("equipment", ("a",), "a")).document["n"] == 1
    await store.close()


# Upkeep --------------------------------------------------------------------------------------------------------------


async def test_expired_rows_are_removed_in_quiet_moments(tmp_path: Path, clock: ManualClock) -> None:
    store = SqliteStore(SqliteFile.open(tmp_path / "x.db"), clock)
    for n in range(3):
        await store.create("sessions", {"id": f"s{n}", "ttl": 60 if n else -1})
    clock.advance(3 * 3600)
    count = "SELECT count(*) FROM doc_sessions"
    for _ in range(400):
        left = await store._file.query(lambda c: c.execute(count).fetchone()[0])
        if left == 1:
            break
        await asyncio.sleep(0.05)
    assert left == 1
    assert (await store.read("sessions", ("s0",), "s0")).document["id"] == "s0"
    assert await store.create("sessions", {"id": "s1"})
    await store.close()


async def test_the_log_does_not_grow_for_ever(tmp_path: Path, clock: ManualClock) -> None:
    """Also when the writer never rests: what comes while the log is moved is moved between two commits."""
    path = tmp_path / "x.db"
    store = SqliteStore(SqliteFile.open(path), clock)
    numbers = iter(range(20_000))

    async def write() -> None:
        for n in numbers:
            await store.create("alertRules", {"id": f"{n}", "equipmentId": "o", "x": "y" * 500})

    await asyncio.gather(*(write() for _ in range(64)))
    log = path.with_name("x.db-wal").stat().st_size
    assert log < 20_000_000, f"{log:,} bytes of log; it never started anew"
    assert path.stat().st_size > 10_000_000, "most of it stands in the file"
    await store.close()


async def test_a_newly_indexed_property_is_filled(tmp_path: Path, clock: ManualClock) -> None:
    store = SqliteStore(SqliteFile.open(tmp_path / "x.db"), clock)
    await store.create("equipment", {"id": "a", "name": "Wachtel"})
    await store.create("equipment", {"id": "b", "name": True})

    def older(connection: sqlite3.Connection) -> None:
        connection.execute("DROP INDEX doc_equipment_all_name")
        connection.execute("ALTER TABLE doc_equipment DROP COLUMN x_name")
        connection.execute("CREATE INDEX doc_equipment_old ON doc_equipment (x_site)")

    store._file.prepare(older)
    await store.close()
    store = SqliteStore(SqliteFile.open(tmp_path / "x.db"), clock)
    for value, expected in (("Wachtel", "a"), (True, "b")):
        page = await store.query("equipment", Query((Equals("name", value),)))
        assert [i.document["id"] for i in page.items] == [expected]
    names = await store._file.query(lambda c: c.execute("SELECT name FROM sqlite_master").fetchall())
    assert ("doc_equipment_all_name",) in names
    assert ("doc_equipment_old",) not in names
    await store.close()
