"""Two processes over one embedded file: what the ports promise holds between them, too.

Most of it is shown with two openings of the file in one process, each with threads, connections, caches and a kernel
lock of its own, exactly as two processes have them; and then once more with a process that is one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from shared.callbacks.directory import Directory
from shared.clock import ManualClock
from shared.errors import BrokenSettings, Conflict, PreconditionFailed
from shared.messaging import Outgoing, Received
from shared.messaging.sqlite import SqliteQueue
from shared.sqlite_crew import Crew
from shared.sqlite_file import SqliteFile
from shared.storage import Equals, Increment, Query, SetPath, every
from shared.storage.sqlite import SqliteStore
from tests.benchmarks.wire import ROOT

QUEUE = "callback-deliveries"


@dataclass
class Side:
    """One process's view."""

    store: SqliteStore
    queue: SqliteQueue


def side(folder: Path, clock: ManualClock, slot: int, size: int = 2) -> Side:
    file = SqliteFile.open(folder / "ovenbridge.db", (slot, size))
    return Side(SqliteStore(file, clock), SqliteQueue(file, clock))


@pytest.fixture
async def both(tmp_path: Path, clock: ManualClock) -> AsyncIterator[tuple[Side, Side]]:
    async with AsyncExitStack() as stack:
        sides = []
        for slot in (0, 1):
            made = side(tmp_path, clock, slot)
            stack.push_async_callback(made.store.close)
            stack.push_async_callback(made.queue.close)
            sides.append(made)
        yield sides[0], sides[1]


def document(name: str, **more: object) -> dict[str, object]:
    return {"id": name, "callbackId": "C", "status": "pending", **more}


async def receive(queue: SqliteQueue, limit: int = 100) -> list[Received]:
    """What is due now."""
    try:
        async with asyncio.timeout(0.15):
            return await queue.receive(QUEUE, limit)
    except TimeoutError:
        return []


# Documents -----------------------------------------------------------------------------------------------------------


async def test_what_one_wrote_the_other_reads_also_when_it_knew_better(both: tuple[Side, Side]) -> None:
    one, other = both
    for turn in range(20):
        writer, reader = (one, other) if turn % 2 else (other, one)
        await writer.store.upsert("deliveries", document("d", turn=turn))
        for _ in range(2):  # from the disk, then from memory
            assert (await reader.store.read("deliveries", ("C",), "d")).document["turn"] == turn
        assert (await writer.store.read("deliveries", ("C",), "d")).document["turn"] == turn


async def test_one_creates_and_the_other_is_told_that_it_is_there(both: tuple[Side, Side]) -> None:
    one, other = both
    made = await asyncio.gather(
        *(s.store.create_each("deliveries", [document(f"d{n}") for n in range(50)]) for s in both for _ in range(3))
    )
    assert [sum(flags) for flags in zip(*made, strict=True)] == [1] * 50, "each by exactly one of the six"
    with pytest.raises(Conflict):
        await one.store.create("deliveries", document("d1"))
    found = [s.document["id"] async for s in every(other.store, "deliveries", Query((Equals("status", "pending"),)))]
    assert len(found) == 50


async def test_an_etag_holds_across_processes(both: tuple[Side, Side]) -> None:
    one, other = both
    first = await one.store.create("deliveries", document("d", n=0))
    assert (await other.store.read("deliveries", ("C",), "d")).etag == first.etag
    second = await one.store.patch("deliveries", ("C",), "d", (SetPath("n", 1),), etag=first.etag)
    with pytest.raises(PreconditionFailed):  # it has the old one in its memory
        await other.store.patch("deliveries", ("C",), "d", (SetPath("n", 2),), etag=first.etag)
    with pytest.raises(PreconditionFailed):
        await other.store.patch("deliveries", ("C",), "d", (SetPath("n", 2),), when={"n": 0})
    await other.store.patch("deliveries", ("C",), "d", (SetPath("n", 2),), etag=second.etag)
    await other.store.delete("deliveries", ("C",), "d")
    await one.store.create("deliveries", document("d", n=3))
    assert (await other.store.read("deliveries", ("C",), "d")).document["n"] == 3


async def test_no_increment_is_lost(both: tuple[Side, Side]) -> None:
    await both[0].store.create("deliveries", document("d", n=0))

    async def add(mine: Side) -> None:
        for _ in range(40):
            await mine.store.patch("deliveries", ("C",), "d", (Increment("n", 1),))

    await asyncio.gather(*(add(mine) for mine in both for _ in range(4)))
    for mine in both:
        assert (await mine.store.read("deliveries", ("C",), "d")).document["n"] == 320


