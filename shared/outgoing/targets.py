"""Which targets we connect to: the guard against requests to places a caller should not reach through us (SSRF).

The rules are those of reference/azure.md section 4.2. They hold when an address is registered (``check_url``,
``check_resolves``) and again at every connect (``addresses``): the vetted address is the one that is connected to, so
that a name which answers differently the second time gains nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from shared.errors import InvalidInput, UnsafeTarget
from shared.outgoing.addresses import Reach, judge, parse_address
from shared.outgoing.urls import SplitUrl, split_url

__all__ = ["NameNotFound", "Resolve", "Target", "TargetPolicy"]

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Name and port to addresses. Raises ``OSError`` when the name is not found."""

DNS_SECONDS = 5.0
"""How long a name may take to resolve."""
DNS_THREADS = 16
"""Look-ups at a time. Own threads: a dead name server must not occupy those that others wait for."""


class NameNotFound(OSError):
    """The name has no address at the moment."""


@dataclass(frozen=True, slots=True)
class Target:
    """A target whose address passed the policy."""

    scheme: str
    host: str
    port: int
    origin: str
    """``https://host:port`` without the default port: what may be shown and compared."""
    display: str
    """The URL with userinfo removed and query values masked."""
    url: str = field(repr=False)
    """What is sent to: without userinfo, path and query byte for byte."""
    userinfo: str | None = field(default=None, repr=False)
    """``user:password`` as written (percent-encoded), where the caller allows it."""
    note: str | None = None
    """What a person should know: the name does not resolve at the moment."""


class TargetPolicy:
    """Decides which addresses may be connected to.

    ``allow_private``: loopback and private ranges too (plants are private). ``allow_http``: ``http://`` beside
    ``https://``. Link-local, metadata, multicast and unspecified addresses are refused always, in every form.
    """

    def __init__(self, *, allow_private: bool, allow_http: bool, resolve: Resolve | None = None) -> None:
        self._allow_private = allow_private
        self._allow_http = allow_http
        self._resolve = resolve or _SystemResolver().resolve

    @property
    def allow_http(self) -> bool:
        """May it be sent in the clear?"""
        return self._allow_http

    def check_url(
        self,
        url: str,
        *,
        field: str,
        schemes: tuple[str, ...] = ("https", "http"),
        allow_userinfo: bool = False,
    ) -> Target:
        """Check the form of a URL and, where the host is a literal address, the address. Looks nothing up.

        Raises:
            InvalidInput: it is no URL of these schemes.
            UnsafeTarget: the address is one we do not connect to. Both name ``field`` and say what would be right.
        """
        parts = split_url(url, field=field, schemes=schemes, allow_userinfo=allow_userinfo)
        if parts.scheme == "http" and not self._allow_http:
            raise UnsafeTarget(
                f"{field} uses http://, which is sent in the clear: use https://, or set ALLOW_HTTP_TARGETS=true "
                "where the network is your own.",
                field=field,
            )
        self._vet_host(parts, field)
        return _target(parts)

    async def check_resolves(
        self,
        url: str,
        *,
        field: str,
        schemes: tuple[str, ...] = ("https", "http"),
        allow_userinfo: bool = False,
    ) -> Target:
        """``check_url``, then look the name up now and check all its addresses.

        A name that is not found is let through where private targets are allowed (the plant may be switched off);
        ``note`` says so. It is vetted again at every connect anyway.

        Raises:
            InvalidInput: as ``check_url``; also a name that is not found, where only public targets are allowed.
            UnsafeTarget: as ``check_url``.
        """
        target = self.check_url(url, field=field, schemes=schemes, allow_userinfo=allow_userinfo)
        try:
            await self.addresses(target.host, target.port, field=field)
        except OSError as err:
            if not self._allow_private:
                raise InvalidInput(
                    f"{field}: the name {target.host} is not found in the DNS: check the spelling.", field=field
                ) from err
            note = f"The name {target.host} is not found at the moment; it is looked up again at every connect."
            return replace(target, note=note)
        return target

    async def addresses(self, host: str, port: int, *, field: str | None = None) -> tuple[str, ...]:
        """All addresses of a host, vetted. What is connected to comes from here and nowhere else.

        Raises:
            NameNotFound: the name is not found, or its name server does not answer.
            UnsafeTarget: any of the addresses is refused.
        """
        if parse_address(host) is not None:
            found: tuple[str, ...] = (host,)
        else:
            try:
                async with asyncio.timeout(DNS_SECONDS):
                    found = tuple(dict.fromkeys(await self._resolve(host, port)))
            except TimeoutError as err:
                raise NameNotFound(f"the name server does not answer for {host}") from err
            except OSError as err:
                raise NameNotFound(f"the name {host} is not found") from err
            if not found:
                raise NameNotFound(f"the name {host} has no address")
        self._vet(host, found, field)
        return found

    def vet(self, host: str, addresses: Sequence[str]) -> None:
        """Pass only if EVERY address may be connected to.

        Raises:
            UnsafeTarget: one of them may not, or is no address.
        """
        self._vet(host, addresses, None)

    def _vet(self, host: str, addresses: Sequence[str], field: str | None) -> None:
        for text in addresses:
            address = parse_address(text)
            if address is None:
                raise _unsafe(field, f"{host} has an address that cannot be read", "give one that is routable.")
            verdict = judge(address)
            subject = f"{host} is {verdict.what}" if text == host else f"{host} resolves to {text}, {verdict.what}"
            if verdict.reach is Reach.NEVER:
                raise _unsafe(field, subject, "it is never connected to; give the address of the machine itself.")
            if verdict.reach is Reach.PRIVATE and not self._allow_private:
                raise _unsafe(
                    field,
                    subject,
                    "give a public address, reach it through a relay in the plant, or set ALLOW_PRIVATE_TARGETS=true "
                    "where the network is your own.",
                )

    def _vet_host(self, parts: SplitUrl, field: str) -> None:
        if parts.address is not None:
            self._vet(parts.host, (parts.host,), field)
        elif parts.host == "localhost" or parts.host.endswith(".localhost"):
            # RFC 6761: always loopback; no need to ask.
            self._vet(parts.host, ("127.0.0.1",), field)


