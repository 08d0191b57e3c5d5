"""1,000 REST ovens at a 10 s interval, polled by the real local host: is every poll within interval + 1 s?

``python -m tests.benchmarks.polling [--devices 1000 --interval 10 --seconds 60] [--hanging 200]``

With ``--hanging`` so many of them stop answering when the measurement begins; the figures are those of the others.
Measured where it counts, at the ovens: when each was asked, and how long after the time before. The host and the
ovens share this machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
PORTS = 50
SLACK = 1.0
"""Seconds over the interval that a poll may be late."""


@dataclass(frozen=True)
class Result:
    """What the ovens saw."""

    devices: int
    """Those that answer."""
    hanging: int
    interval: float
    seconds: float
    polls: int
    expected: float
    gaps: list[float]
    """Seconds between two polls of one oven, sorted; the beginning and the end of the measurement count as polls."""
    host_cpu: float
    """Share of one core."""
    farm_cpu: float
    registering: float
    """Seconds to register one oven, mean."""

    @property
    def late(self) -> int:
        """Gaps over interval + 1 s."""
        return sum(gap > self.interval + SLACK for gap in self.gaps)

    def at(self, share: float) -> float:
        """The gap at this share of the sorted gaps."""
        return self.gaps[min(len(self.gaps) - 1, int(share * len(self.gaps)))] if self.gaps else float("nan")

    def table(self) -> str:
        """For people."""
        on_time = 100 * (1 - self.late / max(1, len(self.gaps)))
        return "\n".join(
            (
                f"Polling {self.devices} REST ovens every {self.interval:g} s for {self.seconds:.0f} s"
                + (f" while {self.hanging} more hang" if self.hanging else ""),
                f"  polls                {self.polls:8d}   of {self.expected:.0f} expected",
                f"  on time              {on_time:8.2f} %  ({self.late} later than {self.interval + SLACK:g} s)",
                f"  time between polls   p50 {self.at(0.5):.3f} s   p99 {self.at(0.99):.3f} s   max {self.at(1):.3f} s",
                f"  CPU of the host      {100 * self.host_cpu:8.1f} % of one core",
                f"  CPU of the ovens     {100 * self.farm_cpu:8.1f} %",
                f"  registering an oven  {1000 * self.registering:8.1f} ms",
            )
        )


async def run(devices: int = 1000, interval: int = 10, seconds: float = 60.0, hanging: int = 0) -> Result:
    """Start ovens and host, register, warm up for two intervals, measure.

    Of ``devices``, ``hanging`` stop answering when the measurement begins.
    """
    stuck = {f"oven-{n * devices // hanging}" for n in range(hanging)} if hanging else set()
    with tempfile.TemporaryDirectory() as folder:
        async with _farm() as (farms, farm_pid), _host(Path(folder)) as (base_url, pid):
            limits = httpx.Limits(max_connections=32)
            async with httpx.AsyncClient(trust_env=False, timeout=30, limits=limits) as http:
                begun = time.monotonic()
                await _register(http, base_url, farms, devices, interval)
                registering = (time.monotonic() - begun) / devices
                await asyncio.sleep(2 * interval + 5)
                await http.put(f"{farms[0]}/hanging", json=sorted(stuck))
                await http.delete(f"{farms[0]}/asked")
                cpu, farm_cpu, start = _cpu(pid), _cpu(farm_pid), time.time()
                await asyncio.sleep(seconds)
                end, cpu, farm_cpu = time.time(), _cpu(pid) - cpu, _cpu(farm_pid) - farm_cpu
                asked = (await http.get(f"{farms[0]}/asked")).json()
    gaps: list[float] = []
    sound = [name for name in (f"oven-{n}" for n in range(devices)) if name not in stuck]
    for name in sound:
        times = [start, *(t for t in asked.get(name, ()) if t < end), end]
        gaps += [b - a for a, b in pairwise(times)][1:-1] or [end - start]
        # The first and last pieces are cut off by the measurement: they count only when they are too long.
        gaps += [piece for piece in (times[1] - start, end - times[-2]) if piece > interval + SLACK]
    return Result(
        len(sound),
        hanging,
        interval,
        end - start,
        sum(1 for name in sound for t in asked.get(name, ()) if t < end),
        len(sound) * (end - start) / interval,
        sorted(gaps),
        cpu / (end - start),
        farm_cpu / (end - start),
        registering,
    )


async def _register(http: httpx.AsyncClient, base_url: str, farms: list[str], devices: int, interval: int) -> None:
    gate = asyncio.Semaphore(16)

    async def one(n: int) -> None:
        async with gate:
            oven = {"id": f"oven-{n}", "name": f"Oven {n}"}
            config = {
                "protocol": "rest_api",
                "endpoint": farms[n % len(farms)],
                "credentials": {"token": f"token-{n}"},
                "additional_config": {"data_endpoint": "/ovens/{equipment_id}"},
                "supports_realtime": True,
                "poll_interval_seconds": interval,
            }
            for path, body in (("", oven), (f"/oven-{n}/iot-config", config)):
                answer = await http.post(f"{base_url}/api/v1/equipment{path}", json=body)
                if not answer.is_success:
                    raise RuntimeError(f"registering: {answer.status_code} {answer.text[:500]}")

    await asyncio.gather(*(one(n) for n in range(devices)))


@asynccontextmanager
async def _farm() -> AsyncIterator[tuple[list[str], int]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.oven_farm", str(PORTS), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        line = await process.stdout.readline() if process.stdout else b""
        yield [f"http://127.0.0.1:{port}" for port in line.decode().split()], process.pid
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def _host(folder: Path) -> AsyncIterator[tuple[str, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "host.log"
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "local", "--port", str(port), "--data", str(folder / "data")),
            cwd=ROOT,
            stdout=sink,
            stderr=sink,
        )
    base_url = f"http://127.0.0.1:{port}"
    try:
        await _ready(base_url, process, log)
        yield base_url, process.pid
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _ready(base_url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(30):
        while True:
            if process.returncode is not None:
                raise RuntimeError(f"the host ended: {log.read_text()[-2000:]}")  # noqa: ASYNC240
            try:
                if (await http.get(f"{base_url}/api/health/ready")).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.1)


def _cpu(pid: int) -> float:
    """Seconds of CPU the process used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.polling")
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--interval", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--hanging", type=int, default=0)
    given = parser.parse_args()
    result = asyncio.run(run(given.devices, given.interval, given.seconds, given.hanging))
    print(result.table())
    sys.exit(1 if result.late else 0)


if __name__ == "__main__":
    main()
