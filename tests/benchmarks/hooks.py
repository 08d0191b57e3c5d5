"""The door for platforms: how long a sender waits until its webhook is verified, stored and queued.

``python -m tests.benchmarks.hooks [--rate N] [--seconds N]``. A sender's patience is short and unknown, so the mark is
absolute: 100 ms at p99 under load. Beside it, with the same load in the same minute, the app's smallest answer
(``GET /api/health``), which verifies and stores nothing: what is left is the door's own.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.benchmarks.wire import Client, cpu_seconds, run_loop, start

__all__ = ["LIMIT_MS", "Result", "measure"]

RATE = 100
SECONDS = 10.0
CONNECTIONS = 32
BODY_BYTES = 4_000
LIMIT_MS = 100.0


@dataclass(frozen=True)
class Result:
    """One load."""

    name: str
    answers: int
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    """Of the app, per answer; its other work included."""


@dataclass(frozen=True)
class _Door:
    path: str
    key: bytes

    async def knock(self, client: Client, number: int) -> None:
        raw = json.dumps({"number": number, "entries": ["x" * 40] * (BODY_BYTES // 44)}).encode()
        stamp = str(int(time.time()))
        mac = hmac.digest(self.key, f"msg_{number}.{stamp}.".encode() + raw, hashlib.sha256)
        headers = {
            "webhook-id": f"msg_{number}",
            "webhook-timestamp": stamp,
            "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
        }
        status, said = await client.ask("POST", self.path, raw, headers)
        if status != 202:
            raise RuntimeError(f"the door answered {status}: {said!r}")


async def _health(client: Client, number: int) -> None:
    status, said = await client.ask("GET", "/api/health")
    if status != 200:
        raise RuntimeError(f"the app answered {status}: {said!r}")


async def _load(
    name: str, port: int, pid: int, ask: Callable[[Client, int], Awaitable[None]], rate: float, seconds: float
) -> Result:
    """Open loop: a sender does not wait for other senders. Waiting for a connection counts."""
    free: asyncio.Queue[Client] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await Client.connect(port))
    took: list[float] = []

    async def one(number: int, due: float) -> None:
        client = await free.get()
        try:
            await ask(client, number)
            took.append(asyncio.get_running_loop().time() - due)
        finally:
            free.put_nowait(client)

    loop = asyncio.get_running_loop()
    cpu, began = cpu_seconds(pid), loop.time()
    tasks = []
    for number in range(int(rate * seconds)):
        due = began + number / rate
        await asyncio.sleep(due - loop.time())
        tasks.append(asyncio.create_task(one(number, due)))
    await asyncio.gather(*tasks)
    cpu = cpu_seconds(pid) - cpu
    while not free.empty():
        free.get_nowait().close()
    cuts = statistics.quantiles(took, n=100)
    return Result(name, len(took), cuts[49] * 1000, cuts[98] * 1000, cpu / len(took) * 1000)


async def measure(rate: float = RATE, seconds: float = SECONDS) -> list[Result]:
    """The smallest answer, the door, and the smallest answer again."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        process, line = await asyncio.to_thread(
            start, "-m", "local", "--port", "0", "--data", str(Path(folder)), env=environment
        )
        try:
            port = int(line.split("http://127.0.0.1:")[1].split()[0])
            client = await Client.connect(port)
            wanted = json.dumps({"id": "press", "generate_signing_secret": True}).encode()
            status, said = await client.ask("POST", "/api/v1/hook-sources", wanted)
            client.close()
            if status != 201:
                raise RuntimeError(f"the source was not made: {status} {said!r}")
            made = json.loads(said)
            key = base64.b64decode(made["signing_secret"].removeprefix("whsec_"))
            door = _Door(urlsplit(made["url"]).path, key)
            found = [await _load("smallest answer", port, process.pid, _health, rate, seconds / 2)]
            found.append(await _load("webhook, stored", port, process.pid, door.knock, rate, seconds))
            found.append(await _load("smallest answer", port, process.pid, _health, rate, seconds / 2))
            return found
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(15)


async def report(rate: float, seconds: float) -> None:
    """Print the table."""
    print(f"Webhooks: {rate:g} a second of {BODY_BYTES:,} bytes, signed (HMAC-SHA256), for {seconds:g} s")
    print(f"{'':20}{'answers':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms':>9}")
    results = await measure(rate, seconds)
    for r in results:
        print(f"{r.name:20}{r.answers:>9}{r.p50_ms:>9.1f}{r.p99_ms:>9.1f}{r.cpu_ms:>9.2f}")
    worst = max(r.p99_ms for r in results if r.name.startswith("webhook"))
    print(f"  p99 {worst:.1f} ms (limit {LIMIT_MS:g} ms)")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.hooks")
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    chosen = parser.parse_args()
    run_loop(lambda: report(chosen.rate, chosen.seconds))


if __name__ == "__main__":
    main()
