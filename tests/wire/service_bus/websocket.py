"""A door for WebSockets in front of the server: bytes of ``AMQPWSB10`` frames on one side, the AMQP port on the other.

Plain ``ws``, where Azure has ``wss`` on port 443: it proves what the SDK asks for and that AMQP passes, not TLS or
proxies.
"""

from __future__ import annotations

import asyncio
from typing import Self

from aiohttp import WSMsgType, web

__all__ = ["PATH", "WebSocketDoor"]

PATH = "/$servicebus/websocket"
PROTOCOL = "AMQPWSB10"


class WebSocketDoor:
    """``async with WebSocketDoor(server.port) as door``: listens on ``door.port`` in the running loop."""

    def __init__(self, amqp_port: int) -> None:
        self.port = 0
        self.handshakes: list[tuple[str, str]] = []
        """Path and subprotocol of each."""
        self._amqp_port = amqp_port
        application = web.Application()
        application.router.add_get("/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.2)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "localhost", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        self.handshakes.append((request.path, request.headers.get("Sec-WebSocket-Protocol", "")))
        if request.path != PATH:
            raise web.HTTPNotFound
        socket = web.WebSocketResponse(protocols=[PROTOCOL])
        await socket.prepare(request)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._amqp_port)
        back = asyncio.create_task(_back(reader, socket))
        try:
            async for message in socket:
                if message.type is WSMsgType.BINARY:
                    writer.write(message.data)
                    await writer.drain()
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            writer.close()
        return socket


async def _back(reader: asyncio.StreamReader, socket: web.WebSocketResponse) -> None:
    while data := await reader.read(65_536):
        await socket.send_bytes(data)
    await socket.close()
