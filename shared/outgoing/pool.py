"""The connection pool: aiohttp sessions that connect to vetted addresses only. Imported lazily (it loads aiohttp).

Two guards, because either alone has a gap: the resolver vets every address a name has (one bad one among them and
nothing is connected to), and the socket factory looks at the very address a socket is made for, literals included.
"""

from __future__ import annotations

import socket
import ssl
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from httpx_aiohttp import AiohttpTransport
from yarl import URL

from shared.errors import InvalidInput
from shared.outgoing.failures import explain
from shared.outgoing.tls import tls_choice

if TYPE_CHECKING:
    from shared.outgoing.targets import TargetPolicy

__all__ = ["Progress", "VettedTransport", "new_session", "progress_of_this_request"]

MAX_CONNECTIONS = 512
"""In use at a time, per TLS choice. Below the usual limit of 1,024 open files."""
MAX_CONNECTIONS_PER_HOST = 100
KEEP_ALIVE_SECONDS = 15.0
DNS_CACHE_SECONDS = 10
MAX_HEADER_BYTES = 16_384
MAX_HEADERS = 100


class Progress:
    """How far one request came; for choosing the right words, and for knowing whether a second try is safe."""

    __slots__ = ("answered", "connected", "reused")

    def __init__(self) -> None:
        self.connected = False
        self.reused = False
        self.answered = False


progress_of_this_request: ContextVar[Progress | None] = ContextVar("progress_of_this_request", default=None)
"""Set it before a request; the connector fills it in. aiohttp's own tracing tells the same for 40 us a request."""


class WatchingConnector(aiohttp.TCPConnector):
    """A pool that says of each request whether it got a connection, and whether that one had been used before."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._used: WeakSet[Any] = WeakSet()

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109 - aiohttp's signature
        """aiohttp asks for a connection here; one from the pool or a new one."""
        connection = await super().connect(req, traces, timeout)
        if (progress := progress_of_this_request.get()) is not None:
            progress.connected = True
            progress.reused = connection.protocol in self._used
        self._used.add(connection.protocol)
        return connection


class VettedResolver(AbstractResolver):
    """Names to vetted addresses."""

    def __init__(self, targets: TargetPolicy) -> None:
        self._targets = targets

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises ``NameNotFound`` or ``UnsafeTarget``."""
        addresses = await self._targets.addresses(host, port)
        found = [_resolved(host, address, port) for address in addresses]
        return [entry for entry in found if family in (socket.AF_UNSPEC, entry["family"])]

    async def close(self) -> None:
        """Nothing is held."""


def _resolved(host: str, address: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )


class VettedTransport(AiohttpTransport):
    """httpx over the vetted session. Checks each URL's literal address before aiohttp sees it."""

    def __init__(self, session: aiohttp.ClientSession, targets: TargetPolicy) -> None:
        # A bare context: the session brings its own, and loading the system's CAs costs 50 ms.
        super().__init__(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), trust_env=False, client=_AsWritten(session))
        self._targets = targets

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises ``OutgoingError`` for an address that is refused, httpx's own errors otherwise."""
        try:
            self._targets.check_url(str(request.url), field="url")
            return await super().handle_async_request(request)
        except InvalidInput as err:  # the address, or one that the name resolved to
            raise explain(err, request.url.host) from err

    async def aclose(self) -> None:
        """The session belongs to ``OutgoingHttp``, which closes it."""


class _AsWritten:
    """The session, taking URLs as they are: aiohttp would turn ``%2F`` in a query into ``/`` and break signatures.

    The transport asks a callable for its session, so this answers with itself.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    def __call__(self) -> Any:
        return self

    def request(self, *, url: str, **rest: Any) -> Any:
        return self._session.request(url=URL(url, encoded=True), **rest)


def new_session(
    targets: TargetPolicy, verify: bool, ca_pem: str | None, *, once: bool = False
) -> aiohttp.ClientSession:
    """A session for one TLS choice; close it after use. ``once``: nothing is ever sent a second time.

    Raises:
        InvalidInput: the CA is no PEM text.
    """

    def vetted_socket(info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        targets.vet(str(address[0]), (str(address[0]),))
        made = socket.socket(family=family, type=kind, proto=protocol)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    connector = WatchingConnector(
        ssl=tls_choice(verify, ca_pem),
        resolver=VettedResolver(targets),
        ttl_dns_cache=DNS_CACHE_SECONDS,
        limit=MAX_CONNECTIONS,
        limit_per_host=MAX_CONNECTIONS_PER_HOST,
        force_close=once,
        keepalive_timeout=None if once else KEEP_ALIVE_SECONDS,
        socket_factory=vetted_socket,
    )
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        trust_env=False,
        requote_redirect_url=False,
        skip_auto_headers=("User-Agent", "Accept-Encoding", "Content-Type"),
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        max_headers=MAX_HEADERS,
    )
    if once:
        # aiohttp repeats GET, PUT and DELETE by itself, in new connections too, and has no public way to stop it.
        session._retry_connection = False
    return session
