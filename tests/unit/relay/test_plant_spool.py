"""The spool: on disk before anybody says so, in order, alarms first, the loss counted."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.errors import Unavailable
from shared.relay.plant_spool import ALARM, HISTORY, Batch, Spool
from shared.signals import Reading, SignalValue
from shared.telemetry.document import to_document

START = datetime(2026, 11, 21, 10, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[3]


def document(number: int, *, machine: str = "oven-1", padding: int = 0) -> dict[str, Any]:
    values = {"temperature.cabinet": SignalValue(180.0 + number, unit="C"), "note": SignalValue("x" * padding)}
    return to_document(Reading(machine, START + timedelta(seconds=number), values, source="relay"))


def opened(folder: Path, clock: ManualClock, *, max_bytes: int = 10_000_000, max_days: float = 30) -> Spool:
    return Spool.open(folder / "spool.db", clock, max_bytes=max_bytes, max_days=max_days)


@pytest.fixture
async def spool(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Spool]:
    made = opened(tmp_path, clock)
    yield made
    await made.close()


async def taken(spool: Spool, most: int = 1_000) -> Batch:
    batch = await spool.next_batch(most=most, most_bytes=10_000_000)
    assert batch is not None
    return batch


def ids(batch: Batch) -> list[str]:
    return [json.loads(body)["id"] for body in batch.bodies]


async def drained(spool: Spool, most: int = 7) -> list[str]:
    found: list[str] = []
    while (batch := await spool.next_batch(most=most, most_bytes=10_000_000)) is not None:
        found += ids(batch)
        await spool.acknowledge(batch)
    return found


async def test_readings_leave_in_the_order_they_came(spool: Spool) -> None:
    documents = [document(n, machine=f"oven-{n % 3}") for n in range(50)]
    await asyncio.gather(*(spool.put([d]) for d in documents))
    assert await drained(spool) == [d["id"] for d in documents]
    assert (await spool.state()).readings == 0


async def test_alarms_leave_before_history(spool: Spool) -> None:
    await spool.put([document(1), document(2)])
    await spool.put([document(3)], lane=ALARM)
    await spool.put([document(4)])
    await spool.put([document(5)], lane=ALARM)
    assert await drained(spool) == [document(n)["id"] for n in (3, 5, 1, 2, 4)]


async def test_a_batch_stays_until_it_is_acknowledged(spool: Spool) -> None:
    await spool.put([document(n) for n in range(5)])
    first = await taken(spool, 3)
    assert await taken(spool, 3) == first
    await spool.acknowledge(first)
    assert ids(await taken(spool)) == [document(n)["id"] for n in (3, 4)]


async def test_a_batch_is_cut_at_its_size_and_holds_at_least_one(spool: Spool) -> None:
    await spool.put([document(n, padding=1_000) for n in range(5)])
    batch = await spool.next_batch(most=100, most_bytes=2_500)
    assert batch is not None
    assert len(batch.bodies) == 2
    one = await spool.next_batch(most=100, most_bytes=1)
    assert one is not None
    assert len(one.bodies) == 1


async def test_a_reading_that_waits_is_stored_once(spool: Spool) -> None:
    await spool.put([document(1), document(1)])
    await spool.put([document(1), document(2)])
    state = await spool.state()
    assert state.readings == 2
    assert await drained(spool) == [document(1)["id"], document(2)["id"]]
    assert (await spool.state()).bytes == 0


async def test_numbers_grow_over_restarts_and_emptiness(tmp_path: Path, clock: ManualClock) -> None:
    seqs: list[int] = []
    for n in range(3):
        spool = opened(tmp_path, clock)
        await spool.put([document(n)])
        batch = await taken(spool)
        seqs.append(batch.first_seq)
        await spool.acknowledge(batch)
        await spool.close()
    assert seqs == sorted(set(seqs))


async def test_what_waits_is_there_after_a_restart(tmp_path: Path, clock: ManualClock) -> None:
    spool = opened(tmp_path, clock)
    await spool.put([document(n) for n in range(10)])
    before = await spool.state()
    await spool.close()
    spool = opened(tmp_path, clock)
    assert await spool.state() == before
    assert before.oldest_at == START
    assert spool.filled.is_set()
    assert len(await drained(spool)) == 10
    await spool.close()


async def test_over_the_cap_the_oldest_history_goes_and_is_counted(tmp_path: Path, clock: ManualClock) -> None:
    spool = opened(tmp_path, clock, max_bytes=100_000)
    await spool.put([document(n, padding=500) for n in range(10)], lane=ALARM)
    for n in range(10, 300):
        await spool.put([document(n, padding=500)])
    state = await spool.state()
    assert state.bytes <= 100_000
    assert state.readings + state.lost_total == 300
    assert state.lost_total > 0
    batch = await taken(spool)
    assert ids(batch) == [document(n)["id"] for n in range(10)], "alarms are never dropped"
    assert batch.lost == state.lost_total
    await spool.acknowledge(batch)
    rest = await taken(spool)
    assert rest.lost == 0, "it was told with the batch before"
    assert ids(rest)[-1] == document(299)["id"], "the newest are kept"
    assert ids(rest)[0] == document(10 + state.lost_total)["id"]
    await spool.close()
    spool = opened(tmp_path, clock, max_bytes=100_000)
    assert (await spool.state()).lost_total == state.lost_total
    await spool.close()


async def test_alarms_alone_may_be_more_than_the_cap(tmp_path: Path, clock: ManualClock) -> None:
    spool = opened(tmp_path, clock, max_bytes=10_000)
    for n in range(50):
        await spool.put([document(n, padding=500)], lane=ALARM)
    state = await spool.state()
    assert (state.readings, state.lost_total) == (50, 0)
    assert state.fill > 1
    await spool.close()


async def test_what_is_on_its_way_is_not_dropped_and_called_lost(tmp_path: Path, clock: ManualClock) -> None:
    spool = opened(tmp_path, clock, max_bytes=100_000)
    await spool.put([document(n, padding=500) for n in range(20)])
    batch = await taken(spool, 10)
    for n in range(20, 400):
        await spool.put([document(n, padding=500)])
    lost = (await spool.state()).lost_total
    assert ids(await taken(spool, 10)) == ids(batch)
    await spool.acknowledge(batch)
    assert ids(await taken(spool, 1)) == [document(10 + lost)["id"]]
    await spool.close()


async def test_old_history_goes_and_is_counted(tmp_path: Path, clock: ManualClock) -> None:
    spool = opened(tmp_path, clock, max_days=1)
    await spool.put([document(n) for n in range(2_500)])
    await spool.put([document(0, machine="oven-2")], lane=ALARM)
    clock.set(START + timedelta(days=1, seconds=2_000))
    assert await spool.trim() == 2_000
    assert await spool.trim() == 0
    state = await spool.state()
    assert (state.readings, state.lost_total) == (501, 2_000)
    await spool.close()


async def test_what_the_hub_refuses_is_set_aside(tmp_path: Path, clock: ManualClock) -> None:
    spool = opened(tmp_path, clock)
    await spool.put([document(1), document(2)])
    await spool.set_aside(await taken(spool, 1), "It is no reading.")
    state = await spool.state()
    assert (state.readings, state.refused_total, state.lost_total) == (1, 1, 0)
    assert await drained(spool) == [document(2)["id"]]
    await spool.close()
    with sqlite3.connect(tmp_path / "spool.db") as connection:
        kept = connection.execute("SELECT why, body FROM refused").fetchall()
    connection.close()
    assert [(why, json.loads(body)["id"]) for why, body in kept] == [("It is no reading.", document(1)["id"])]


async def test_a_full_disk_is_said_and_what_was_not_stored_is_counted(tmp_path: Path, clock: ManualClock) -> None:
    spool = opened(tmp_path, clock)
    await spool.put([document(0)])
    writer = spool._file._writer
    full = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count={full}")
    put = [spool.put([document(n, padding=500)]) for n in range(1, 200)]
    outcomes = [(await asyncio.gather(one, return_exceptions=True))[0] for one in put]
    refused = [outcome for outcome in outcomes if outcome is not None]
    stored = 200 - len(refused)
    assert refused
    assert all(isinstance(error, Unavailable) and "full" in error.detail for error in refused)
    with pytest.raises(Unavailable):
        await spool.put([document(1_000, padding=500), document(1_001, padding=500)])
    state = await spool.state()
    assert "full" in state.problem
    assert (state.readings, state.lost_total) == (stored, len(refused) + 2)
    writer.execute("PRAGMA max_page_count=1000000")
    await spool.put([document(2_000)])
    state = await spool.state()
    assert (state.readings, state.lost_total, state.problem) == (stored + 1, len(refused) + 2, "")
    assert (await taken(spool)).lost == len(refused) + 2
    assert len(await drained(spool, 1_000)) == stored + 1
    await spool.close()


CHILD = """
import asyncio, sys
from pathlib import Path
from shared.clock import SystemClock
from shared.relay.plant_spool import Spool
from tests.unit.relay.test_plant_spool import document

