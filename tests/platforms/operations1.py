"""Operations1's REST API as far as it is published, over a real socket; and a pick-by-light beside it."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

TOKEN = "op1-Token-4f2a9c"
TENANT = "bakery"
VERSION = "2026-05-18"


class FakeOperations1:
    """Keeps orders; every request must have its version and its token.

    ``trouble``: what the next requests meet, one by one: a status, ``lost`` (done, and no answer), ``hang``.
    """

    def __init__(self) -> None:
        self.orders: list[dict[str, Any]] = []
        self.reports: dict[str, dict[str, Any]] = {}
        self.tokens = {TOKEN}
        self.versions = {VERSION, "2025-04-21"}
        self.trouble: list[int | str] = []
        self.asked: list[str] = []
        self.posted = 0
        self.reached = asyncio.Event()
        self.ignores_filters = False
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(middlewares=[self._admit])
        app.router.add_get("/tenants/{tenant}/orders", self._list)
        app.router.add_post("/tenants/{tenant}/orders", self._create)
        app.router.add_get("/tenants/{tenant}/reports/{id}", self._report)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        server = site._server
        assert isinstance(server, asyncio.Server)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _admit(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path_qs}")
        if request.headers.get("Accept-Version") not in self.versions:
            text = "Please send the Accept-Version header."
            return web.json_response({"message": text, "errorCode": "PG3"}, status=400)
        if request.headers.get("Authorization") not in {f"Bearer {token}" for token in self.tokens}:
            return web.json_response({"message": "Unauthorized"}, status=401)
        trouble = self.trouble.pop(0) if self.trouble else None
        if trouble == "hang":
            self.reached.set()
            await asyncio.sleep(3_600)
        if isinstance(trouble, int):
            headers = {"Retry-After": "7"} if trouble == 429 else {}
            return web.json_response({"message": f"Trouble {trouble}"}, status=trouble, headers=headers)
        answer: web.StreamResponse = await handler(request)
        if trouble == "lost":
            assert request.transport is not None
            request.transport.close()
        return answer

    async def _list(self, request: web.Request) -> web.Response:
        wanted = request.query.getall("customOrderIds", [])
        found = (
            self.orders
            if self.ignores_filters or not wanted
            else [o for o in self.orders if o["customOrderId"] in wanted]
        )
        index, size = int(request.query.get("pageIndex", "0")), int(request.query.get("pageSize", "10"))
        if not 10 <= size <= 200:
            return web.json_response({"message": "pageSize is 10 to 200"}, status=400)
        items = found[index * size : (index + 1) * size]
        return web.json_response({"totalItemCount": len(found), "pageIndex": index, "pageSize": size, "items": items})

    async def _create(self, request: web.Request) -> web.Response:
        """As the platform does: the same customOrderId twice makes two orders."""
        self.posted += 1
        order = {"id": 100 + self.posted, "state": "not-started", **(await request.json())}
        self.orders.append(order)
        return web.json_response(order, status=201)

    async def _report(self, request: web.Request) -> web.Response:
        found = self.reports.get(request.match_info["id"])
        if found is None:
            return web.json_response({"message": "No such report"}, status=404)
        return web.json_response(found)
