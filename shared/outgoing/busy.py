"""The way to ``http://`` targets that are asked often: reqwest, which works on a thread of its own outside the GIL.

Measured on deliveries, a request costs the event loop a fifth of what it costs through aiohttp, and half in all. Only
what both libraries read the same way goes here: a URL that reqwest would write otherwise, a name with several
addresses, TLS and targets that are asked now and then stay with aiohttp. Imported lazily (it loads pyreqwest).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import (
    DecodeError,
    DetailedPyreqwestError,
    PyreqwestError,
    RequestTimeoutError,
)
from pyreqwest.http import Url
from pyreqwest.request import RequestBuilder
from pyreqwest.response import Response

from shared.errors import InvalidInput
from shared.outgoing.addresses import parse_address
from shared.outgoing.answer import OutgoingAnswer, unpacked
from shared.outgoing.failures import OutgoingError, broke_off, explain, no_answer, not_http, too_large_head, too_late

if TYPE_CHECKING:
    from shared.outgoing.targets import Target, TargetPolicy

__all__ = ["BusyTargets"]

KEEP_ALIVE_SECONDS = 15.0
DNS_CACHE_SECONDS = 10.0
MAX_CONNECTIONS_PER_HOST = 100
MAX_KNOWN_URLS = 1_024
MAX_ORIGINS = 1_024
MAX_CLIENTS = 64
"""One for all literal addresses, and one for each name: a client connects a name to the address it was built with."""
CONNECT_SHARE = 0.9
"""Of the time for all: so that a connection that does not come about is told from an answer that does not come."""

_SYSTEM = re.compile(r"\(os error (\d+)\)")


@dataclass(slots=True)
class _Way:
    """A client, and what it connects to."""

    client: Client
    address: str
    """The vetted address; empty: whatever literal address the URL has."""
    vetted_until: float


@dataclass(slots=True)
class _Origin:
    """One place that is asked."""

    room: asyncio.Semaphore
    answered: float = float("-inf")
    """When it last did."""


class BusyTargets:
    """Clients for the targets that are asked often."""

    def __init__(self, targets: TargetPolicy) -> None:
        self._targets = targets
        self._urls: dict[str, Url | None] = {}
        self._ways: dict[tuple[str, int, float], _Way] = {}
        self._origins: dict[str, _Origin] = {}

    def url(self, target: Target) -> Url | None:
        """The target's URL, if reqwest sends it exactly as it is written; ``None``: it must go another way."""
        if target.url not in self._urls:
            if len(self._urls) >= MAX_KNOWN_URLS:
                self._urls.clear()
            self._urls[target.url] = _as_written(target)
        return self._urls[target.url]

    async def exchange(
        self,
        method: str,
        target: Target,
        url: Url,
        headers: Mapping[str, str],
        content: bytes,
        timeout_seconds: float,
        max_answer_bytes: int,
    ) -> OutgoingAnswer | None:
        """Send and read, all within ``timeout_seconds``; ``None``: this target must go another way.

        When a connection that is probably a kept one is closed before any byte of an answer, the request is sent once
        more, as the other way does.

        Raises:
            OutgoingError: no answer, or one that breaks off.
        """
        started = time.perf_counter()
        way = await self._way(target, timeout_seconds)
        if way is None:
            return None
        where = f"{target.host}:{target.port}"
        origin = self._origin(target.origin)
        if origin.room.locked():
            await _wait_for_room(origin, where, timeout_seconds)
        else:
            await origin.room.acquire()  # at once
        try:
            # A request can be sent once, and is therefore made anew for a second time.
            try:
                request = way.client.request(method, url).headers(headers).body_bytes(content)
                response, body = await _sent(_within(request, timeout_seconds, started), max_answer_bytes)
            except PyreqwestError as err:
                if not _died_in_sending(err) or time.monotonic() - origin.answered > KEEP_ALIVE_SECONDS:
                    raise
                request = way.client.request(method, url).headers(headers).body_bytes(content)
                response, body = await _sent(_within(request, timeout_seconds, started), max_answer_bytes)
        except (PyreqwestError, ValueError) as err:  # ValueError: a header with a line break
            raise _explained(err, where, timeout_seconds) from err
        finally:
            origin.room.release()
        origin.answered = time.monotonic()
        body, truncated = body[:max_answer_bytes], len(body) > max_answer_bytes
        if encoding := response.get_header("content-encoding"):
            body, truncated = unpacked(encoding, body, truncated, max_answer_bytes)
        elapsed_ms = (time.perf_counter() - started) * 1000
        return OutgoingAnswer(response.status, response.headers, body, elapsed_ms, truncated)

    def _origin(self, name: str) -> _Origin:
        origin = self._origins.get(name)
        if origin is None:
            if len(self._origins) >= MAX_ORIGINS:
                self._origins = {known: o for known, o in self._origins.items() if o.room.locked()}
            origin = self._origins[name] = _Origin(asyncio.Semaphore(MAX_CONNECTIONS_PER_HOST))
        return origin

    async def close(self) -> None:
        """Close every connection."""
        ways, self._ways = self._ways, {}
        for way in ways.values():
            await way.client.close()

    async def _way(self, target: Target, timeout_seconds: float) -> _Way | None:
        literal = parse_address(target.host) is not None
        key = ("", 0, timeout_seconds) if literal else (target.host, target.port, timeout_seconds)
        way = self._ways.get(key)
        now = time.monotonic()
        if way is not None and (literal or now < way.vetted_until):
            return way
        address = ""
        if not literal:
            try:
                found = await self._targets.addresses(target.host, target.port)
            except (InvalidInput, OSError) as err:
                raise explain(err, f"{target.host}:{target.port}") from err
            if len(found) != 1:
                return None
            address = found[0]
        if way is not None and way.address == address:
            way.vetted_until = now + DNS_CACHE_SECONDS
            return way
        if len(self._ways) >= MAX_CLIENTS:
            del self._ways[next(iter(self._ways))]  # what is under way ends by itself
        self._ways[key] = way = _Way(_client(target, address, timeout_seconds), address, now + DNS_CACHE_SECONDS)
        return way


