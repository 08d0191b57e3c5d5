"""The receiver of a benchmark, a process of its own: counts exactly what arrives where, by sequence number.

``GET /_state`` tells; ``POST /_reset`` forgets. Every other request is a notification; the number is found in whatever
body arrives, after ``"seq":``, and the time of sending after ``"sent":``.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import sys
import time

from tests.benchmarks.wire import Server, run_loop

_SEQ = re.compile(rb'"seq":\s*(\d+)')
_SENT = re.compile(rb'"sent":\s*([\d.]+)')


class Counter:
    """What arrived."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.seen: set[tuple[bytes, bytes]] = set()
        self.total = 0
        self.took: list[float] = []
        self.last = 0.0

    def answer(self, path: bytes, body: bytes) -> bytes:
        if path == b"/_state":
            return self.state()
        if path == b"/_reset":
            self.reset()
            return b""
        now = time.time()
        number, sent = _SEQ.search(body), _SENT.search(body)
        if number is None or sent is None:
            return b""
        self.total += 1
        self.last = now
        key = (path, number[1])
        if key not in self.seen:
            self.seen.add(key)
            self.took.append(now - float(sent[1]))
        return b""

    def state(self) -> bytes:
        said: dict[str, float] = {"unique": len(self.seen), "total": self.total, "last": self.last}
        said["cpu"] = time.process_time()
        if len(self.took) > 100:
            cuts = statistics.quantiles(self.took, n=100)
            said |= {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "max": max(self.took)}
        return json.dumps(said).encode()


async def main() -> None:
    counter = Counter()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(counter.answer), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    run_loop(main)
