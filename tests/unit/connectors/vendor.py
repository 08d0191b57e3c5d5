"""A vendor's cloud for these tests: aiohttp's own server on a socket, answering in pages as vendors do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from shared.clock import Clock
from shared.connectors import Connector, Connectors
from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy

__all__ = ["Vendor", "units"]

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


def units(count: int) -> list[dict[str, Any]]:
    """Ovens of an account: unit n is at 100 + n degrees."""
    return [{"id": n, "temp": 100 + n, "at": f"2026-11-21T09:{n % 60:02}:00Z"} for n in range(count)]


class Vendor:
    """What reached it, and what it answers."""

    def __init__(self, clock: Clock, answering: Answering) -> None:
        self._clock = clock
        self.answering = answering
        self.asked: list[str] = []
        """Method, path and query."""
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.types: list[str | None] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def reads(self) -> int:
        return sum(one.startswith("GET") for one in self.asked)

    @property
    def orders(self) -> list[str]:
        return [one for one in self.asked if not one.startswith("GET")]

    def open(self, equipment_id: str = "oven-1", *, protocol: str = "rest_api", **config: Any) -> Connector:
        """A connector as a poll opens it: all of one process."""
        return self.connectors.open(
            protocol=protocol, equipment_id=equipment_id, config={"endpoint": self.url, **config}
        )

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Vendor]:
        """Open for business."""

        async def handle(request: web.Request) -> web.StreamResponse:
            self.asked.append(f"{request.method} {request.raw_path}")
            self.headers.append({name.lower(): value for name, value in request.headers.items()})
            self.bodies.append(await request.read())
            self.types.append(request.headers.get("Content-Type"))
            return await self.answering(request)

        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = int(runner.addresses[0][1])
        http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True))
        self.connectors = Connectors(http, self._clock)
        try:
            yield self
        finally:
            await http.close()
            await runner.cleanup()
