"""The short way for plain ``http://`` targets that are asked often: one request, one answer, over a kept connection.

aiohttp spends 100 microseconds of processor time on a request; two thirds of that serve features that a notification
never uses (cookies, redirects, traces, streaming). Here an answer with a ``Content-Length`` is read by hand. Whatever
is not as plain as that (chunks, packing, 1xx, no length) is handed, byte for byte, to aiohttp's own parser with its
limits; that target then goes the long way for a while. Imported lazily (it loads aiohttp).

The guards are those of the long way: only vetted addresses are connected to, limits of size and number hold, and
errors are raised as aiohttp raises them, so that ``exchange`` puts both in the same words.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from multidict import CIMultiDict, CIMultiDictProxy

from shared.outgoing.pool import (
    KEEP_ALIVE_SECONDS,
    MAX_CONNECTIONS,
    MAX_CONNECTIONS_PER_HOST,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    Progress,
)

if TYPE_CHECKING:
    from shared.outgoing.targets import Target, TargetPolicy

__all__ = ["Express", "Reply"]

LONG_WAY_SECONDS = 600.0
"""A target that once answered in a form that is not plain goes the long way for so long."""
MAX_ORIGINS = 1_024

_STATUS = re.compile(rb"HTTP/1\.1 ([2-5]\d\d)[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*(?:\r\n|$)")
_NOT_PLAIN = re.compile(
    rb"\r\n(?:transfer-encoding|content-encoding|upgrade|trailer)[ \t]*:|\n[ \t]|[^\r]\n|\r[^\n]|\0"
)
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""Control characters; line feeds are counted."""
_NO_BODY = (204, 304)


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool


class Express:
    """Kept connections by origin. Make it inside the running loop."""

    def __init__(self, targets: TargetPolicy) -> None:
        self._targets = targets
        self._origins: dict[str, _Origin] = {}
        self._long_way: dict[str, float] = {}
        self._loop = asyncio.get_running_loop()
        self._open = 0

    def takes(self, method: str, target: Target) -> bool:
        """Is this a request for the short way?"""
        if target.scheme != "http" or method == "HEAD" or self._open >= MAX_CONNECTIONS:
            return False
        until = self._long_way.get(target.origin)
        if until is None:
            return True
        if self._loop.time() < until:
            return False
        del self._long_way[target.origin]
        return True

    async def kept(
        self,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        content: bytes,
        limit: int,
        progress: Progress,
        seconds: float,
    ) -> Reply | None:
        """Over a kept connection if one is free this moment, else ``None``. The usual case, without a detour.

        Raises:
            TimeoutError: not within ``seconds``.
            aiohttp.ClientError, OSError, ValueError: as the long way does.
        """
        origin = self._origins.get(target.origin)
        connection = origin.take_kept() if origin is not None else None
        if origin is None or connection is None:
            return None
        try:
            progress.connected = progress.reused = True
            reply = await connection.exchange(_written(method, target, headers, content), limit, progress, seconds)
            if reply is None:
                self._remember_long_way(target.origin)
                async with asyncio.timeout(seconds):
                    reply = await connection.read_the_long_way(limit)
            return reply
        finally:
            origin.give_place(connection)

    def drop_kept(self, target: Target) -> None:
        """One of them turned out to be dead: so may be the others."""
        if (origin := self._origins.get(target.origin)) is not None:
            origin.close()

    async def once(
        self, method: str, target: Target, headers: Mapping[str, str], content: bytes, limit: int, progress: Progress
    ) -> Reply:
        """Send once and read the answer. Bounded in size by ``limit``, in time by whoever calls.

        Raises:
            aiohttp.ClientError, OSError, ValueError: as the long way does.
        """
        request = _written(method, target, headers, content)
        origin = self._origins.get(target.origin) or self._new(target)
        await origin.take_place()
        connection: _Connection | None = None
        try:
            connection = origin.idle() or await self._connect(origin, target)
            progress.connected, progress.reused = True, connection.used
            reply = await connection.exchange(request, limit, progress, None)
            if reply is None:
                self._remember_long_way(target.origin)
                reply = await connection.read_the_long_way(limit)
            return reply
        finally:
            origin.give_place(connection)

    def close(self) -> None:
        """Close every connection that is not in use."""
        for origin in self._origins.values():
            origin.close()
        self._origins.clear()

    def _new(self, target: Target) -> _Origin:
        if len(self._origins) >= MAX_ORIGINS:
            for name in [name for name, origin in self._origins.items() if not origin.busy]:
                self._origins.pop(name).close()
        origin = self._origins[target.origin] = _Origin(self._loop)
        return origin

    def _remember_long_way(self, origin: str) -> None:
        if len(self._long_way) >= MAX_ORIGINS:
            self._long_way.clear()
        self._long_way[origin] = self._loop.time() + LONG_WAY_SECONDS

    async def _connect(self, origin: _Origin, target: Target) -> _Connection:
        """To the first of the vetted addresses that takes the connection."""
        refusal: OSError | None = None
        for address in await self._targets.addresses(target.host, target.port):
            self._targets.vet(address, (address,))  # the very address, whatever the resolver said
            connection = _Connection(self, origin, self._loop)
            try:
                await self._loop.create_connection(lambda made=connection: made, address, target.port)  # type: ignore[misc]
            except OSError as err:
                refusal = err
                continue
            return connection
        raise refusal or OSError(f"{target.host} has no address")

    def opened(self, count: int) -> None:
        """One more or one less connection."""
        self._open += count


