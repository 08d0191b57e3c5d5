"""HTTP: a request comes in, a function answers.

The order is the Functions host's: is it up, CORS, the host's own routes, the route table, keys, the limit of requests
at a time, the body, the function. No URL is ever logged: its query string may hold a key.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import azure.functions as func
from aiohttp import web

from local.admin import Admin
from local.answers import empty, from_function, problem
from local.bodies import Bodies, BodyRefused
from local.cors import Cors
from local.guard import DeveloperGuard
from local.invocation import as_coroutine
from local.keys import Keys
from local.requests import build_request, join_headers, query_params
from local.routes import Match, RouteTable
from local.running import Running

__all__ = ["Web"]

log = logging.getLogger("ovenbridge.host.http")

KEEP_ALIVE_SECONDS = 60.0
"""How long a connection may be idle, or take to send the header of a request."""


class _ServerLog(logging.LoggerAdapter[logging.Logger]):
    """The HTTP library's own complaints, without what the caller wrote: a request line may hold a key."""

    def exception(self, msg: object, *args: object, exc_info: Any = True, **_: object) -> None:
        if isinstance(exc_info, BaseException):
            self.logger.warning("a request could not be read or answered: %s", type(exc_info).__name__)
        else:
            self.logger.warning("a request could not be read or answered")

    def debug(self, msg: object, *args: object, **_: object) -> None:
        self.logger.debug("a connection ended early or spoke no HTTP")


@dataclass(slots=True)
class Web:
    """The HTTP side of the host."""

    table: RouteTable
    running: Running
    admin: Admin
    keys: Keys | None
    """``None``: keys are not asked for, as under ``func start``."""
    cors: Cors = field(default_factory=Cors)
    guard: DeveloperGuard | None = None
    bodies: Bodies = field(default_factory=Bodies)
    most_at_a_time: int = 1024
    lingering_seconds: float = 2.0
    """How long a body that nobody wants is read and thrown away, so that the caller gets to read the answer."""
    up: bool = False
    """Until then everything is answered 503."""
    _now: int = 0
    _handlers: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    _server: web.Server | None = None
    _tls: ssl.SSLContext | None = None
    _taking: set[asyncio.Task[None]] = field(default_factory=set)
    _listener: asyncio.Server | None = None

    def __post_init__(self) -> None:
        self._handlers = {r.function.name: as_coroutine(r.function.handler) for r in self.table.routes}

    def open(self, tls: ssl.SSLContext | None = None) -> web.Server:
        """Be ready for connections; with ``tls``: HTTPS."""
        self._tls = tls
        self._server = web.Server(
            self.handle,
            access_log=None,
            logger=_ServerLog(log),
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            lingering_time=self.lingering_seconds,
            auto_decompress=False,
            max_line_size=8190,
            max_field_size=16_380,
            max_headers=100,
        )
        return self._server

    async def listen(self, server: web.Server, sock: Any) -> None:
        """Take connections on this listening socket, after :meth:`open`."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(server, sock=sock, backlog=1024, ssl=self._tls)

    async def share(self, sock: Any, hand_over: Callable[[Any], bool]) -> None:
        """Take connections on this listening socket, and hand over those that another process shall have. Until
        cancelled."""
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        while True:
            try:
                connection, _ = await loop.sock_accept(sock)
            except OSError as error:  # no file handles left, most likely; or the caller is gone already
                log.warning("a connection was not taken: %s", error.strerror)
                await asyncio.sleep(0.05)
                continue
            if not hand_over(connection):
                task = asyncio.create_task(self.take(connection))  # a TLS handshake may take its time
                self._taking.add(task)
                task.add_done_callback(self._taking.discard)

    async def take(self, connection: Any) -> None:
        """Serve this connection."""
        if self._server is None:
            raise RuntimeError("open() comes first")
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._server, connection, ssl=self._tls)
        except OSError as error:
            log.debug("a connection ended before it was served: %s", error.strerror)
            connection.close()

    def stop_accepting(self) -> None:
        """No new connections, and idle ones are closed; running requests go on."""
        if self._listener is not None:
            self._listener.close()
        if self._server is not None:
            self._server.pre_shutdown()

    async def close(self) -> None:
        """Let go of the connections that are left."""
        if self._server is not None:
            await self._server.shutdown(0.5)

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer one request. Never raises for anything a caller or a function does."""
        headers = request.headers
        if self.guard is not None and (why := self.guard.refuses(headers)) is not None:
            return problem(403, "Not allowed", why)
        origin = headers.get("Origin") if self.cors.origins else None
        if origin is None:
            return await self._within_limits(request)
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in headers:
            return empty(204, self.cors.preflight(origin, headers))
        response = await self._within_limits(request)
        response.headers.update(self.cors.fields(origin))
        return response

    async def _within_limits(self, request: web.BaseRequest) -> web.Response:
        if not self.up:
            return web.Response(status=503, text="Function host is not running.", headers={"Retry-After": "1"})
        if self._now >= self.most_at_a_time:
            return problem(429, "Too many requests", "This host is busy; send it again in a moment.")
        self._now += 1
        try:
            return await self._dispatch(request)
        except BodyRefused as refused:
            response = problem(refused.status, refused.title, refused.detail)
            response.force_close()
            return response
        finally:
            self._now -= 1

    async def _dispatch(self, request: web.BaseRequest) -> web.Response:
        target = request.raw_path
        if not target.startswith("/"):
            # A proxy's absolute form, or the `*` of OPTIONS.
            target = "/" + target.partition("://")[2].partition("/")[2]
        path, _, query = target.partition("?")
        if path[:7].lower() == "/admin/":
            allowed = self._holds_key(request, query, "admin", "")
            return self.admin.answer(request.method, path, await self.bodies.read(request), allowed=allowed)
        match = self.table.find(request.method, path)
        if match is None:
            return self._nobody(path)
        function = match.function
        if self.keys is not None and not self._holds_key(request, query, function.auth_level, function.name):
            return empty(401)
        body = await self.bodies.read(request)
        return await self._call(match, request, target, query, body)

    async def _call(self, match: Match, request: web.BaseRequest, target: str, query: str, body: bytes) -> web.Response:
        headers = join_headers(request.headers.items())
        url = f"http://{headers.get('host', '')}{target}"
        name = match.function.name
        call = self.running.begin(name)
        try:
            answer = await self._handlers[name](build_request(request.method, url, query, headers, match.params, body))
            if isinstance(answer, func.HttpResponse):
                return from_function(answer)
            log.error("%s answered %s; return func.HttpResponse always", name, type(answer).__name__)
        except asyncio.CancelledError:
            if not call.timed_out:
                raise
            call.task.uncancel()
        except Exception:
            # The edge of a function: the host answers a bare 500, whatever escapes.
            log.exception("%s failed", name)
        finally:
            self.running.end(call)
        return empty(500)

    def _holds_key(self, request: web.BaseRequest, query: str, level: str, function: str) -> bool:
        if self.keys is None or level == "anonymous":
            return True
        key = request.headers.get("x-functions-key") or query_params(query).get("code", "")
        return self.keys.opens(level, function, key)

    def _nobody(self, path: str) -> web.Response:
        """404. The host's is bare; that other methods exist here is said as a courtesy."""
        methods = self.table.methods(path)
        if methods:
            said = ", ".join(methods)
            return problem(404, "Not found", f"No function takes this method here; there is {said}.", methods=methods)
        return problem(404, "Not found", "No function has a route like this; /admin/functions lists them all.")
