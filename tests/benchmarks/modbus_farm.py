"""Modbus devices as thin as they get: one listener on all of 127.0.0.0/8, an address for each device.

``python -m tests.benchmarks.modbus_farm [--answer-ms 20]``; says its port, then serves until its input ends.
A device answers one request after the other, each after that time, as a PLC does. The first three registers, its
temperatures, are others in every answer; the rest stands still, as in an oven that bakes.
"""

from __future__ import annotations

import argparse
import asyncio
import struct
import sys
from typing import cast

from tests.benchmarks.wire import run_loop

REGISTERS = tuple(
    struct.pack(">125H", *(1_800 + (7 * turn + at) % 16 for at in range(3)), *range(1_003, 1_125)) for turn in range(16)
)


class _Device(asyncio.Protocol):
    def __init__(self, answer_seconds: float) -> None:
        self._answer_seconds = answer_seconds
        self._free_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 12:
            request, self._buffer = self._buffer[:12], self._buffer[12:]
            count = request[10] << 8 | request[11]
            head = struct.pack(
                ">HHHBBB", request[0] << 8 | request[1], 0, 3 + 2 * count, request[6], request[7], 2 * count
            )
            self._answers += 1
            self._send(head + REGISTERS[self._answers % 16][: 2 * count])

    def _send(self, answer: bytes) -> None:
        if not self._answer_seconds:
            self._transport.write(answer)
            return
        now = self._loop.time()
        self._free_at = max(now, self._free_at) + self._answer_seconds
        self._loop.call_at(self._free_at, self._answer, answer)

    def _answer(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--answer-ms", type=float, default=0.0)
    seconds = parser.parse_args().answer_ms / 1000
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Device(seconds), "0.0.0.0", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    run_loop(main)