class _Origin:
    """The connections to one origin: so many at a time, in the order of asking."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._idle: list[_Connection] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> bool:
        """Is anything under way?"""
        return self._taken > 0

    def take_kept(self) -> _Connection | None:
        """A place and a kept connection, if both are free now."""
        if self._taken >= MAX_CONNECTIONS_PER_HOST or not self._idle:
            return None
        connection = self.idle()
        if connection is not None:
            self._taken += 1
        return connection

    async def take_place(self) -> None:
        """Wait for a place among the connections of this origin."""
        if self._taken < MAX_CONNECTIONS_PER_HOST:
            self._taken += 1
            return
        future = self._loop.create_future()
        self._waiting.append(future)
        try:
            await future  # whoever leaves hands the place over
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._hand_over()
            raise

    def give_place(self, connection: _Connection | None) -> None:
        """The request is over; the connection goes back if it is as new."""
        if connection is not None:
            if connection.reusable:
                connection.idle_since = self._loop.time()
                self._idle.append(connection)
                if self._timer is None:
                    self._timer = self._loop.call_later(KEEP_ALIVE_SECONDS, self._look)
            else:
                connection.abort()
        self._hand_over()

    def idle(self) -> _Connection | None:
        """A kept connection: the one used last."""
        while self._idle:
            connection = self._idle.pop()
            if connection.alive and self._loop.time() - connection.idle_since <= KEEP_ALIVE_SECONDS:
                return connection
            connection.abort()
        return None

    def forget(self, connection: _Connection) -> None:
        """It was closed from the other side."""
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close what is idle."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for connection in tuple(self._idle):
            connection.abort()
        self._idle.clear()

    def _hand_over(self) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return
        self._taken -= 1

    def _look(self) -> None:
        """Close what nobody has used for a while."""
        self._timer = None
        old = self._loop.time() - KEEP_ALIVE_SECONDS
        for connection in [c for c in self._idle if c.idle_since <= old]:
            self._idle.remove(connection)
            connection.abort()
        if self._idle:
            self._timer = self._loop.call_later(KEEP_ALIVE_SECONDS, self._look)


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, express: Express, origin: _Origin, loop: asyncio.AbstractEventLoop) -> None:
        self._express = express
        self._origin = origin
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._future: asyncio.Future[Reply | None] | None = None
        self._progress: Progress | None = None
        self._buffer = b""
        self._limit = 0
        self._close_after = False
        self.used = False
        self.alive = False
        self.reusable = False
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.alive = True
        self._express.opened(1)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.alive:
            self.alive = self.reusable = False
            self._express.opened(-1)
            self._origin.forget(self)
        future = self._future
        if future is None or future.done():
            return
        if isinstance(exc, OSError):
            future.set_exception(aiohttp.ClientOSError(*exc.args))
        elif self._buffer:
            future.set_exception(aiohttp.ClientPayloadError("the answer breaks off"))
        else:
            future.set_exception(aiohttp.ServerDisconnectedError())

    async def exchange(self, request: bytes, limit: int, progress: Progress, seconds: float | None) -> Reply | None:
        """The answer; ``None``: it is not plain, read it the long way.

        Raises:
            TimeoutError: not within ``seconds`` (``None``: the caller sees to that).
        """
        assert self._transport is not None  # noqa: S101 - connected
        self._future = self._loop.create_future()
        self._buffer, self._limit, self._progress = b"", limit, progress
        self.used, self.reusable = True, False
        self._transport.write(request)
        timer = None if seconds is None else self._loop.call_later(seconds, self._too_late)
        try:
            return await self._future
        finally:
            self._future = None
            if timer is not None:
                timer.cancel()

    def _too_late(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_exception(TimeoutError())

    def data_received(self, data: bytes) -> None:
        future = self._future
        if future is None or future.done():
            self.abort()  # nobody asked
            return
        if self._progress is not None:
            self._progress.answered = True
        self._buffer = data if not self._buffer else self._buffer + data
        end = self._buffer.find(b"\r\n\r\n")
        if (
            end < 0
            and len(self._buffer) <= MAX_HEADER_BYTES
            and self._buffer.startswith(b"HTTP/1.1 "[: len(self._buffer)])
        ):
            return
        found = _plain(self._buffer[: end + 2]) if 0 <= end <= MAX_HEADER_BYTES else None
        if found is None:
            self._to_the_long_way(future)
            return
        status, length, head = found
        here = len(self._buffer) - end - 4
        if here < min(length, self._limit + 1):
            return
        truncated = length > self._limit
        body = self._buffer[end + 4 : end + 4 + min(length, self._limit)]
        self.reusable = here == length and not _closes(head)
        future.set_result(Reply(status, _headers(self._buffer[:end]), body, truncated))

    def abort(self) -> None:
        """Close it, now."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    def _to_the_long_way(self, future: asyncio.Future[Reply | None]) -> None:
        assert self._transport is not None  # noqa: S101 - data came over it
        self._transport.pause_reading()
        future.set_result(None)

    async def read_the_long_way(self, limit: int) -> Reply:
        """Let aiohttp read this answer, from its first byte; the connection is not used again."""
        assert self._transport is not None  # noqa: S101 - data came over it
        handler = ResponseHandler(self._loop)
        handler.connection_made(self._transport)
        handler.set_response_params(
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
        )
        # From here on the transport tells the handler; what it would have told us is done here.
        self._transport.set_protocol(handler)
        self.alive = False
        self._express.opened(-1)
        handler.data_received(self._buffer)
        self._transport.resume_reading()
        message, stream = await handler.read()
        while 100 <= message.code < 200:
            message, stream = await handler.read()
        body = b""
        while len(body) <= limit and (chunk := await stream.read(limit + 1 - len(body))):
            body += chunk
        return Reply(message.code, cast("Any", message.headers), body[:limit], len(body) > limit)