async def test_nobody_writes_out_of_turn(both: tuple[Side, Side]) -> None:
    """Counts are raised within the turn: who could write between a commit and its count would trust an old memory."""
    one, other = both
    assert one.store.file.crew is not None
    with one.store.file.crew.turn():
        writing = asyncio.create_task(other.store.create("deliveries", document("d")))
        await asyncio.sleep(0.1)
        assert not writing.done()
    await asyncio.wait_for(writing, 5)


async def test_only_what_another_one_changed_is_forgotten(both: tuple[Side, Side]) -> None:
    one, other = both
    await one.store.create("deliveries", document("d"))
    place = (one.store._tables["deliveries"], "C", "d")
    await other.store.upsert("deliveries", document("e"))
    assert one.store._cache.get(place) is not None
    await other.store.patch("deliveries", ("C",), "d", (SetPath("n", 1),))
    assert one.store._cache.get(place) is None
    assert (await one.store.read("deliveries", ("C",), "d")).document["n"] == 1


async def test_a_registration_is_seen_at_once(both: tuple[Side, Side]) -> None:
    one, other = both
    here, there = Directory(one.store), Directory(other.store)
    assert await there.find("C") is None
    words = {"id": "C", "eventType": "EXTERNAL", "url": "http://x/", "origin": "http://x", "objectIds": []}
    more = {"maxRetries": 1, "maxUnconfirmed": 1, "dialect": "force", "state": "active"}
    await one.store.create("callbacks", {**words, **more, "createdAt": "2026-11-21T10:00:00.000Z"})
    here.changed()
    assert there.known("C") is None, "what it knows is outdated"
    assert [c.id for c in (await there._fresh()).by_type["EXTERNAL"]] == ["C"]
    assert there.known("C") is not None


# Messages ------------------------------------------------------------------------------------------------------------


async def test_each_works_on_what_it_sent_and_nothing_is_worked_on_twice(both: tuple[Side, Side]) -> None:
    for number, mine in enumerate(both):
        await mine.queue.send(QUEUE, [Outgoing(b"%d" % number, f"m{number}-{n}") for n in range(100)])
    for number, mine in enumerate(both):
        got = await receive(mine.queue, 200)
        assert {message.body for message in got} == {b"%d" % number}
        assert len(got) == 100
        sequences = {message.sequence_number for message in got}
        assert len(sequences) == 100
        for message in got[:60]:
            await mine.queue.complete(QUEUE, message)
    for mine in both:
        depth = await mine.queue.depth(QUEUE)
        assert (depth.active, depth.locked) == (40, 40), "the other's 40 look active, its own are locked"


async def test_sequence_numbers_are_given_once(both: tuple[Side, Side]) -> None:
    async def send(mine: Side, name: str) -> None:
        for n in range(25):
            await mine.queue.send(QUEUE, [Outgoing(b"x", f"{name}-{n}-{m}") for m in range(4)])

    await asyncio.gather(send(both[0], "a"), send(both[1], "b"))
    seen = [m.sequence_number for mine in both for m in await receive(mine.queue, 200)]
    assert len(seen) == len(set(seen)) == 200


async def test_a_duplicate_is_found_whoever_sends_it(both: tuple[Side, Side], clock: ManualClock) -> None:
    one, other = both
    await asyncio.gather(*(mine.queue.send(QUEUE, [Outgoing(b"x", f"m{n}")]) for n in range(30) for mine in both))
    assert len(await receive(one.queue)) + len(await receive(other.queue)) == 30
    clock.advance(601)
    await other.queue.send(QUEUE, [Outgoing(b"again", "m1")])
    assert b"again" in {message.body for message in await receive(other.queue)}


async def test_dead_letters_are_everybodys(both: tuple[Side, Side]) -> None:
    one, other = both
    await one.queue.send(QUEUE, [Outgoing(b"bad", "m1")])
    (message,) = await receive(one.queue)
    await one.queue.dead_letter(QUEUE, message, "poison")
    assert [d.reason for d in await other.queue.dead_letters(QUEUE, 10)] == ["poison"]
    assert (await other.queue.depth(QUEUE)).dead_lettered == 1
    assert await other.queue.redrive(QUEUE, 10) == 1
    assert [m.body for m in await receive(other.queue)] == [b"bad"]
    assert (await one.queue.depth(QUEUE)).dead_lettered == 0


