"""What was acknowledged is there after SIGKILL at any instant; a full disk is said and survived."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from shared.clock import SystemClock
from shared.errors import BrokenSettings
from shared.messaging import Received
from shared.messaging.sqlite import SqliteQueue
from shared.sqlite_file import SqliteFile
from shared.storage import Query, every
from shared.storage.sqlite import SqliteStore
from tests.faults.store_child import PARTITION, QUEUE

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("store-faults")]


async def child(folder: Path, *words: str) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "tests.faults.store_child", str(folder), *words)
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)


async def killed_after(folder: Path, life: str, lines: int, pause: float) -> list[list[str]]:
    """What a child said until it was killed, ``pause`` seconds after so many lines."""
    process = await child(folder, "write", life)
    assert process.stdout is not None
    said = [(await process.stdout.readline()).split() for _ in range(lines)]
    await asyncio.sleep(pause)
    process.send_signal(signal.SIGKILL)
    rest = await process.stdout.read()
    await process.wait()
    whole = rest[: rest.rfind(b"\n") + 1]
    return [[word.decode() for word in line] for line in [*said, *(line.split() for line in whole.splitlines())]]


@pytest.mark.parametrize("number", range(4))
async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, number: int) -> None:
    seed = random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")
    dice = random.Random(seed)
    created: dict[str, int] = {}
    sent: set[str] = set()
    completing: set[str] = set()
    completed: set[str] = set()
    for life in ("a", "b", "c"):  # each takes up what the one before left
        for kind, *words in await killed_after(tmp_path, life, dice.randrange(1, 800), dice.random() * 0.2):
            if kind == "created":
                created[words[0]] = 0
            elif kind == "changed":
                created[words[0]] = int(words[1])
            elif kind == "sent":
                sent.add(words[0])
            elif kind == "completing":
                completing.add(words[0])
            elif kind == "completed":
                completed.add(words[0])
        await look(tmp_path, created, sent - completing, completed)
    assert created
    assert sent
    assert completed


async def look(folder: Path, created: dict[str, int], kept: set[str], gone: set[str]) -> None:
    """Documents with at least the acknowledged changes; messages that nobody completed; none that was completed."""
    file = SqliteFile.open(folder / "ovenbridge.db")
    store, queue = SqliteStore(file, SystemClock()), SqliteQueue(file, SystemClock())
    assert await file.query(lambda c: c.execute("PRAGMA integrity_check").fetchall()) == [("ok",)]
    there = {
        i.document["id"]: i.document["n"]
        async for i in every(store, "alertRules", Query(limit=1000), partition=PARTITION)
    }
    lost = {name: n for name, n in created.items() if there.get(name, -1) < n}
    assert lost == {}
    seen: dict[str, list[Received]] = defaultdict(list)
    while (await queue.depth(QUEUE)).active:
        for received in await queue.receive(QUEUE, 1000):
            seen[received.message_id].append(received)
    assert kept - seen.keys() == set()
    assert seen.keys() & gone == set()
    assert all(len(copies) == 1 for copies in seen.values())
    await queue.close()
    await store.close()


async def test_a_second_process_on_the_folder_is_refused(tmp_path: Path) -> None:
    process = await child(tmp_path, "write")
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    with pytest.raises(BrokenSettings, match="in use by another process"):
        SqliteFile.open(tmp_path / "ovenbridge.db")
    process.kill()
    await process.stdout.read()
    await process.wait()
    SqliteFile.open(tmp_path / "ovenbridge.db").close()


async def test_a_full_disk_is_said_and_survived(tmp_path: Path) -> None:
    process = await child(tmp_path, "full")
    assert process.stdout is not None
    lines = (await process.stdout.read()).decode().splitlines()
    assert await process.wait() == 0, lines
    told = [line for line in lines if line.startswith("told ")]
    assert len(told) > 5
    assert all("disk" in line.lower() for line in told)
    said = [line for line in lines if line not in told]
    assert said[0] == "ready"
    assert int(said[1].removeprefix("refused ")) > 5
    stored = {line.removeprefix("created "): 0 for line in said[2:]}
    assert len(stored) > 10
    file = SqliteFile.open(tmp_path / "ovenbridge.db")
    store, queue = SqliteStore(file, SystemClock()), SqliteQueue(file, SystemClock())
    for name in stored:
        await store.read("alertRules", PARTITION, name)
    assert "after" in {r.message_id for r in await queue.receive(QUEUE, 10)}
    await queue.close()
    await store.close()
