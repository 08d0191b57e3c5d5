"""Reading a plant, measured: the relay's own way (sampler, connector, deadline, spool) and a plain loop, alike.

Each side runs in a process of its own, the devices in another; sides take turns in short rounds, so that a noisy minute
falls on all of them, and medians are printed. Processor time is of the side's process with all its threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from shared.relay.messages import Device
from shared.relay.plant_latest import LatestReadings
from shared.relay.plant_spool import Spool
from shared.signals import Reading
from shared.telemetry.document import failed
from tests.benchmarks.wire import ROOT

__all__ = ["Read", "Result", "line", "measured_plain", "measured_relay", "rounds", "serving", "the_plant"]

Read = Callable[[], Awaitable[bool]]
UNTHROTTLED = 1e-6
"""The sampler's period where it is to go as fast as it can."""


@dataclass(frozen=True)
class Result:
    """What one side reached."""

    reads: int
    failed: int
    seconds: float
    cpu: float
    """Share of one core."""
    p50: float
    """Seconds between two reads of one device."""
    p99: float
    worst: float

    @property
    def rate(self) -> float:
        """Reads a second."""
        return self.reads / self.seconds

    @property
    def cpu_us(self) -> float:
        """Processor time of a read, in microseconds."""
        return self.cpu / self.rate * 1e6 if self.reads else 0.0


# One side, in a process of its own ---------------------------------------------------------------------------------


class Noted(LatestReadings):
    """Where every reading of a relay passes, with the time it did."""

    spool: Spool
    """Where they are stored."""

    def __init__(self) -> None:
        super().__init__()
        self.keeps_marks = True
        self.reads = 0
        self.marks: dict[str, list[float]] = {}
        self.failures: list[float] = []
        self.problem = ""

    def note(self, reading: Reading) -> None:
        super().note(reading)
        now = time.monotonic()
        self.reads += 1
        if self.keeps_marks:
            self.marks.setdefault(reading.equipment_id, []).append(now)
        if failed(reading):
            self.failures.append(now)
            self.problem = reading.reason or ""


@contextlib.asynccontextmanager
async def the_plant(devices: Sequence[Device], period: float) -> AsyncIterator[Noted]:
    """Machines being read as a relay reads them, each reading on disk; nothing leaves."""
    from shared.clock import SystemClock
    from shared.connectors import Connectors
    from shared.connectors.opc_ua_application import OpcUaApplication
    from shared.outgoing.http import OutgoingHttp
    from shared.outgoing.targets import TargetPolicy
    from shared.relay.plant_machine import Plant
    from shared.relay.plant_sampler import Sampler
    from shared.relay.plant_secrets import SiteSecrets
    from shared.secrets.file_vault import FileVault

    clock, seen = SystemClock(), Noted()
    http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True))
    with tempfile.TemporaryDirectory() as folder:
        vault = FileVault(Path(folder) / "secrets", clock)
        connectors = Connectors(http, clock, OpcUaApplication(vault, clock))
        spool = Spool.open(Path(folder) / "spool.db", clock, max_bytes=10**10, max_days=1_000)
        seen.spool = spool
        plant = Plant(connectors, SiteSecrets(vault, clock), spool, seen, clock)
        sampler = Sampler(plant, period=lambda device: period or UNTHROTTLED)
        await sampler.assign(devices)
        try:
            yield seen
        finally:
            await sampler.close()
            await connectors.close()
            await spool.close()
            await http.close()


async def measured_relay(devices: Sequence[Device], period: float, *, warm_up: float, seconds: float) -> Result:
    """The relay's own way."""
    async with the_plant(devices, period) as seen:
        collect_garbage_less_often()
        await asyncio.sleep(warm_up)
        cpu, since = time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        cpu, until = time.process_time() - cpu, time.monotonic()
    failures = sum(since <= mark < until for mark in seen.failures)
    if failures:
        print(f"    {failures} failed, the last: {seen.problem[:300]}", file=sys.stderr, flush=True)
    return _result(list(seen.marks.values()), failures, since, until, cpu)


