"""Job A of reference/anchors.md 4.2: events in over HTTP, each to three callbacks, acknowledged when on disk.

``python -m tests.benchmarks.delivery [--events N] [--pairs N] [--steady SECONDS] [--workers N ...]``. The yardstick
runs before and after every run of ours, in the same minute on the same cores; ratios of medians count, never bare
figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.wire import Client, cpu_seconds, family, resident_mb, run_loop, start

__all__ = ["Result", "compare", "main"]

EVENTS = 3_000
CONCURRENCY = 20
CALLBACKS = 3
PAIRS = 3
WORKERS = (1, 2)
STEADY_RATE = 50
STEADY_SECONDS = 20
MARK = 0.40
"""At least this share of the yardstick's delivered events a second."""
PATIENCE = 60.0
"""Seconds without anything new before what is missing is called missing."""


@dataclass(frozen=True)
class Result:
    """One run of one engine."""

    engine: str
    acks_per_second: float
    ack_p50_ms: float
    ack_p99_ms: float
    deliveries_per_second: float
    p50_ms: float
    """From the sending of the event to the arrival of its notification."""
    p99_ms: float
    missing: int
    duplicates: int
    cpu_ms: tuple[float, ...]
    """Processor time per delivery, acknowledging included, of each process of the engine."""
    ends_ms: float
    """Processor time per delivery of sender and receivers, which take the same two cores."""
    resident_mb: float


@dataclass
class Engine:
    """A running engine."""

    name: str
    process: subprocess.Popen[str]
    port: int
    path: str

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