async def test_whoever_takes_a_place_finds_its_messages(tmp_path: Path, clock: ManualClock) -> None:
    owner, worker = side(tmp_path, clock, 0), side(tmp_path, clock, 1)
    await worker.queue.send(QUEUE, [Outgoing(b"now", "m1"), Outgoing(b"later", "m2", clock.now() + timedelta(hours=1))])
    assert [m.body for m in await receive(worker.queue)] == [b"now"]
    await worker.store.close()
    await worker.queue.close()
    again = side(tmp_path, clock, 1)
    assert [m.body for m in await receive(again.queue)] == [b"now"], "its lock went with the process"
    assert (await owner.queue.depth(QUEUE)).scheduled == 1
    for mine in (again, owner):
        await mine.store.close()
        await mine.queue.close()
    alone = SqliteFile.open(tmp_path / "ovenbridge.db")
    queue = SqliteQueue(alone, clock)
    assert [m.body for m in await receive(queue)] == [b"now"], "fewer processes: the first has it all"
    clock.advance(3600)
    assert [m.body for m in await receive(queue)][-1:] == [b"later"]
    await queue.close()


# Who may open it -----------------------------------------------------------------------------------------------------


async def test_there_is_one_owner_and_it_waits_for_orphans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.db"
    owner = SqliteFile.open(path, (0, 2))
    worker = SqliteFile.open(path, (1, 2))
    with pytest.raises(BrokenSettings, match="in use by another process"):
        SqliteFile.open(path)
    owner.close()
    monkeypatch.setattr("shared.sqlite_crew._ORPHAN_SECONDS", 0.1)
    with pytest.raises(BrokenSettings, match="worker processes of an earlier host"):
        SqliteFile.open(path)
    worker.close()
    SqliteFile.open(path).close()


def test_no_room_to_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(BrokenSettings, match=r"DATA_DIR.*cannot be shared.*No space left.*leave --workers out"):
        SqliteFile.open(tmp_path / "x.db", (0, 2))
    SqliteFile.open(tmp_path / "x.db").close()


def test_a_dead_process_leaves_no_turn_and_no_stale_count(tmp_path: Path) -> None:
    one, other = Crew(tmp_path / "x.db", 0, 2), Crew(tmp_path / "x.db", 1, 2)
    before = one.elsewhere(3)
    other.note(3)
    assert (one.elsewhere(3), one.elsewhere(4), other.elsewhere(3)) == (before + 1, before, other.elsewhere(4))
    other.close()
    again = Crew(tmp_path / "x.db", 1, 2)
    assert one.elsewhere(3) == before + 2, "whoever takes the place may follow one that died before it counted"
    again.close()
    one.close()


# A real second process -----------------------------------------------------------------------------------------------

CHILD = """
import asyncio, sys
from pathlib import Path
from shared.clock import SystemClock
from shared.messaging import Outgoing
from shared.messaging.sqlite import SqliteQueue
from shared.sqlite_file import SqliteFile
from shared.storage import Increment
from shared.storage.sqlite import SqliteStore

async def main():
    file = SqliteFile.open(Path(sys.argv[1]), (1, 2))
    store, queue = SqliteStore(file, SystemClock()), SqliteQueue(file, SystemClock())
    async def add(n):
        for m in range(30):
            await store.patch("deliveries", ("C",), "d", (Increment("n", 1),))
            await store.create_each("deliveries", [{"id": f"d{n}-{m}", "callbackId": "C", "status": "pending"}])
            await queue.send("callback-deliveries", [Outgoing(b"x", f"m{n}-{m}")])
    print("ready", flush=True)
    await asyncio.gather(*(add(n) for n in range(10)))
    await queue.send("callback-deliveries", [Outgoing(b"x", "the child's own")])
    print(len(await queue.receive("callback-deliveries", 1000)) - 1)
    await store.close()
    await queue.close()

asyncio.run(main())
"""


@pytest.mark.process
async def test_two_processes_at_once(tmp_path: Path) -> None:
    from shared.clock import SystemClock

    mine = side(tmp_path, SystemClock(), 0)  # type: ignore[arg-type]
    await mine.store.create("deliveries", document("d", n=0))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(tmp_path / "ovenbridge.db"), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"ready\n"

    async def add(n: int) -> None:
        for m in range(30):
            await mine.store.patch("deliveries", ("C",), "d", (Increment("n", 1),))
            await mine.store.create_each("deliveries", [document(f"d{n}-{m}")])
            await mine.queue.send(QUEUE, [Outgoing(b"x", f"m{n}-{m}")])

    await asyncio.gather(*(add(n) for n in range(10)))
    said, _ = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode == 0
    assert (await mine.store.read("deliveries", ("C",), "d")).document["n"] == 600
    assert int(said) + len(await receive(mine.queue, 1000)) == 300, "each message once, whoever was first"
    query = Query((Equals("status", "pending"),), limit=1000)
    assert len((await mine.store.query("deliveries", query, partition=("C",))).items) == 301
    await mine.store.close()
    await mine.queue.close()
