"""What can go wrong on the way out, in words. Every foreign exception is translated here, once.

The sentences name host and port, never the URL's query or userinfo: those hold secrets.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator
from typing import Literal

from shared.errors import InvalidInput, OvenbridgeError

__all__ = [
    "Kind",
    "OutgoingError",
    "broke_off",
    "explain",
    "no_answer",
    "not_http",
    "too_large_head",
    "too_late",
]

Kind = Literal["dns", "refused", "unreachable", "reset", "timeout", "tls", "unsafe", "protocol", "too_large"]


class OutgoingError(OvenbridgeError):
    """A request that left the house got no usable answer. ``detail`` says why and what to look at."""

    status = 502
    title = "Target did not answer"

    def __init__(self, detail: str, *, kind: Kind) -> None:
        super().__init__(detail)
        self.kind: Kind = kind
        """A stable word for logs, statistics and retry decisions."""


_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EADDRNOTAVAIL}
_RESET = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ESHUTDOWN, errno.ENOTCONN}
_OUT_OF_FILES = {errno.EMFILE, errno.ENFILE}

_CERTIFICATE = {
    9: "is not valid yet: check the clock of the machine and of this one",
    10: "has expired: install a new one there",
    18: "is self-signed: give it (or its CA) as ca_certificate, or set verify_ssl to false for this device only",
    19: "comes from a CA of its own: give that CA as ca_certificate",
    20: "comes from a CA that is not known here: give that CA as ca_certificate, or install the full chain there",
    21: "cannot be traced to a known CA: install the full chain there, or give it as ca_certificate",
    23: "has been revoked: install a new one there",
    62: "is made out to another name: use the name in the certificate as the address, or install one for this name",
    64: "is not made out to this IP address: use the name in the certificate as the address",
}
"""By OpenSSL's verify code (x509_vfy.h)."""


def explain(err: BaseException, where: str) -> OutgoingError:
    """Translate whatever httpx, aiohttp, ssl or the system raised while talking to ``where`` (``host:port``)."""
    chain = tuple(_chain(err))
    for link in chain:
        if isinstance(link, OutgoingError):
            return link
        if isinstance(link, InvalidInput):
            return OutgoingError(link.detail, kind="unsafe")
    for link in chain:
        found = _tls(link, where) or _by_name(link, where) or _system(link, where)
        if found is not None:
            return found
    return OutgoingError(f"{where} could not be talked to ({type(err).__name__}).", kind="protocol")


def no_answer(where: str) -> OutgoingError:
    """The connection ended before any byte of an answer."""
    return OutgoingError(
        f"{where} closed the connection without an answer: is it restarting or overloaded?", kind="reset"
    )


def broke_off(where: str) -> OutgoingError:
    """The answer began and did not end."""
    return OutgoingError(f"{where} broke off in the middle of its answer.", kind="reset")


def not_http(where: str) -> OutgoingError:
    """Something else answered."""
    return OutgoingError(
        f"{where} answered something that is not HTTP: is it the right port, and http or https?", kind="protocol"
    )


def too_large_head(where: str) -> OutgoingError:
    """A header bomb."""
    return OutgoingError(f"{where} answered with headers that are too large.", kind="too_large")


def too_late(where: str, seconds: float, *, connected: bool, answered: bool, scheme: str = "http") -> OutgoingError:
    """The time was over; how far had it come?"""
    if not connected and scheme == "https":
        said = f"{where} did not take the connection, or did not finish its TLS handshake, within {seconds:g} s."
    elif not connected:
        said = f"{where} did not take the connection within {seconds:g} s: is it switched on and reachable?"
    elif not answered:
        said = f"{where} took the connection but did not answer within {seconds:g} s."
    else:
        said = f"{where} began to answer but did not finish within {seconds:g} s."
    return OutgoingError(said, kind="timeout")


def _chain(err: BaseException) -> Iterator[BaseException]:
    """The exception and what it was raised from, innermost last, bounded."""
    seen: list[BaseException] = []
    link: BaseException | None = err
    while link is not None and len(seen) < 10:
        yield link
        seen.append(link)
        link = getattr(link, "os_error", None) or link.__cause__ or link.__context__
        if link in seen:
            return


def _tls(err: BaseException, where: str) -> OutgoingError | None:
    inner = getattr(err, "certificate_error", err)
    if isinstance(inner, ssl.SSLCertVerificationError):
        what = _CERTIFICATE.get(inner.verify_code, f"was not accepted ({inner.verify_message})")
        return OutgoingError(f"The certificate of {where} {what}.", kind="tls")
    if type(inner) is ssl.SSLError or isinstance(inner, ssl.SSLZeroReturnError | ssl.SSLEOFError):
        # aiohttp's own class is an SSLError too, without a reason; the real one is further down the chain.
        reason = (inner.reason or "handshake failed").replace("_", " ").lower()
        hint = " Is it https:// at that port?" if "wrong version" in reason or "record layer" in reason else ""
        return OutgoingError(f"{where} and this side found no common TLS ({reason}).{hint}", kind="tls")
    return None


def _by_name(err: BaseException, where: str) -> OutgoingError | None:
    """aiohttp's and httpx's own classes, by name: neither library need be loaded to ask."""
    names = {cls.__name__ for cls in type(err).__mro__}
    if names & {"NameNotFound", "ClientConnectorDNSError"}:
        return OutgoingError(f"{_host(where)} is not found in the DNS: check the name and the name server.", kind="dns")
    if str(getattr(err, "message", "")).startswith(("Got more than", "Too many headers")):
        return too_large_head(where)
    if "ServerDisconnectedError" in names:
        return no_answer(where)
    if names & {"ClientPayloadError", "ReadError", "RemoteProtocolError"}:
        return broke_off(where)
    if names & {"ClientResponseError", "BadHttpMessage", "HttpProcessingError"}:
        return not_http(where)
    if isinstance(err, TimeoutError) or "TimeoutException" in names:
        return OutgoingError(f"{where} did not answer in time.", kind="timeout")
    return None


def _system(err: BaseException, where: str) -> OutgoingError | None:
    if not isinstance(err, OSError) or err.errno is None:
        return None
    if err.errno == errno.ECONNREFUSED:
        return OutgoingError(
            f"Nothing listens on {where} (connection refused): is the service started?", kind="refused"
        )
    if err.errno in _UNREACHABLE:
        return OutgoingError(
            f"{where} cannot be reached: no route to it from here (cable, VLAN, VPN, firewall).", kind="unreachable"
        )
    if err.errno == errno.ETIMEDOUT:
        return OutgoingError(f"{where} does not react to connection attempts: is it switched on?", kind="timeout")
    if err.errno in _RESET:
        return OutgoingError(f"{where} reset the connection.", kind="reset")
    if err.errno in _OUT_OF_FILES:
        return OutgoingError("This machine has no file handles left: raise its limit (ulimit -n).", kind="unreachable")
    return None


def _host(where: str) -> str:
    return where.rpartition(":")[0] or where