async def measured_plain(reads: Sequence[Read], period: float, *, warm_up: float, seconds: float) -> Result:
    """A plain loop per device at a fixed rate; what was missed is skipped. Nothing is kept."""
    collect_garbage_less_often()
    marks: list[list[float]] = [[] for _ in reads]
    failures: list[float] = []
    begin = time.monotonic() + 0.1
    ends = begin + warm_up + seconds

    async def poll(number: int) -> None:
        at = begin + period * number / len(reads)
        while at < ends:
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            sound = await reads[number]()
            now = time.monotonic()
            marks[number].append(now)
            if not sound:
                failures.append(now)
            at = max(at + period, now - period) if period else now

    polls = [asyncio.create_task(poll(number)) for number in range(len(reads))]
    await asyncio.sleep(begin + warm_up - time.monotonic())
    cpu, since = time.process_time(), time.monotonic()
    await asyncio.sleep(ends - time.monotonic())
    cpu, until = time.process_time() - cpu, time.monotonic()
    await asyncio.gather(*polls)
    return _result(marks, sum(since <= mark < until for mark in failures), since, until, cpu)


def _result(marks: Sequence[list[float]], failures: int, since: float, until: float, cpu: float) -> Result:
    counted = [[mark for mark in of_one if since <= mark < until] for of_one in marks]
    gaps = sorted(after - before for of_one in counted for before, after in pairwise(of_one)) or [0.0]
    share = (cpu / (until - since), gaps[len(gaps) // 2], gaps[int(0.99 * len(gaps))], gaps[-1])
    return Result(sum(map(len, counted)), failures, until - since, *share)


def collect_garbage_less_often() -> None:
    """As ``local`` does at its start (``local/start.py``); for both sides."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


# All of it ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(*module: str) -> Iterator[str]:
    """Devices in a process of their own, as long as this lasts; what they said first: where they are."""
    command = [sys.executable, "-m", *module]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True) as farm:
        assert farm.stdin is not None
        assert farm.stdout is not None
        try:
            yield farm.stdout.readline().strip()
        finally:
            farm.stdin.close()


def _turn(module: str, side: str, told: Mapping[str, object]) -> Result:
    command = [sys.executable, "-m", module, "--side", side, json.dumps(told)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    return Result(**json.loads(done.stdout))


def say(found: Result) -> None:
    """What a side tells the process that started it; it ends there. (asyncua's own tasks do not always let go.)"""
    sys.stdout.write(json.dumps(asdict(found)) + "\n")
    sys.stdout.flush()
    os._exit(0)


def rounds(module: str, sides: Sequence[str], told: Mapping[str, object], *, count: int) -> dict[str, Result]:
    """Every side so many times, taking turns; the medians, and all failures."""
    found: dict[str, list[Result]] = {side: [] for side in sides}
    for turn in range(count):
        for side in sides if turn % 2 == 0 else tuple(reversed(sides)):
            found[side].append(_turn(module, side, told))
    return {side: _median(results) for side, results in found.items()}


def _median(results: Sequence[Result]) -> Result:
    def middle(part: Callable[[Result], float]) -> float:
        return statistics.median(part(one) for one in results)

    seconds = middle(lambda one: one.seconds)
    return Result(
        reads=round(middle(lambda one: one.rate) * seconds),
        failed=sum(one.failed for one in results),
        seconds=seconds,
        cpu=middle(lambda one: one.cpu),
        p50=middle(lambda one: one.p50),
        p99=middle(lambda one: one.p99),
        worst=max(one.worst for one in results),
    )


def line(name: str, found: Result) -> str:
    """One line of the report."""
    return (
        f"  {name:<40}{found.rate:9.1f} reads/s {100 * found.cpu:6.1f} % of a core, {found.cpu_us:5.0f} us a read   "
        f"between two reads p50 {found.p50:.3f} p99 {found.p99:.3f} max {found.worst:.3f} s"
        + (f"   {found.failed} FAILED" if found.failed else "")
    )


def load_now() -> str:
    """For the head of a report."""
    return f"load {os.getloadavg()[0]:.1f}"