def _client(target: Target, address: str, timeout_seconds: float) -> Client:
    """Nothing is followed, unpacked, added or taken from the environment."""
    builder = ClientBuilder().http1_only().follow_redirects(False).referer(False).no_proxy()
    builder = builder.gzip(False).deflate(False).brotli(False).zstd(False)
    builder = builder.timeout(timedelta(seconds=timeout_seconds))
    builder = builder.connect_timeout(timedelta(seconds=timeout_seconds * CONNECT_SHARE))
    builder = builder.pool_idle_timeout(timedelta(seconds=KEEP_ALIVE_SECONDS))
    if address:
        builder = builder.resolve(target.host, address, target.port)
    return builder.build()


def _as_written(target: Target) -> Url | None:
    if target.scheme != "http":
        return None
    if target.url.endswith("?"):  # the other way refuses it: no two libraries agree on it
        return None
    written = target.url + "/" if target.url == target.origin else target.url
    try:
        url = Url(written)
    except ValueError:
        return None
    return url if str(url) == written else None


def _within(request: RequestBuilder, seconds: float, started: float) -> RequestBuilder:
    """The client's own limit does, unless time was lost before the request was made."""
    lost = time.perf_counter() - started
    return request if lost < seconds / 100 else request.timeout(timedelta(seconds=max(0.001, seconds - lost)))


async def _sent(request: RequestBuilder, most: int) -> tuple[Response, bytes]:
    """The answer, with at most one byte more than ``most``; what is longer costs the connection."""
    async with request.build_streamed() as response:
        read = await response.body_reader.read(most + 1)
        return response, b"" if read is None else bytes(read)


async def _wait_for_room(origin: _Origin, where: str, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await origin.room.acquire()
    except TimeoutError as err:
        raise too_late(where, seconds, connected=True, answered=False) from err


def _causes(err: Exception) -> str:
    causes = err.details.get("causes") if isinstance(err, DetailedPyreqwestError) else None
    return " / ".join(cause["message"] for cause in causes or ())


def _died_in_sending(err: PyreqwestError) -> bool:
    """The connection ended before any byte of an answer."""
    said = _causes(err)
    return "(SendRequest)" in said and ("before message completed" in said or _SYSTEM.search(said) is not None)


def _explained(err: Exception, where: str, seconds: float) -> OutgoingError:
    """reqwest tells by texts what happened; the kernel's numbers are among them."""
    said = _causes(err)
    if isinstance(err, RequestTimeoutError):
        return too_late(where, seconds, connected="(Connect)" not in said, answered="response body" in said)
    if (number := _SYSTEM.search(said)) is not None:
        return explain(OSError(int(number[1]), ""), where)
    if "before message completed" in said:
        return no_answer(where)
    if "response body" in said:
        return broke_off(where)
    if "head is too large" in said or "too many headers" in said:
        return too_large_head(where)
    return not_http(where) if isinstance(err, DecodeError) else explain(err, where)
