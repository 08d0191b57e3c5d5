"""The host is killed in the middle of polling: it goes on where it was, and no poll is recorded twice."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from tests.faults.host_process import HostProcess, running

ROOT = Path(__file__).resolve().parents[2]
OVENS = 30
INTERVAL = 10


@asynccontextmanager
async def farm() -> AsyncIterator[httpx.AsyncClient]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.oven_farm", cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        url = f"http://127.0.0.1:{int(await process.stdout.readline())}"
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            yield http
    finally:
        process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]
        await asyncio.sleep(0)


async def asked(ovens: httpx.AsyncClient) -> dict[str, list[float]]:
    answer: dict[str, list[float]] = (await ovens.get("/asked")).json()
    return answer


async def until(ovens: httpx.AsyncClient, condition: Callable[[dict[str, list[float]]], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not condition(await asked(ovens)):  # noqa: ASYNC110 - another process counts
            await asyncio.sleep(0.05)


async def register(host: HostProcess, farm_url: str) -> None:
    for n in range(OVENS):
        status, _ = await host.call("POST", "/api/v1/equipment", json={"id": f"oven-{n}", "name": f"Oven {n}"})
        assert status == 201
        config = {
            "protocol": "rest_api",
            "endpoint": farm_url,
            "additional_config": {"data_endpoint": "/ovens/{equipment_id}"},
            "poll_interval_seconds": INTERVAL,
        }
        status, body = await host.call("POST", f"/api/v1/equipment/oven-{n}/iot-config?test=false", json=config)
        assert status == 200, body


async def reading_times(host: HostProcess, n: int) -> list[datetime]:
    _, body = await host.call("GET", f"/api/v1/equipment/oven-{n}/sensor-history?limit=1000")
    return sorted(datetime.fromisoformat(r["reading_time"]) for r in body["readings"])


@pytest.mark.soak
@pytest.mark.process
async def test_a_killed_host_polls_on_and_records_nothing_twice(tmp_path: Path) -> None:
    async with farm() as ovens:
        async with running(tmp_path) as host:
            await register(host, str(ovens.base_url))
            await until(ovens, lambda times: len(times) == OVENS, 25)
            # In the middle of things: some of a round are read and some are not.
            before = sum(map(len, (await asked(ovens)).values()))
            await until(ovens, lambda times: sum(map(len, times.values())) > before + 5, 15)
            await host.end(signal.SIGKILL)
        async with running(tmp_path) as host:
            counts = {name: len(times) for name, times in (await asked(ovens)).items()}
            await until(ovens, lambda times: all(len(times[name]) >= count + 2 for name, count in counts.items()), 35)
            times = await asked(ovens)
            for n in range(OVENS):
                recorded = await reading_times(host, n)
                gaps = [(b - a).total_seconds() for a, b in pairwise(recorded)]
                # What is asked twice for one instant would be milliseconds or a restart apart, not an interval.
                assert min(gaps) > INTERVAL - 1.5, gaps
                longest = max(b - a for a, b in pairwise(times[f"oven-{n}"]))
                assert longest < 2 * INTERVAL + 1, "one poll may fall into the pause, not two"
