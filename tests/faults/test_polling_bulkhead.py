"""One oven in ten hangs: the others are polled as punctually as before. Over real HTTP, with the host's 64 workers.

Measured at the ovens, the quiet time and the troubled one in the same run. Ovens are polled every two seconds here, and
the planner ticks every second, so that a minute of plant fits into half of one.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.clock import SystemClock
from shared.collection import schedule
from shared.connectors import Connectors
from shared.services import Services
from shared.settings import Settings
from tests.unit.collection.plant import Plant, oven

ROOT = Path(__file__).resolve().parents[2]

OVENS = 200
HANGING = 20
INTERVAL = 2
WARM_UP = 4.0
MEASURED = 8.0
WORKERS = 64


class RealPlant(Plant):
    """The registry is a list; connectors, HTTP, store and queue are real."""

    def open(self, *, protocol: str, equipment_id: str, config: dict[str, Any]) -> Any:
        return self.connectors.open(protocol=protocol, equipment_id=equipment_id, config=config)

    async def connector_config(self, equipment: Any, *, fresh: bool = False) -> dict[str, Any]:
        options = {"data_endpoint": "/ovens/{equipment_id}", "timeout": 20}
        return {"endpoint": equipment.endpoint, "port": equipment.port, "additional_config": options}

    @property
    def connectors(self) -> Connectors:
        return self.house.connectors

    async def host(self) -> None:
        """Timer and queue workers, as the host runs them."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ticks())
            group.create_task(self._pump())

    async def _ticks(self) -> None:
        while True:
            now = time.time()
            await asyncio.sleep(1.0 - now % 1.0)
            await self.polling.plan(self.house.clock.now())

    async def _pump(self) -> None:
        workers = asyncio.Semaphore(WORKERS)

        async def work(received: Any) -> None:
            try:
                await self.polling.read_batch(received.body, delivery_count=received.delivery_count)
                await self.house.receiver.complete("poll-batches", received)
            finally:
                workers.release()

        async with asyncio.TaskGroup() as group:
            while True:
                await workers.acquire()
                (received,) = await self.house.receiver.receive("poll-batches", 1)
                group.create_task(work(received))


@asynccontextmanager
async def farm() -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.oven_farm", cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]
        await asyncio.sleep(0)


async def periods(http: httpx.AsyncClient, among: set[str]) -> list[float]:
    """Seconds between polls, sorted, over the next while."""
    await http.delete("/asked")
    await asyncio.sleep(MEASURED)
    asked: dict[str, list[float]] = (await http.get("/asked")).json()
    assert set(asked) >= among, "every one of them was polled"
    return sorted(b - a for name, times in asked.items() if name in among for a, b in pairwise(times))


def p99(values: list[float]) -> float:
    return values[int(0.99 * len(values))]


@pytest.mark.soak
@pytest.mark.process
async def test_hanging_ovens_do_not_move_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "TICK_MS", 1_000)
    monkeypatch.setattr(schedule, "EARLY_MS", 200)
    settings = Settings(data_dir=tmp_path, allow_private_targets=True, allow_http_targets=True, access_mode="tokens")
    house = Services(settings, SystemClock())
    async with farm() as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        ovens = [oven(n, poll_interval_seconds=INTERVAL, port=port) for n in range(1, OVENS + 1)]
        plant = RealPlant(house, *ovens)
        hanging = {f"oven-{n}" for n in range(1, OVENS + 1, OVENS // HANGING)}
        sound = {device.id for device in ovens} - hanging
        host = asyncio.create_task(plant.host())
        try:
            await asyncio.sleep(WARM_UP)
            before = await periods(http, sound)
            await http.put("/hanging", json=sorted(hanging))
            troubled = await periods(http, sound)
            statuses = await plant.health.statuses()
        finally:
            host.cancel()
            await asyncio.gather(host, return_exceptions=True)
            await house.close()
    print(
        f"p99 {p99(before):.3f} s quiet, {p99(troubled):.3f} s with {HANGING} of {OVENS} hanging; {plant.polling.stats}"
    )
    assert {name for name, status in statuses.items() if not status.connected} == hanging
    assert len(troubled) > 0.9 * len(before)
    assert p99(troubled) < 1.1 * p99(before)
    assert troubled[-1] < INTERVAL + 1.0
    assert plant.polling.stats.stale == 0
