"""What the embedded store and queues cost, beside plain ``sqlite3`` in the same minute.

The yardstick inserts documents of the same size with ``executemany``, one hundred to a transaction, with the same
pragmas: no event loop, no threads, no etags, no indexes but the primary key. Ratios count, not bare times: machines
differ.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared import json_text
from shared.clock import SystemClock, iso
from shared.ids import new_id
from shared.messaging import Outgoing
from shared.messaging.sqlite import SqliteQueue
from shared.sqlite_file import SqliteFile
from shared.sqlite_opening import PRAGMAS
from shared.storage import SetPath
from shared.storage.sqlite import SqliteStore

CALLBACKS = 10
CONCURRENCY = (1, 32, 256)
SECONDS = 1.5
QUEUE = "callback-deliveries"

Operation = Callable[[int], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement."""

    name: str
    concurrency: int
    per_second: float
    cpu_us: float
    """Processor time of the whole process per operation, in microseconds."""
    ratio: float
    """Operations per second, as a share of the yardstick's inserts per second."""


_NOW = SystemClock().now()
_DELIVERY = {
    "status": "pending",
    "eventType": "ALERT_RAISED",
    "createdAt": iso(_NOW),
    "nextAttemptAt": iso(_NOW),
    "attempts": [],
    "event": {
        "type": "ALERT_RAISED",
        "objectId": "OVEN-7",
        "occurredAt": iso(_NOW),
        "data": {"signal": "temperature.cabinet", "value": 251.5, "limit": 250, "note": "x" * 400},
    },
    "target": {"origin": "http://127.0.0.1:9000", "path": "/hook"},
}


def delivery(number: int) -> dict[str, Any]:
    """A document of the size and shape of a delivery: about 900 bytes, with a random id as events have."""
    return {"id": f"d:{new_id()}", "callbackId": f"callback-{number % CALLBACKS}", **_DELIVERY}


async def _measure(name: str, concurrency: int, operation: Operation, yardstick: float) -> Row:
    done = 0
    started, cpu = time.perf_counter(), time.process_time()

    async def worker(first: int) -> None:
        nonlocal done
        number = first
        while time.perf_counter() - started < SECONDS:
            await operation(number)
            number += concurrency
            done += 1

    await asyncio.gather(*(worker(n) for n in range(concurrency)))
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    rate = done / elapsed
    return Row(name, concurrency, rate, cpu / done * 1e6, rate / yardstick if yardstick else 1.0)


def _yardstick(folder: Path) -> Row:
    with contextlib.closing(sqlite3.connect(folder / "yardstick.db", isolation_level=None)) as connection:
        for pragma in PRAGMAS:
            connection.execute(pragma)
        connection.execute("CREATE TABLE plain (id TEXT PRIMARY KEY, body BLOB)")
        done = 0
        started, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - started < SECONDS:
            lines = [(d["id"], json_text.dump(d)) for d in (delivery(n) for n in range(100))]
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO plain VALUES (?, ?)", lines)
            connection.execute("COMMIT")
            done += 100
        elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    return Row("plain sqlite3, 100 per transaction", 1, done / elapsed, cpu / done * 1e6, 1.0)


async def run(concurrencies: tuple[int, ...] = CONCURRENCY) -> list[Row]:
    """Measure everything; the yardstick comes first."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [_yardstick(folder)]
        for concurrency in concurrencies:
            rows += await _measure_all(folder / str(concurrency), concurrency, rows[0].per_second)
    return rows


async def _measure_all(folder: Path, concurrency: int, yardstick: float) -> list[Row]:
    file = SqliteFile.open(folder / "ovenbridge.db")
    clock = SystemClock()
    store, queue = SqliteStore(file, clock), SqliteQueue(file, clock)
    known: list[tuple[tuple[str, ...], str]] = []

    async def create(number: int) -> None:
        document = delivery(number)
        await store.create("deliveries", document)
        known.append(((document["callbackId"],), document["id"]))

    async def read(number: int) -> None:
        partition, name = known[number * 7919 % len(known)]
        await store.read("deliveries", partition, name)

    async def patch(number: int) -> None:
        partition, name = known[-1 - number * 7919 % min(len(known), 2_000)]  # deliveries are settled while young
        moment = iso(clock.now())
        await store.patch("deliveries", partition, name, [SetPath("status", "confirmed"), SetPath("doneAt", moment)])

    async def message(number: int) -> None:
        await queue.send(QUEUE, [Outgoing(b'{"callbackId":"callback-1","deliveryId":"d:1","attempt":1}', new_id())])
        for received in await queue.receive(QUEUE, 1):
            await queue.complete(QUEUE, received)

    async def whole(number: int) -> None:
        """What one delivery costs: create, send, receive, read, patch, complete."""
        document = delivery(number)
        partition = (document["callbackId"],)
        await store.create("deliveries", document)
        await queue.send(QUEUE, [Outgoing(b'{"callbackId":"callback-1","deliveryId":"d:1","attempt":1}', new_id())])
        for received in await queue.receive(QUEUE, 1):
            await store.read("deliveries", partition, document["id"])
            await store.patch("deliveries", partition, document["id"], [SetPath("status", "confirmed")])
            await queue.complete(QUEUE, received)

    operations = [
        ("create", create),
        ("read", read),
        ("patch", patch),
        ("send, receive, complete", message),
        ("a delivery's share: all of these", whole),
    ]
    try:
        return [await _measure(name, concurrency, operation, yardstick) for name, operation in operations]
    finally:
        await queue.close()
        await store.close()


def table(rows: list[Row]) -> str:
    """The rows as text."""
    head = f"{'':36}{'at once':>8}{'per second':>12}{'CPU us':>9}{'of yardstick':>14}"
    lines = [f"{r.name:36}{r.concurrency:>8}{r.per_second:>12,.0f}{r.cpu_us:>9.1f}{r.ratio:>13.0%}" for r in rows]
    return "\n".join([head, *lines])


if __name__ == "__main__":
    chosen = tuple(int(a) for a in sys.argv[1:] if a.isdigit()) or CONCURRENCY
    print(table(asyncio.run(run(chosen))))
