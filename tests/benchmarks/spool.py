"""What the relay's spool takes in and gives out, beside plain ``sqlite3`` in the same minute.

In: readings of eight signals put one by one, by as many machines at once, each waiting until its own is on disk. Out:
batches as they leave, packed and acknowledged. The yardstick inserts rows of the same size, and reads and deletes them,
one hundred to a transaction with the same pragmas, and does nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from shared.clock import SystemClock
from shared.json_text import dump
from shared.relay.plant_batches import Batches
from shared.relay.plant_spool import Spool
from shared.signals import Reading, SignalValue
from shared.sqlite_opening import PRAGMAS
from shared.telemetry.document import to_document

MACHINES = 400
READINGS = 60_000
WANTED = 10_000
NOW = SystemClock().now()


def document(number: int) -> dict[str, Any]:
    """A reading of eight signals."""
    values = {f"temperature.deck{i}": SignalValue(180.0 + (number * 7 + i * 13) % 100 / 10, unit="C") for i in range(8)}
    at = NOW + timedelta(milliseconds=number)
    return to_document(Reading(f"oven-{number % MACHINES}", at, values, source="relay", response_ms=4.0))


def yardstick(folder: Path, documents: list[dict[str, Any]]) -> tuple[float, float]:
    """Readings per second in and out."""
    with contextlib.closing(sqlite3.connect(folder / "yardstick.db", isolation_level=None)) as connection:
        for pragma in PRAGMAS:
            connection.execute(pragma)
        connection.execute("CREATE TABLE plain (seq INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB)")
        begun = time.perf_counter()
        for first in range(0, READINGS, 100):
            lines = [(dump(one),) for one in documents[first : first + 100]]
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO plain (body) VALUES (?)", lines)
            connection.execute("COMMIT")
        into = READINGS / (time.perf_counter() - begun)
        begun = time.perf_counter()
        while rows := connection.execute("SELECT seq, body FROM plain ORDER BY seq LIMIT 100").fetchall():
            connection.execute("DELETE FROM plain WHERE seq <= ?", (rows[-1][0],))
        return into, READINGS / (time.perf_counter() - begun)


async def measured(folder: Path, documents: list[dict[str, Any]]) -> tuple[float, float, int]:
    """Readings per second in and out, and the bytes that left."""
    spool = Spool.open(folder / "spool.db", SystemClock(), max_bytes=10**10, max_days=1_000)

    async def machine(number: int) -> None:
        for one in documents[number::MACHINES]:
            await spool.put([one])

    begun = time.perf_counter()
    await asyncio.gather(*(machine(n) for n in range(MACHINES)))
    into = READINGS / (time.perf_counter() - begun)
    batches, left, size = Batches(spool, "plant-1"), 0, 0
    begun = time.perf_counter()
    while (outgoing := await batches.next()) is not None:
        left += len(outgoing.batch.bodies)
        size += len(outgoing.packed)
        await spool.acknowledge(outgoing.batch)
    out = READINGS / (time.perf_counter() - begun)
    await spool.close()
    assert left == READINGS
    return into, out, size


def main() -> None:
    """Measure and print."""
    documents = [document(n) for n in range(READINGS)]
    with tempfile.TemporaryDirectory() as name:
        plain_in, plain_out = yardstick(Path(name), documents)
        spool_in, spool_out, size = asyncio.run(measured(Path(name), documents))
    print(f"Spool of the relay: {READINGS:,} readings of 8 signals, {MACHINES} machines at once, fsync at every commit")
    print(f"{'':24}{'in per second':>16}{'out per second':>16}")
    print(f"{'plain sqlite3, by 100':24}{plain_in:>16,.0f}{plain_out:>16,.0f}")
    print(f"{'spool':24}{spool_in:>16,.0f}{spool_out:>16,.0f}")
    print(f"{'of yardstick':24}{spool_in / plain_in:>16.0%}{spool_out / plain_out:>16.0%}")
    print(f"wanted: {WANTED:,} in, and out at least as fast; {size / READINGS:.0f} bytes a reading on the wire")


if __name__ == "__main__":
    main()
