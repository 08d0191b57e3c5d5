"""A process that writes to an embedded store and queue, says what was acknowledged, and waits to be killed.

``python -m tests.faults.store_child <folder> write <life>`` prints a line per acknowledgement: ``created <id>``,
``changed <id> <n>``, ``sent <message id>``, ``completing <message id>`` (about to), ``completed <message id>``.
``... full`` fills the space it may use, checks what it is told, and goes on when there is room again.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path

from shared.clock import SystemClock
from shared.errors import Unavailable
from shared.messaging import Outgoing
from shared.messaging.sqlite import SqliteQueue
from shared.sqlite_file import SqliteFile
from shared.storage import Increment
from shared.storage.sqlite import SqliteStore

QUEUE = "relay-ingest"
PARTITION = ("oven-1",)


def say(line: str) -> None:
    """In one write, so that no line is torn."""
    os.write(1, f"{line}\n".encode())


async def write(store: SqliteStore, queue: SqliteQueue, life: str) -> None:
    """Until killed: writers, senders and receivers at once."""

    async def documents(who: int) -> None:
        for n in range(10**9):
            name = f"{life}w{who}-{n}"
            await store.create("alertRules", {"id": name, "equipmentId": "oven-1", "n": 0, "text": "x" * 300})
            say(f"created {name}")
            for change in range(1, 4):
                await store.patch("alertRules", PARTITION, name, [Increment("n")])
                say(f"changed {name} {change}")

    async def senders(who: int) -> None:
        for n in range(10**9):
            names = [f"{life}m{who}-{n}-{k}" for k in range(3)]
            await queue.send(QUEUE, [Outgoing(b"x" * 100, name) for name in names])
            for name in names:
                say(f"sent {name}")

    async def receivers() -> None:
        while True:
            for received in await queue.receive(QUEUE, 5):
                say(f"completing {received.message_id}")
                await queue.complete(QUEUE, received)
                say(f"completed {received.message_id}")

    await asyncio.gather(
        *(documents(n) for n in range(15)), *(senders(n) for n in range(10)), *(receivers() for _ in range(5))
    )


async def full(store: SqliteStore, queue: SqliteQueue) -> None:
    """No file may grow beyond 6 MB for a while."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6_000_000, unlimited[1]))
    stored: list[str] = []
    refused = 0
    for n in range(400):
        try:
            await store.create("alertRules", {"id": f"d{n}", "equipmentId": "oven-1", "text": "x" * 50_000})
            stored.append(f"d{n}")
        except Unavailable as err:
            refused += 1
            say(f"told {err.detail}")
            if refused > 5:
                break
    for call in (queue.check(), queue.send(QUEUE, [Outgoing(b"x" * 200_000, "large")]), store.check()):
        try:
            await call
        except Unavailable:
            refused += 1
    for name in stored:
        await store.read("alertRules", PARTITION, name)
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    await store.create("alertRules", {"id": "after", "equipmentId": "oven-1"})
    await queue.send(QUEUE, [Outgoing(b"after", "after")])
    await store.check()
    await queue.check()
    say(f"refused {refused}")
    for name in [*stored, "after"]:
        say(f"created {name}")


async def main(folder: Path, mode: str, life: str = "") -> None:
    """Open and do it."""
    file = SqliteFile.open(folder / "ovenbridge.db")
    store, queue = SqliteStore(file, SystemClock()), SqliteQueue(file, SystemClock())
    say("ready")
    await (write(store, queue, life) if mode == "write" else full(store, queue))
    await queue.close()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
