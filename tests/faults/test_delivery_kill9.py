"""The host is killed (SIGKILL) in the middle of 500 pending deliveries and started again: every event arrives.

The real host, the real listener side, real HTTP; the publisher sends again what it got no answer for, under the same
idempotency key. The moment of the kill is drawn from a seed that is printed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.benchmarks.wire import Client, start
from tests.unit.callbacks.receiver import Receiver, receiving

EVENTS = 500
CALLBACKS = 3
BASE = "/ffwebservices/api/v2"

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]


@asynccontextmanager
async def _host(folder: Path) -> AsyncIterator[tuple[subprocess.Popen[str], int]]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "DELIVERY_RETRY_SECONDS": "1"}
    process, line = await asyncio.to_thread(start, "-m", "local", "--port", "0", "--data", str(folder), env=environment)
    try:
        assert "http://127.0.0.1:" in line, line
        yield process, int(line.split("http://127.0.0.1:")[1].split()[0])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


async def _register(port: int, receiver: Receiver) -> list[str]:
    client = await Client.connect(port)
    ids = []
    for number in range(CALLBACKS):
        wanted = {"eventType": "EXTERNAL", "url": f"{receiver.url}/c{number}"}
        status, said = await client.ask("POST", f"{BASE}/callbacks", json.dumps(wanted).encode())
        assert status == 201, said
        ids.append(json.loads(said)["properties"]["id"])
    client.close()
    return ids


class _Publisher:
    """Sends numbered events; remembers which were acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: set[int] = set()
        self.answered = asyncio.Event()

    async def publish(self, port: int, connections: int = 8) -> None:
        """Everything that is not acknowledged; returns when that is done or the host is gone."""
        numbers = iter([n for n in range(EVENTS) if n not in self.acknowledged])

        async def send() -> None:
            with contextlib.suppress(OSError):
                client = await Client.connect(port)
                for number in numbers:
                    body = {"eventType": "EXTERNAL", "data": {"n": number}}
                    status, said = await client.ask(
                        "POST", f"{BASE}/events", json.dumps(body).encode(), {"idempotency-key": f"n{number}"}
                    )
                    assert status == 204, said
                    self.acknowledged.add(number)
                    self.answered.set()
                client.close()

        await asyncio.gather(*(send() for _ in range(connections)))


async def _until_all_arrived(receiver: Receiver, wanted: set[tuple[str, int]], seconds: float) -> set[tuple[str, int]]:
    """What is missing when the time is over."""
    until = time.monotonic() + seconds
    while True:
        missing = wanted - {(n.path, n.json()["properties"]["data"]["n"]) for n in receiver.seen}
        if not missing or time.monotonic() > until:
            return missing
        receiver.arrived.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await receiver.arrived.wait()


@pytest.mark.parametrize("lives", [pytest.param(1, marks=pytest.mark.soak), 3])
async def test_kill_in_the_middle_of_500_pending(tmp_path: Path, lives: int) -> None:
    seed = int(os.environ.get("SEED", str(random.randrange(10**6))))
    chance = random.Random(seed)
    print(f"seed {seed}")
    publisher = _Publisher()
    async with receiving() as receiver:
        ids: list[str] = []
        for _ in range(lives):
            receiver.answer = lambda _: 200 if chance.random() < 0.3 else 503
            async with _host(tmp_path) as (process, port):
                ids = ids or await _register(port, receiver)
                publishing = asyncio.create_task(publisher.publish(port))
                await publisher.answered.wait()
                await asyncio.sleep(chance.uniform(0.05, 1.5))
                process.send_signal(signal.SIGKILL)
                await asyncio.to_thread(process.wait)
                await publishing
        receiver.answer = 200
        async with _host(tmp_path) as (_, port):
            await publisher.publish(port)
            assert publisher.acknowledged == set(range(EVENTS))
            wanted = {(f"/c{c}", n) for c in range(CALLBACKS) for n in range(EVENTS)}
            missing = await _until_all_arrived(receiver, wanted, 100)
            assert not missing, f"seed {seed}: {len(missing)} of {len(wanted)} never arrived"
    _check_ids(receiver, ids, seed)


def _check_ids(receiver: Receiver, ids: list[str], seed: int) -> None:
    """Whatever came twice came under the same ``webhook-id``, and no two notifications share one."""
    by_content: dict[tuple[str, int], set[str]] = {}
    for notification in receiver.seen:
        properties = notification.json()["properties"]
        assert properties["callbackId"] == ids[int(notification.path[2:])]
        by_content.setdefault((notification.path, properties["data"]["n"]), set()).add(notification.webhook_id)
    assert all(len(names) == 1 for names in by_content.values()), f"seed {seed}: a second webhook-id for the same"
    names = [name for told in by_content.values() for name in told]
    assert len(names) == len(set(names)), f"seed {seed}: one webhook-id for two notifications"
    print(f"{len(receiver.seen)} notifications for {len(by_content)}, tries included")
