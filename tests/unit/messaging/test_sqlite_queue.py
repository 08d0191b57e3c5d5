"""The embedded queue: restarts, memory, the hot path."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from shared.clock import ManualClock, SystemClock
from shared.errors import Unavailable
from shared.messaging import Outgoing, Received
from shared.messaging import sqlite_backlog as backlog_module
from shared.messaging import sqlite_table as table_module
from shared.messaging.sqlite import SqliteQueue
from shared.sqlite_file import SqliteFile
from shared.sqlite_threads import Wake
from shared.topology import topology

Q = "callback-deliveries"
SPEC = topology().queues[Q]


def opened(folder: Path, clock: ManualClock | SystemClock) -> SqliteQueue:
    return SqliteQueue(SqliteFile.open(folder / "x.db"), clock)


def messages(first: int, last: int) -> list[Outgoing]:
    return [Outgoing(b"x" * 100, f"m{n}") for n in range(first, last)]


async def take(queue: SqliteQueue, limit: int = 1000) -> list[Received]:
    return await asyncio.wait_for(queue.receive(Q, limit), 5)


async def test_everything_survives_a_restart(tmp_path: Path, clock: ManualClock) -> None:
    queue = opened(tmp_path, clock)
    later = clock.now() + timedelta(seconds=60)
    await queue.send(Q, [Outgoing(b"due", "a", correlation_id="c", properties={"k": "v"}), Outgoing(b"b", "b")])
    await queue.send(Q, [Outgoing(b"later", "later", at=later)])
    first, second = await take(queue)
    await queue.dead_letter(Q, second, "because")
    await queue.close()

    queue = opened(tmp_path, clock)
    depth = await queue.depth(Q)
    assert (depth.active, depth.scheduled, depth.locked, depth.dead_lettered) == (1, 1, 0, 1)
    await queue.send(Q, [Outgoing(b"again", "a"), Outgoing(b"again", "b"), Outgoing(b"again", "later")])
    (again,) = await take(queue)
    assert (again.body, again.delivery_count, again.sequence_number) == (b"due", 2, first.sequence_number)
    assert (again.correlation_id, dict(again.properties)) == ("c", {"k": "v"})
    assert again.lock_token != first.lock_token
    await queue.complete(Q, again)
    clock.advance(60)
    (later_one,) = await take(queue)
    assert later_one.body == b"later"
    await queue.complete(Q, later_one)
    await queue.close()


async def test_deliveries_count_over_restarts(tmp_path: Path, clock: ManualClock) -> None:
    """A message that kills the process each time is given up in the end."""
    queue = opened(tmp_path, clock)
    await queue.send(Q, [Outgoing(b"poison", "p"), Outgoing(b"good", "g")])
    for delivery in range(1, SPEC.max_delivery_count + 1):
        (received,) = await take(queue, 1)
        assert (received.message_id, received.delivery_count) == ("p", delivery)
        await queue.close()
        queue = opened(tmp_path, clock)
    (received,) = await take(queue)
    assert received.message_id == "g"
    (dead,) = await queue.dead_letters(Q, 10)
    assert (dead.reason, dead.message.message_id) == ("MaxDeliveryCountExceeded", "p")
    await queue.close()


async def test_sequence_numbers_are_never_given_twice(tmp_path: Path, clock: ManualClock) -> None:
    seen: list[int] = []
    for turn in range(3):
        queue = opened(tmp_path, clock)
        await queue.send(Q, messages(10 * turn, 10 * turn + 5))
        for received in await take(queue):
            seen.append(received.sequence_number)
            await queue.complete(Q, received)
        await queue.close()
    assert seen == sorted(set(seen))
    assert len(seen) == 15


@pytest.mark.long
@pytest.mark.parametrize("restart", [False, True])
async def test_a_long_backlog_stays_on_disk(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, restart: bool
) -> None:
    for module in (backlog_module, table_module):
        monkeypatch.setattr(module, "WINDOW", 100)
    monkeypatch.setattr("shared.messaging.sqlite.WINDOW", 100)
    queue = opened(tmp_path, clock)
    for start in range(0, 2000, 50):
        await queue.send(Q, messages(start, start + 50))
    if restart:
        await queue.close()
        queue = opened(tmp_path, clock)
    backlog = queue._backlogs[Q]
    assert len(backlog.messages) <= 200
    assert (await queue.depth(Q)).active == 2000
    seen: list[str] = []
    while len(seen) < 2000:
        for received in await take(queue, 30):
            seen.append(received.message_id)
            await queue.complete(Q, received)
        assert len(backlog.messages) <= 200
    assert seen == [f"m{n}" for n in range(2000)], "in order"
    assert (await queue.depth(Q)).active == 0
    await queue.close()


async def test_large_bodies_stay_on_disk(tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (backlog_module, table_module):
        monkeypatch.setattr(module, "WINDOW_BYTES", 1_000_000)
    queue = opened(tmp_path, clock)
    for n in range(60):
        await queue.send(Q, [Outgoing(b"x" * 100_000, f"m{n}")])
    assert queue._backlogs[Q].size <= 2_100_000
    seen: list[str] = []
    while len(seen) < 60:
        for received in await take(queue, 4):
            seen.append(received.message_id)
            await queue.complete(Q, received)
    assert seen == [f"m{n}" for n in range(60)]
    await queue.close()


async def test_what_is_due_sooner_overtakes_what_stands_on_disk(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (backlog_module, table_module):
        monkeypatch.setattr(module, "WINDOW", 10)
    queue = opened(tmp_path, clock)
    far = clock.now() + timedelta(hours=1)
    await queue.send(Q, [Outgoing(b"far", f"far{n}", at=far + timedelta(seconds=n)) for n in range(100)])
    await queue.send(Q, [Outgoing(b"now", "now")])
    assert [r.message_id for r in await take(queue)] == ["now"]
    clock.advance(3600 + 100)
    seen: list[str] = []
    while len(seen) < 101:
        seen += [r.message_id for r in await take(queue, 7)]
    assert seen[0] == "now" or seen[-1] == "now"
    assert [s for s in seen if s != "now"] == [f"far{n}" for n in range(100)]
    await queue.close()


async def test_the_hot_path_asks_no_query(tmp_path: Path, clock: ManualClock) -> None:
    queue = opened(tmp_path, clock)
    await queue.send(Q, messages(0, 50))
    statements: list[str] = []
    queue._file._writer.set_trace_callback(statements.append)
    received = await take(queue)
    await asyncio.gather(*(queue.complete(Q, r) for r in received))
    await queue.send(Q, messages(50, 60))
    queue._file._writer.set_trace_callback(None)
    assert not [s for s in statements if s.startswith("SELECT")]
    assert len(statements) < 25, "fifty receipts and completions and ten sends: a handful of statements"
    await queue.close()


async def test_with_the_machines_clock_a_receiver_sleeps_until_it_is_time(tmp_path: Path) -> None:
    queue = opened(tmp_path, SystemClock())
    at = SystemClock().now() + timedelta(milliseconds=150)
    receiver = asyncio.create_task(queue.receive(Q, 1))
    await asyncio.sleep(0.01)
    await queue.send(Q, [Outgoing(b"x", "m", at=at)])
    (received,) = await asyncio.wait_for(receiver, 5)
    late = (SystemClock().now() - at).total_seconds()
    assert 0 <= late < 1
    await queue.complete(Q, received)
    await queue.close()


async def test_a_receiver_that_leaves_hands_its_wake_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cancelled in the very moment it was woken; with the machine's clock nobody looks again for seconds."""
    queue = opened(tmp_path, SystemClock())
    leaving, staying = (asyncio.create_task(queue.receive(Q, 1)) for _ in range(2))
    await asyncio.sleep(0.01)
    backlog = queue._backlogs[Q]
    wakes = backlog.wakes

    def wakes_and_cancels(count: int) -> list[Wake]:
        monkeypatch.setattr(backlog, "wakes", wakes)
        ((loop, call),) = wakes(count)
        return [(loop, lambda: (call(), leaving.cancel()))]

    monkeypatch.setattr(backlog, "wakes", wakes_and_cancels)
    await queue.send(Q, messages(0, 1))
    (received,) = await asyncio.wait_for(staying, 2)
    assert leaving.cancelled()
    await queue.complete(Q, received)
    await queue.close()


