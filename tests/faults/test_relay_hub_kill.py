"""The hub is killed again and again while a relay's batches are in flight: each reading is there, and there once."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from shared.clock import iso
from shared.relay.messages import ReadingBatch, pack
from shared.signals import Reading, SignalValue
from shared.telemetry.document import to_document
from tests.faults.host_process import HostProcess, running
from tests.faults.test_relay import free_port

pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(120)]

MACHINES = 4
KILLS = 3
EACH_LIFE = 20
"""Batches that are acknowledged before the next kill, at least."""


class Sending:
    """What a relay does, as fast as it can: the same batch again until it is acknowledged, then the next."""

    def __init__(self, url: str, token: str) -> None:
        self._url = f"{url}/api/v1/relays/hall-1/readings"
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._begin = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
        self.acknowledged: list[list[str]] = []
        self.unanswered = 0
        self.enough = asyncio.Event()

    def batch(self, n: int) -> ReadingBatch:
        readings = [
            Reading(f"oven-{m}", self._begin + timedelta(seconds=n), {"temperature.deck": SignalValue(180.0, unit="C")})
            for m in range(MACHINES)
        ]
        return ReadingBatch.model_validate(
            {
                "relay_id": "hall-1",
                "first_seq": MACHINES * n + 1,
                "last_seq": MACHINES * (n + 1),
                "readings": [to_document(reading) for reading in readings],
            }
        )

    async def run(self) -> None:
        n = 0
        async with aiohttp.ClientSession(headers=self._headers, timeout=aiohttp.ClientTimeout(5)) as session:
            while not self.enough.is_set():
                batch = self.batch(n)
                try:
                    async with session.post(self._url, data=pack(batch)) as answer:
                        taken = answer.status == 202
                except (aiohttp.ClientError, TimeoutError):
                    taken = False
                if taken:
                    self.acknowledged.append([str(reading["ts"]) for reading in batch.readings])
                    n += 1
                else:
                    self.unanswered += 1
                    await asyncio.sleep(0.02)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.acknowledged) < count:  # noqa: ASYNC110 - the other task counts
                await asyncio.sleep(0.005)


async def history(hub: HostProcess, machine: int) -> list[str]:
    found: list[str] = []
    more = ""
    while True:
        status, body = await hub.call("GET", f"/api/v1/equipment/oven-{machine}/sensor-history?limit=1000{more}")
        assert status == 200, body
        found += [iso(datetime.fromisoformat(reading["reading_time"])) for reading in body["readings"]]
        if not body.get("continuation"):
            return found
        more = f"&continuation={body['continuation']}"


async def registered(hub: HostProcess) -> str:
    status, relay = await hub.call("POST", "/api/v1/relays", json={"id": "hall-1", "name": "Hall 1"})
    assert status == 201, relay
    for n in range(MACHINES):
        machine = {
            "id": f"oven-{n}",
            "name": "Oven",
            "relay_id": "hall-1",
            "iot_protocol": "rest_api",
            "iot_endpoint": "http://10.0.0.5",
            "iot_config": {"signals": {"temperature.deck": "t"}},
        }
        status, body = await hub.call("POST", "/api/v1/equipment", json=machine)
        assert status == 201, body
    return str(relay["token"])


async def test_nothing_is_lost_and_nothing_is_there_twice(tmp_path: Path) -> None:
    port, chance = free_port(), random.Random(7)
    async with running(tmp_path, port=port) as hub:
        sending = Sending(hub.url, await registered(hub))
        task = asyncio.create_task(sending.run())
        await sending.until(EACH_LIFE)
        await hub.end(signal.SIGKILL)
    for _ in range(KILLS - 1):
        async with running(tmp_path, port=port) as hub:
            await sending.until(len(sending.acknowledged) + EACH_LIFE)
            await asyncio.sleep(chance.random() / 5)
            await hub.end(signal.SIGKILL)
    async with running(tmp_path, port=port) as hub:
        await sending.until(len(sending.acknowledged) + 1)
        sending.enough.set()
        await task
        assert sending.unanswered >= KILLS, "it was killed under way"
        wanted = {at for batch in sending.acknowledged for at in batch}
        async with asyncio.timeout(30):
            while True:
                found = [await history(hub, machine) for machine in range(MACHINES)]
                if all(wanted <= set(one) for one in found):
                    break
                await asyncio.sleep(0.2)
        for one in found:
            assert max(Counter(one).values()) == 1, "none twice"
        _, state = await hub.call("GET", "/api/v1/relays/hall-1")
        assert (state["readings_refused"]["count"], state["batches_not_believed"]["count"]) == (0, 0)
        assert (await hub.end())[0] == 0
