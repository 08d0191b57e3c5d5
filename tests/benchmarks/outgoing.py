"""What one outgoing request costs, by four ways through the same pool library, beside each other in one minute.

``python -m tests.benchmarks.outgoing``

The yardstick is aiohttp alone: no vetting, no limits, no translation of errors. Ours is ``OutgoingHttp.send``. The two
httpx rows show why the fast path is not httpx: they do the same job with its API on top.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import httpx
from yarl import URL

from shared.outgoing.http import OutgoingHttp
from shared.outgoing.pool import VettedTransport
from shared.outgoing.targets import TargetPolicy

CONCURRENCY = (1, 16, 64)
REQUESTS = 3_000
BODY = b'{"eventId":"0","type":"ALERT_RAISED","data":"' + b"x" * 650 + b'"}'
HEADERS = {"Content-Type": "application/json", "webhook-id": "msg-1"}
YARDSTICK = "aiohttp alone"
OURS = "OutgoingHttp.send"

Way = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Row:
    """One way at one concurrency."""

    way: str
    concurrency: int
    per_second: float
    cpu_us: float
    """Processor time of this process per request, in microseconds; the receiver runs in another."""
    ratio: float
    """Requests per second as a share of the yardstick's."""


_SINK = """
import asyncio

class Receiver(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""
    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\\r\\n\\r\\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15:].split(b"\\r", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length:]
            self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")

async def main():
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def _measure(way: Way, concurrency: int, requests: int) -> tuple[float, float]:
    numbers = iter(range(requests))

    async def worker() -> None:
        for _ in numbers:
            await way()

    cpu, begun = time.process_time(), time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    elapsed = time.perf_counter() - begun
    return requests / elapsed, (time.process_time() - cpu) / requests * 1e6


async def _rows(url: str, requests: int) -> list[Row]:
    targets = TargetPolicy(allow_private=True, allow_http=True)
    ours = OutgoingHttp(targets)
    client = ours.client()
    exact = URL(url, encoded=True)
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        transport = VettedTransport(session, targets)

        async def by_aiohttp() -> None:
            async with asyncio.timeout(10):
                response = await session.post(exact, headers=HEADERS, data=BODY, allow_redirects=False)
                await response.read()

        async def by_send() -> None:
            await ours.send("POST", url, headers=HEADERS, content=BODY, timeout_seconds=10)

        async def by_transport() -> None:
            request = httpx.Request("POST", url, headers=HEADERS, content=BODY)
            answer = await transport.handle_async_request(request)
            await answer.aread()
            await answer.aclose()

        async def by_client() -> None:
            await client.post(url, headers=HEADERS, content=BODY)

        ways: dict[str, Way] = {
            YARDSTICK: by_aiohttp,
            OURS: by_send,
            "httpx.Request over httpx-aiohttp": by_transport,
            "httpx.AsyncClient over httpx-aiohttp": by_client,
        }
        rows = []
        for concurrency in CONCURRENCY:
            yardstick = 0.0
            for name, way in ways.items():
                await _measure(way, concurrency, requests // 10)
                per_second, cpu_us = await _measure(way, concurrency, requests)
                yardstick = yardstick or per_second
                rows.append(Row(name, concurrency, per_second, cpu_us, per_second / yardstick))
    await ours.close()
    return rows


def measure(requests: int = REQUESTS) -> list[Row]:
    """All ways at all concurrencies, on uvloop where the local host would use it."""
    sink = subprocess.Popen([sys.executable, "-c", _SINK], stdout=subprocess.PIPE, text=True)
    try:
        assert sink.stdout is not None
        port = int(sink.stdout.readline())
        work = _rows(f"http://127.0.0.1:{port}/callback?sig=a%2Fb", requests)
        try:
            import uvloop
        except ImportError:
            return asyncio.run(work)
        return uvloop.run(work)
    finally:
        sink.kill()
        sink.wait()
        if sink.stdout is not None:
            sink.stdout.close()


def main() -> None:
    print(f"Outgoing HTTP ({REQUESTS} POSTs of {len(BODY)} bytes to another process, {os.cpu_count()} cores)")
    print(f"  {'way':<38} {'at once':>7} {'per s':>8} {'CPU us':>7} {'ratio':>6}")
    for row in measure():
        print(f"  {row.way:<38} {row.concurrency:>7} {row.per_second:>8.0f} {row.cpu_us:>7.0f} {row.ratio:>6.2f}")


if __name__ == "__main__":
    main()