async def start_ours(sink: int, folder: Path, workers: int = 1) -> Engine:
    """The real host, its data in ``folder``, with three callbacks at the sink."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    options = ("--port", "0", "--data", str(folder), "--workers", str(workers))
    process, line = await asyncio.to_thread(start, "-m", "local", *options, env=environment)
    port = int(line.split("http://127.0.0.1:")[1].split()[0])
    client = await Client.connect(port)
    for number in range(CALLBACKS):
        wanted = {"eventType": "EXTERNAL", "url": f"http://127.0.0.1:{sink}/c{number}"}
        status, said = await client.ask("POST", "/ffwebservices/api/v2/callbacks", json.dumps(wanted).encode())
        if status != 201:
            raise RuntimeError(f"the callback was not registered: {status} {said!r}")
    client.close()
    name = "Ovenbridge" if workers == 1 else f"Ovenbridge x {workers}"
    return Engine(name, process, port, "/ffwebservices/api/v2/events")


async def start_yardstick(sink: int, folder: Path) -> Engine:
    """Plain aiohttp in memory, with the same three targets."""
    targets = [f"http://127.0.0.1:{sink}/c{number}" for number in range(CALLBACKS)]
    process, line = await asyncio.to_thread(start, "-m", "tests.benchmarks.yardstick", *targets)
    return Engine("aiohttp in memory", process, int(line), "/events")


def event(number: int) -> bytes:
    """About 320 bytes."""
    return json.dumps(
        {
            "eventType": "EXTERNAL",
            "eventName": "BENCH",
            "objectType": "TOOL",
            "objectId": "4DDE054C036C4F8CAB424C7FB70E86B9",
            "timestamp": "2026-11-21T10:00:00.000Z",
            "data": {"seq": number, "sent": time.time(), "note": "x" * 120},
        },
        separators=(",", ":"),
    ).encode()


async def run_saturated(engine: Engine, sink: Client, events: int, first: int = 0) -> Result:
    """Closed loop over twenty connections, then wait until everything has arrived."""
    await sink.ask("POST", "/_reset")
    numbers = iter(range(first, first + events))
    took: list[float] = []

    async def send(client: Client) -> None:
        for number in numbers:
            began = time.perf_counter()
            status, said = await client.ask("POST", engine.path, event(number))
            took.append(time.perf_counter() - began)
            if not 200 <= status < 300:
                raise RuntimeError(f"{engine.name} answered {status}: {said!r}")

    clients = [await Client.connect(engine.port) for _ in range(CONCURRENCY)]
    cpu, began = await _Cpu.now(engine, sink), time.time()
    await asyncio.gather(*(send(client) for client in clients))
    acknowledged = time.time() - began
    state = await wait_for(sink, events * CALLBACKS)
    cpu = (await _Cpu.now(engine, sink)).since(cpu)
    for client in clients:
        client.close()
    return _result(engine, took, acknowledged, state, began, cpu, events)


async def run_steady(engine: Engine, sink: Client, rate: float, seconds: float) -> Result:
    """Open loop: so many events a second, whatever the answers take."""
    await sink.ask("POST", "/_reset")
    events = int(rate * seconds)
    clients = [await Client.connect(engine.port) for _ in range(CONCURRENCY)]
    took: list[float] = []
    cpu, began = await _Cpu.now(engine, sink), time.time()
    start_at = asyncio.get_running_loop().time()

    async def send(number: int) -> None:
        client = clients.pop()
        try:
            asked = time.perf_counter()
            await client.ask("POST", engine.path, event(number))
            took.append(time.perf_counter() - asked)
        finally:
            clients.append(client)

    tasks = []
    for number in range(events):
        await asyncio.sleep(start_at + number / rate - asyncio.get_running_loop().time())
        tasks.append(asyncio.create_task(send(10_000_000 + number)))
    await asyncio.gather(*tasks)
    acknowledged = time.time() - began
    state = await wait_for(sink, events * CALLBACKS)
    cpu = (await _Cpu.now(engine, sink)).since(cpu)
    for client in clients:
        client.close()
    return _result(engine, took, acknowledged, state, began, cpu, events)


async def wait_for(sink: Client, expected: int, patience: float = PATIENCE) -> dict[str, Any]:
    """Until everything has arrived, or nothing new came for a while; then a moment more for duplicates."""
    state: dict[str, Any] = {"unique": -1}
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < patience:
        before, state = state["unique"], json.loads((await sink.ask("GET", "/_state"))[1])
        if state["unique"] >= expected:
            break
        if state["unique"] != before:
            quiet_since = time.monotonic()
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    return {**state, **json.loads((await sink.ask("GET", "/_state"))[1]), "expected": expected}


@dataclass(frozen=True)
class _Cpu:
    """Seconds of processor time."""

    engine: tuple[float, ...]
    ends: float

    @classmethod
    async def now(cls, engine: Engine, sink: Client) -> _Cpu:
        """Used so far by each process of the engine, and by this one and the sink together."""
        receiver = json.loads((await sink.ask("GET", "/_state"))[1])["cpu"]
        own = os.times()
        processes = await asyncio.to_thread(family, engine.process.pid)
        return cls(tuple(cpu_seconds(pid) for pid in processes), receiver + own.user + own.system)

    def since(self, before: _Cpu) -> _Cpu:
        """What was used between the two."""
        each = tuple(now - then for now, then in zip(self.engine, before.engine, strict=True))
        return _Cpu(each, self.ends - before.ends)


def _result(
    engine: Engine,
    took: list[float],
    acknowledged: float,
    state: dict[str, Any],
    began: float,
    cpu: _Cpu,
    events: int,
) -> Result:
    cuts = statistics.quantiles(took, n=100)
    return Result(
        engine=engine.name,
        acks_per_second=events / acknowledged,
        ack_p50_ms=cuts[49] * 1000,
        ack_p99_ms=cuts[98] * 1000,
        deliveries_per_second=state["unique"] / max(1e-9, state["last"] - began),
        p50_ms=state.get("p50", 0) * 1000,
        p99_ms=state.get("p99", 0) * 1000,
        missing=state["expected"] - state["unique"],
        duplicates=state["total"] - state["unique"],
        cpu_ms=tuple(seconds / max(1, state["total"]) * 1000 for seconds in cpu.engine),
        ends_ms=cpu.ends / max(1, state["total"]) * 1000,
        resident_mb=sum(resident_mb(pid) for pid in family(engine.process.pid)),
    )


Starter = Callable[[int, Path], Awaitable[Engine]]


async def _once(starter: Starter, sink_port: int, sink: Client, events: int) -> Result:
    with tempfile.TemporaryDirectory() as name:
        engine = await starter(sink_port, Path(name))
        try:
            await run_saturated(engine, sink, max(100, events // 10), first=1_000_000)  # warm
            return await run_saturated(engine, sink, events)
        finally:
            await asyncio.to_thread(engine.stop)


async def compare(
    events: int = EVENTS, pairs: int = PAIRS, workers: Sequence[int] = WORKERS
) -> tuple[list[Result], dict[int, list[Result]]]:
    """Yardstick and ours in turn, the yardstick first and last; ours by the number of processes."""
    process, line = await asyncio.to_thread(start, "-m", "tests.benchmarks.sink")
    sink = await Client.connect(int(line))
    yardsticks: list[Result] = []
    ours: dict[int, list[Result]] = {number: [] for number in workers}
    try:
        for _ in range(pairs):
            for number in workers:
                yardsticks.append(await _once(start_yardstick, int(line), sink, events))
                starter = partial(start_ours, workers=number)
                ours[number].append(await _once(starter, int(line), sink, events))
        yardsticks.append(await _once(start_yardstick, int(line), sink, events))
    finally:
        sink.close()
        process.kill()
        process.wait()
    return yardsticks, ours


async def steady(rate: float, seconds: float) -> list[Result]:
    """Both engines at a bakery's rate."""
    process, line = await asyncio.to_thread(start, "-m", "tests.benchmarks.sink")
    sink = await Client.connect(int(line))
    results = []
    try:
        for starter in (start_yardstick, start_ours):
            with tempfile.TemporaryDirectory() as name:
                engine = await starter(int(line), Path(name))
                try:
                    await run_steady(engine, sink, rate, 2)
                    results.append(await run_steady(engine, sink, rate, seconds))
                finally:
                    await asyncio.to_thread(engine.stop)
    finally:
        sink.close()
        process.kill()
        process.wait()
    return results


