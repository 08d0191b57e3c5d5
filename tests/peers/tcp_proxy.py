"""A TCP proxy that stands for the network between us and a device, and for everything that goes wrong with it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Literal, Self

__all__ = ["Mode", "TcpProxy"]

Mode = Literal["pass", "black-hole", "refuse", "hold", "reset"]


class TcpProxy:
    """Listens on a free port of loopback and passes on to ``(host, port)``, until :meth:`set` says otherwise.

    - ``pass``: bytes go both ways.
    - ``black-hole``: connections stay, every byte is swallowed (a pulled cable, a silent firewall).
    - ``refuse``: nobody listens; connections that were open are cut with RST.
    - ``hold``: bytes wait, and go on their way with the next ``pass`` (a stalled link).
    - ``reset``: connections that were open and every new one are cut with RST.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._mode: Mode = "pass"
        self._server: asyncio.Server | None = None
        self._pairs: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._passing = asyncio.Event()
        self._passing.set()
        self._reaching = asyncio.Event()
        self._reaching.set()
        self.port = 0
        """Where it listens; stays the same over ``refuse``."""
        self.black_hole_after: int | None = None
        """After so many more pieces from the server it becomes a black hole."""
        self.accepted = 0
        """Connections since it began."""
        self.swallowed = 0
        """Bytes that went into the black hole."""

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, err: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._stop_listening()
        self._cut()
        await asyncio.gather(*self._pairs, return_exceptions=True)

    @property
    def connections(self) -> int:
        """Open now."""
        return len(self._pairs)

    async def set(self, mode: Mode) -> None:
        """From now on."""
        self._mode = mode
        if mode in ("refuse", "reset"):
            self._cut()
        if mode == "refuse":
            await self._stop_listening()
        elif self._server is None:
            await self._listen()
        _set(self._passing, mode != "hold")
        _set(self._reaching, mode != "black-hole")

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        writers = self._pairs[task] = [writer]
        try:
            if self._mode == "reset":
                _reset(writer)
                return
            await self._carry(reader, writer, writers)
        except (OSError, asyncio.CancelledError):
            pass  # cut on purpose, or by one of the sides
        finally:
            del self._pairs[task]
            for one in writers:
                one.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, writers: list[asyncio.StreamWriter]
    ) -> None:
        if self._mode == "black-hole":
            await self._swallow(reader)
            return
        there, onward = await asyncio.open_connection(*self._target)
        writers.append(onward)
        sides = [
            asyncio.create_task(self._pump(reader, onward)),
            asyncio.create_task(self._pump(there, writer, counted=True)),
        ]
        try:
            await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for side in sides:
                side.cancel()
            await asyncio.gather(*sides, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool = False) -> None:
        while data := await reader.read(65_536):
            if counted and self.black_hole_after is not None:
                self.black_hole_after -= 1
                if self.black_hole_after < 0:
                    self.black_hole_after = None
                    await self.set("black-hole")
            await self._passing.wait()
            if self._mode == "black-hole":
                self.swallowed += len(data)
                continue
            writer.write(data)
            await writer.drain()
        # The end of a connection does not get through a black hole either.
        await self._reaching.wait()

    async def _swallow(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65_536):
            self.swallowed += len(data)

    def _cut(self) -> None:
        for task, writers in list(self._pairs.items()):
            for writer in writers:
                _reset(writer)
            task.cancel()


def _set(event: asyncio.Event, on: bool) -> None:
    if on:
        event.set()
    else:
        event.clear()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST in place of FIN."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