async def test_a_failed_send_leaves_nothing_and_a_failed_complete_keeps_it(tmp_path: Path, clock: ManualClock) -> None:
    queue = opened(tmp_path, clock)
    await queue.send(Q, messages(0, 1))
    (received,) = await take(queue)
    writer = queue._file._writer
    writer.execute("PRAGMA query_only=1")
    with pytest.raises(Unavailable):
        await queue.send(Q, messages(1, 3))
    with pytest.raises(Unavailable):
        await queue.complete(Q, received)
    with pytest.raises(Unavailable):
        await queue.check()
    writer.execute("PRAGMA query_only=0")
    await queue.check()
    assert (await queue.depth(Q)).locked == 1
    clock.advance(SPEC.lock_seconds)
    (again,) = await take(queue)
    assert (again.message_id, again.delivery_count) == ("m0", 2)
    await queue.send(Q, messages(1, 3))
    assert [r.message_id for r in await take(queue)] == ["m1", "m2"], "their ids were not taken for seen"
    await queue.close()


async def test_forgotten_ids_do_not_pile_up(tmp_path: Path, clock: ManualClock) -> None:
    queue = opened(tmp_path, clock)
    await queue.send(Q, messages(0, 30))
    clock.advance(SPEC.duplicate_window_seconds + 1)
    for _ in range(400):
        left = await queue._file.query(lambda c: c.execute("SELECT count(*) FROM queue_seen").fetchone()[0])
        if left == 0:
            break
        await asyncio.sleep(0.05)
    assert left == 0
    await queue.close()


async def test_hundreds_of_locks_cost_nothing_to_look_at(tmp_path: Path, clock: ManualClock) -> None:
    """``take_back`` looks at the locks that ended, not at all that are held."""
    queue = opened(tmp_path, clock)
    await queue.send(Q, messages(0, 500))
    held = await take(queue, 500)
    for received in held[:250]:
        await queue.renew(Q, received)
    backlog = queue._backlogs[Q]
    assert len(backlog.lock_ends) == 750
    clock.advance(SPEC.lock_seconds)
    backlog.take_back(queue._now())
    assert backlog.lock_ends == []
    assert backlog.locked == {}
    assert len(await take(queue)) == 500
    await queue.close()
