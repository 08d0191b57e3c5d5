"""A receiver of notifications: a real HTTP server that answers as it is told and remembers everything."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

__all__ = ["Notification", "Receiver", "receiving"]


@dataclass(frozen=True, slots=True)
class Notification:
    """What arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def webhook_id(self) -> str:
        """The receiver's key to tell a duplicate."""
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """Answers with ``answer`` (a status, or a function of the request), after recording."""

    url: str = ""
    answer: int | Callable[[Notification], int | web.Response] = 200
    hang: bool = False
    """Take the request and never answer."""
    reset: bool = False
    """Drop the connection without an answer."""
    seen: list[Notification] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def at(self, path: str) -> list[Notification]:
        """What came to this path."""
        return [n for n in self.seen if n.path == path]

    def ids(self) -> Counter[str]:
        """How often each ``webhook-id`` came."""
        return Counter(n.webhook_id for n in self.seen)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Record, then answer."""
        body = await request.read()
        headers = {k.lower(): v for k, v in request.headers.items()}
        notification = Notification(request.path_qs, headers, body)
        self.seen.append(notification)
        self.arrived.set()
        if self.hang:
            await asyncio.Event().wait()
        if self.reset and request.transport is not None:
            request.transport.abort()
        answer = self.answer(notification) if callable(self.answer) else self.answer
        return web.Response(status=answer) if isinstance(answer, int) else answer


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on a free port."""
    receiver = Receiver()
    runner = web.ServerRunner(web.Server(receiver.handle), handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()
