"""All outgoing HTTP: one pool, vetted addresses, hard limits, errors in words.

``send`` is the path of callbacks and polls: the URL leaves byte for byte, time and size are bounded, and every failure
is an :class:`OutgoingError`. ``client`` is httpx over the same pool for code that wants its API.
Redirects are never followed, proxies from the environment never used.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

import httpx

from shared.errors import InvalidInput
from shared.outgoing.answer import OutgoingAnswer
from shared.outgoing.failures import OutgoingError
from shared.outgoing.targets import Target, TargetPolicy
from shared.outgoing.tls import tls_key

if TYPE_CHECKING:
    import aiohttp

    from shared.outgoing.busy import BusyTargets

__all__ = ["OutgoingAnswer", "OutgoingError", "OutgoingHttp"]

MAX_TLS_CHOICES = 64
"""Sessions kept at a time: the system's CAs, unverified, and one per own CA."""
USER_AGENT = "Ovenbridge"
REUSE_SECONDS = 5.0
"""A connection is kept only for an origin that is asked more often than this. A thousand ovens polled every ten
seconds would otherwise hold a thousand idle sockets."""
MAX_BUSY_ORIGINS = 256
MAX_CHECKED_URLS = 1_024
"""So many URLs are remembered as checked: what they say does not change. Names are looked up and vetted at every
connect all the same."""


class OutgoingHttp:
    """The one way out. Make it once per process, inside the running loop; :meth:`close` it at the end."""

    def __init__(self, targets: TargetPolicy) -> None:
        self.targets = targets
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._active: dict[str, int] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._busy = _BusyOrigins()
        self._busy_targets: BusyTargets | None = None
        self._checked: dict[str, Target] = {}

    def client(self, *, verify: bool = True, ca_pem: str | None = None) -> httpx.AsyncClient:
        """httpx over the pool, one per TLS choice. Do not close it, do not keep it: ask again.

        It normalises URLs as httpx does; what must leave byte for byte goes through :meth:`send`. Its errors are
        httpx's (``failures.explain`` puts them in words), or :class:`OutgoingError` for a refused address.

        Raises:
            InvalidInput: ``ca_pem`` is no PEM text.
        """
        from shared.outgoing.pool import VettedTransport

        key = tls_key(verify, ca_pem)
        session = self._session(key, verify, ca_pem)
        client = self._clients.get(key)
        if client is None:
            client = httpx.AsyncClient(
                transport=VettedTransport(session, self.targets),
                trust_env=False,
                follow_redirects=False,
                timeout=10.0,
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            )
            self._clients[key] = client
        return client

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes,
        timeout_seconds: float,
        max_answer_bytes: int = 65_536,
        verify: bool = True,
        ca_pem: str | None = None,
        once: bool = False,
    ) -> OutgoingAnswer:
        """Send one request and read the answer, all within ``timeout_seconds``.

        Path and query leave byte for byte. ``user:password@`` in the URL becomes Basic authentication unless an
        ``Authorization`` header is given. When a kept connection turns out to be dead before any byte of an answer,
        the request is sent once more: a receiver may therefore see it twice, as with any delivery at least once.
        ``once``: not so; it leaves in a connection of its own and never a second time, whatever the method.

        Raises:
            OutgoingError: no answer; ``kind`` and a sentence say why.
        """
        target = self._check(url)
        keep = self._busy.note(target.origin) and not once
        prepared = _headers(headers, target, keep=keep)
        if keep and target.scheme == "http":
            answer = await self._send_busy(method, target, prepared, content, timeout_seconds, max_answer_bytes)
            if answer is not None:
                return answer
        from shared.outgoing.exchange import exchange

        try:
            key = tls_key(verify, ca_pem)
            key = f"{key} once" if once else key
            session = self._session(key, verify, ca_pem, once=once)
        except InvalidInput as err:
            raise OutgoingError(err.detail, kind="unsafe") from err
        self._active[key] = self._active.get(key, 0) + 1
        try:
            return await exchange(
                session, method, target, prepared, content, timeout_seconds, max_answer_bytes, once=once
            )
        finally:
            self._active[key] -= 1

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.aclose()
        for session in self._sessions.values():
            await session.close()
        if self._busy_targets is not None:
            await self._busy_targets.close()
        for task in tuple(self._closing):
            await task
        self._clients.clear()
        self._sessions.clear()
        # TLS transports finish closing in a later turn of the loop.
        await asyncio.sleep(0)

    def _check(self, url: str) -> Target:
        target = self._checked.get(url)
        if target is None:
            try:
                target = self.targets.check_url(url, field="url", allow_userinfo=True)
            except InvalidInput as err:
                raise OutgoingError(err.detail, kind="unsafe") from err
            if len(self._checked) >= MAX_CHECKED_URLS:
                self._checked.clear()
            self._checked[url] = target
        return target

    async def _send_busy(
        self, method: str, target: Target, headers: dict[str, str], content: bytes, seconds: float, most: int
    ) -> OutgoingAnswer | None:
        """Over the pool for busy targets; ``None``: this one must go the other way."""
        if self._busy_targets is None:
            from shared.outgoing.busy import BusyTargets

            self._busy_targets = BusyTargets(self.targets)
        url = self._busy_targets.url(target)
        if url is None:
            return None
        return await self._busy_targets.exchange(method, target, url, headers, content, seconds, most)

    def _session(self, key: str, verify: bool, ca_pem: str | None, *, once: bool = False) -> aiohttp.ClientSession:
        session = self._sessions.pop(key, None)
        if session is None or session.closed:
            from shared.outgoing.pool import new_session

            session = new_session(self.targets, verify, ca_pem, once=once)
        self._sessions[key] = session  # last in the dict: used last
        if len(self._sessions) > MAX_TLS_CHOICES:
            self._drop_oldest(except_key=key)
        return session

    def _drop_oldest(self, *, except_key: str) -> None:
        for key in tuple(self._sessions):
            if key != except_key and not self._active.get(key):
                session = self._sessions.pop(key)
                self._clients.pop(key, None)
                self._active.pop(key, None)
                task = asyncio.get_running_loop().create_task(session.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
                return


class _BusyOrigins:
    """Which origins are asked often enough to keep a connection for."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def note(self, origin: str) -> bool:
        now = time.monotonic()
        last = self._last.pop(origin, None)
        self._last[origin] = now
        if len(self._last) > MAX_BUSY_ORIGINS:
            del self._last[next(iter(self._last))]
        return last is not None and now - last <= REUSE_SECONDS


def _headers(given: Mapping[str, str], target: Target, *, keep: bool) -> dict[str, str]:
    prepared = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **given}
    if not keep:
        prepared["Connection"] = "close"
    if target.userinfo is not None and not any(name.lower() == "authorization" for name in given):
        user, _, password = target.userinfo.partition(":")
        pair = f"{unquote(user)}:{unquote(password)}".encode()
        prepared["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
    return prepared