async def main():
    spool = Spool.open(Path(sys.argv[1]) / "spool.db", SystemClock(), max_bytes=10**9, max_days=10**5)
    first = int(sys.argv[2])
    async def put(n):
        await spool.put([document(n)])
        print(n, flush=True)
    while True:
        await asyncio.gather(*(put(n) for n in range(first, first + 20)))
        first += 20

asyncio.run(main())
"""


@pytest.mark.process
async def test_kill_9_loses_nothing_that_was_said_to_be_stored(tmp_path: Path, clock: ManualClock) -> None:
    said: set[str] = set()
    for run in range(3):
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, str(tmp_path), str(run * 100_000), cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        assert child.stdout is not None
        for _ in range(300 + 37 * run):
            said.add(document(int(await child.stdout.readline()))["id"])
        child.send_signal(signal.SIGKILL)
        said |= {document(int(line))["id"] for line in (await child.stdout.read()).split(b"\n") if line.isdigit()}
        await child.wait()
        child._transport.close()  # type: ignore[attr-defined]
    spool = opened(tmp_path, clock)
    state = await spool.state()
    there = await drained(spool, 1_000)
    assert said <= set(there)
    assert len(there) == len(set(there)) == state.readings
    await spool.close()


async def test_lanes_have_their_numbers() -> None:
    assert (ALARM, HISTORY) == (0, 1)


async def test_readings_of_one_moment_share_a_commit(spool: Spool) -> None:
    commits = 0

    def count(statement: str) -> None:
        nonlocal commits
        commits += statement.startswith("COMMIT")

    spool._file._writer.set_trace_callback(count)
    await asyncio.gather(*(spool.put([document(n)]) for n in range(150)))
    assert commits <= 2
    await asyncio.gather(*(spool.put([document(n)]) for n in range(150, 1_150)))
    assert (await spool.state()).readings == 1_150


async def test_a_caller_who_goes_takes_nothing_along(tmp_path: Path, clock: ManualClock) -> None:
    spool = opened(tmp_path, clock)
    putting = [asyncio.create_task(spool.put([document(n)])) for n in range(3)]
    await asyncio.sleep(0)
    putting[0].cancel()
    await asyncio.wait(putting)
    late = asyncio.create_task(spool.put([document(3)]))
    await asyncio.sleep(0)
    late.cancel()
    await asyncio.wait({late})
    await spool.close()
    spool = opened(tmp_path, clock)
    assert await drained(spool) == [document(n)["id"] for n in range(4)], "what was read is on disk at the end"
    await spool.close()


async def test_what_comes_again_is_not_lost(tmp_path: Path, clock: ManualClock) -> None:
    spool = opened(tmp_path, clock)
    writer = spool._file._writer
    writer.execute(f"PRAGMA max_page_count={writer.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(Unavailable):
        await spool.put([document(1, padding=100_000)], comes_again=True)
    assert (await spool.state()).lost_total == 0
    with pytest.raises(Unavailable):
        await spool.put([document(1, padding=100_000)])
    assert (await spool.state()).lost_total == 1
    await spool.close()