def _written(method: str, target: Target, headers: Mapping[str, str], content: bytes) -> bytes:
    """The request as it goes out.

    Raises:
        ValueError: a header would end its line.
    """
    host = target.origin[len("http://") :]
    given = "\n".join([f"{name}: {value}" for name, value in headers.items()])
    if _FORBIDDEN.search(given) or given.count("\n") >= max(1, len(headers)):
        raise ValueError("a header may not hold a line break or another control character")
    length = f"Content-Length: {len(content)}\r\n" if content or method not in ("GET", "DELETE") else ""
    path = target.url[len(target.origin) :] or "/"
    lines = given.replace("\n", "\r\n") + "\r\n" if given else ""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n{lines}{length}\r\n".encode() + content


def _plain(head: bytes) -> tuple[int, int, bytes] | None:
    """Status, length of the body and the head in lower case of a plain answer; ``None``: it is not."""
    started = _STATUS.match(head)
    lower = head.lower()
    if started is None or _NOT_PLAIN.search(lower) or lower.count(b"\r\n") > MAX_HEADERS:
        return None
    status = int(started[1])
    lengths = _LENGTH.findall(lower)
    if lower.count(b"\r\ncontent-length") != len(lengths) or len(lengths) > 1:
        return None
    if status in _NO_BODY:
        return (status, 0, lower) if not lengths or lengths == [b"0"] else None
    return (status, int(lengths[0]), lower) if lengths else None


def _closes(head: bytes) -> bool:
    at = head.find(b"\r\nconnection:")
    return at >= 0 and b"close" in head[at : head.find(b"\r\n", at + 2)]


def _headers(head: bytes) -> Mapping[str, str]:
    found: CIMultiDict[str] = CIMultiDict()
    for line in head.decode("utf-8", "surrogateescape").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        found.add(name, value.strip(" \t"))
    return CIMultiDictProxy(found)
