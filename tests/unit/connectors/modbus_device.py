"""A Modbus device with a character, for tests: strict, silent, late, or one that dislikes used connections.

Plain devices are pymodbus' own server in the tests, and servers that nobody here wrote in tests/peers.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

__all__ = ["Device", "Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked."""

    unit: int
    function: int
    start: int
    count: int
    connection: int


@dataclass
class Device:
    """Speaks Modbus TCP on a free port of loopback."""

    registers: dict[int, int] = field(default_factory=dict)
    """Holding and input registers; every other address is illegal."""
    coils: dict[int, bool] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)
    """Units that never answer."""
    gateway: dict[int, int] = field(default_factory=dict)
    """Unit -> exception code of the gateway."""
    refused_functions: dict[int, int] = field(default_factory=dict)
    """Function -> exception code."""
    delay: float = 0.0
    """Seconds before every answer."""
    late: set[int] = field(default_factory=set)
    """Numbers of the requests (from 1) that are answered only together with the next one."""
    most_per_connection: int | None = None
    """Silent after so many answers in a connection."""
    answers_as: int | None = None
    raw: bytes | None = None
    """In place of an answer."""
    hang_up: bool = False
    """Close in place of an answer."""
    hang_up_on: set[int] = field(default_factory=set)
    """Numbers of the requests (from 1) for which it does."""
    read_only: bool = False
    """Takes writes and forgets them."""

    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    at_once: int = 0
    """Most requests that were waiting at a time."""
    port: int = 0

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy = 0
        self._owed: list[bytes] = []
        self.left = asyncio.Event()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, err: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def asked(self) -> list[tuple[int, int]]:
        """Start and count of every read so far."""
        return [(one.start, one.count) for one in self.requests if one.function <= 4]

    def forget(self) -> None:
        """Begin a new list of requests."""
        self.requests.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        try:
            await self._serve(reader, writer, self.connections)
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the other side went, or the test is over
        finally:
            self.open -= 1
            self.left.set()
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        answered = 0
        while True:
            transaction, _, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
            pdu = await reader.readexactly(length - 1)
            self._busy += 1
            self.at_once = max(self.at_once, self._busy)
            try:
                await asyncio.sleep(self.delay)
            finally:
                self._busy -= 1
            start, count = struct.unpack(">HH", pdu[1:5])
            self.requests.append(Request(unit, pdu[0], start, count, connection))
            if self.hang_up or len(self.requests) in self.hang_up_on:
                return
            if unit in self.silent or (self.most_per_connection is not None and answered >= self.most_per_connection):
                continue
            body = self.raw if self.raw is not None else self._answer(unit, pdu)
            frame = struct.pack(">HHHB", transaction, 0, len(body) + 1, self.answers_as or unit) + body
            answered += 1
            if len(self.requests) in self.late:
                self._owed.append(frame)
                continue
            writer.write(b"".join(self._owed) + frame)
            self._owed.clear()
            await writer.drain()

    def _answer(self, unit: int, pdu: bytes) -> bytes:
        function, (start, count) = pdu[0], struct.unpack(">HH", pdu[1:5])
        code = self.gateway.get(unit) or self.refused_functions.get(function)
        if code is None:
            try:
                return self._done(function, start, count, pdu)
            except KeyError:
                code = 2
        return bytes((function | 0x80, code))

    def _done(self, function: int, start: int, count: int, pdu: bytes) -> bytes:
        if function in (1, 2):
            bits = [self.coils[at] for at in range(start, start + count)]
            packed = bytes(sum(bit << n for n, bit in enumerate(bits[at : at + 8])) for at in range(0, count, 8))
            return bytes((function, len(packed))) + packed
        if function in (3, 4):
            words = [self.registers[at] for at in range(start, start + count)]
            return bytes((function, 2 * count)) + struct.pack(f">{count}H", *words)
        if not self.read_only:
            self._take(function, start, count, pdu)
        return pdu if function in (5, 6, 22) else pdu[:5]

    def _take(self, function: int, start: int, count: int, pdu: bytes) -> None:
        if function == 5:
            self.coils[start] = count == 0xFF00
        elif function == 6:
            self.registers[start] = count
        elif function == 16:
            self.registers.update(zip(range(start, start + count), _words(pdu[6:]), strict=True))
        elif function == 22:
            and_mask, or_mask = count, _words(pdu[5:7])[0]
            self.registers[start] = (self.registers[start] & and_mask) | (or_mask & ~and_mask & 0xFFFF)


def _words(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(data) // 2}H", data)