HEAD = (
    f"{'':20}{'acks/s':>8}{'ack p50':>9}{'p99 ms':>8}{'deliv./s':>10}{'end p50':>9}{'p99 ms':>8}"
    f"{'missing':>9}{'dupl.':>7}{'MB':>6}  CPU ms/d (+ both ends)"
)


def row(r: Result) -> str:
    """One line of the table."""
    return (
        f"{r.engine:20}{r.acks_per_second:>8,.0f}{r.ack_p50_ms:>9.1f}{r.ack_p99_ms:>8.1f}"
        f"{r.deliveries_per_second:>10,.0f}{r.p50_ms:>9.1f}{r.p99_ms:>8.1f}{r.missing:>9}{r.duplicates:>7}"
        f"{r.resident_mb:>6.0f}  {' + '.join(f'{each:.2f}' for each in r.cpu_ms)} (+ {r.ends_ms:.2f})"
    )


async def report(events: int, pairs: int, steady_seconds: float, workers: Sequence[int]) -> None:
    """Print the table."""
    print(f"Delivery: {events:,} events x {CALLBACKS} callbacks, {CONCURRENCY} connections, {os.cpu_count()} cores")
    print(HEAD)
    yardsticks, ours = await compare(events, pairs, workers)
    in_turn = [result for results in zip(*ours.values(), strict=True) for result in results]
    for yardstick, own in zip(yardsticks, in_turn, strict=False):
        print(row(yardstick))
        print(row(own))
    print(row(yardsticks[-1]))
    for results in ours.values():
        ratio = _median(results) / _median(yardsticks)
        print(
            f"  {results[0].engine}: {ratio:.0%} of the yardstick's delivered rate (medians; the mark is {MARK:.0%}),"
            f" {_median(results) / _median(ours[workers[0]]):.2f} times that of {workers[0]} process(es)"
        )
    if steady_seconds:
        print(f"At a steady {STEADY_RATE} events/s for {steady_seconds:.0f} s")
        for result in await steady(STEADY_RATE, steady_seconds):
            print(row(result))


def _median(results: list[Result]) -> float:
    return statistics.median(r.deliveries_per_second for r in results)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.delivery")
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--steady", type=float, default=STEADY_SECONDS, metavar="SECONDS")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS, metavar="N", help="processes of ours")
    chosen = parser.parse_args(arguments)
    run_loop(lambda: report(chosen.events, chosen.pairs, chosen.steady, chosen.workers))


if __name__ == "__main__":
    main()