class _SystemResolver:
    """The system's resolver (hosts file, mDNS and DNS, as the machine is set up), on threads of its own.

    Daemon threads, not a pool: a look-up cannot be cancelled, and one that hangs must not hold up the process' end.
    """

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(DNS_THREADS)

    async def resolve(self, host: str, port: int) -> list[str]:
        await self._slots.acquire()
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[str]] = loop.create_future()

        def finish(outcome: list[str] | OSError) -> None:
            self._slots.release()  # only now: a look-up nobody waits for any more still has its thread
            if found.done():
                return
            if isinstance(outcome, OSError):
                found.set_exception(outcome)
            else:
                found.set_result(outcome)

        def work() -> None:
            outcome = _look_up(host, port)
            with contextlib.suppress(RuntimeError):  # the loop is gone, and so is everybody who asked
                loop.call_soon_threadsafe(finish, outcome)

        threading.Thread(target=work, name=f"dns {host}", daemon=True).start()
        return await found


def _look_up(host: str, port: int) -> list[str] | OSError:
    try:
        return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError as err:
        return err
    except UnicodeError as err:
        return OSError(str(err))


def _unsafe(field: str | None, subject: str, remedy: str) -> UnsafeTarget:
    return UnsafeTarget(f"{field}: {subject}: {remedy}" if field else f"{subject}: {remedy}", field=field)


def _target(parts: SplitUrl) -> Target:
    return Target(
        scheme=parts.scheme,
        host=parts.host,
        port=parts.port,
        origin=parts.origin,
        display=parts.display,
        url=parts.wire,
        userinfo=parts.userinfo,
    )
