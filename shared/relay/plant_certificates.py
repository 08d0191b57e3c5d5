"""When the certificates end that this relay shows to others: its own HTTPS, and its OPC UA client certificate.

Said in the log 30, 14 and 7 days before, and when they have ended; told to the hub with every heartbeat.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared.clock import Clock
from shared.errors import OvenbridgeError
from shared.relay.messages import CertificateEnd, certificate_due

__all__ = ["HTTPS", "OPC_UA", "CertificateWatch", "OpcUaEnd"]

log = logging.getLogger("ovenbridge.relay")

HTTPS, OPC_UA = "https", "opc_ua"
EVERY = timedelta(minutes=5)
"""How often files and vault are looked at: a renewed certificate is known within so long."""

_DO = {
    HTTPS: "put a newer one into TLS_CERTIFICATE_FILE; it is used within a minute, without a restart",
    OPC_UA: "delete the secret `opc-ua-application` here: a new one is made, which the servers then have to trust",
}

OpcUaEnd = Callable[[], Awaitable[datetime | None]]
"""When our OPC UA certificate ends; ``None``: there is none."""


class CertificateWatch:
    """Looks after both."""

    def __init__(self, clock: Clock, *, https_file: Path | None, opc_ua_end: OpcUaEnd) -> None:
        self._clock = clock
        self._https_file = https_file
        self._opc_ua_end = opc_ua_end
        self._looked_at: datetime | None = None
        self._ends: tuple[CertificateEnd, ...] = ()
        self._said: set[tuple[str, datetime, int]] = set()
        self._problems: dict[str, str] = {}

    async def ends(self) -> Sequence[CertificateEnd]:
        """What is known, at most five minutes old. Never raises: what cannot be read is logged and left out."""
        now = self._clock.now()
        if self._looked_at is None or abs(now - self._looked_at) >= EVERY:
            self._looked_at = now
            found = {HTTPS: await self._try(HTTPS, self._https_end), OPC_UA: await self._try(OPC_UA, self._opc_ua_end)}
            self._ends = tuple(CertificateEnd(name=n, not_after=at) for n, at in found.items() if at is not None)
        for end in self._ends:
            self._say(end, now)
        return self._ends

    def warnings(self) -> list[str]:
        """Sentences about those that end within thirty days, as far as looked at."""
        now = self._clock.now()
        return [_sentence(end, now) for end in self._ends if certificate_due(end, now) is not None]

    def _say(self, end: CertificateEnd, now: datetime) -> None:
        due = certificate_due(end, now)
        if due is None or (end.name, end.not_after, due) in self._said:
            return
        self._said.add((end.name, end.not_after, due))
        log.log(logging.ERROR if due == 0 else logging.WARNING, "%s", _sentence(end, now))

    async def _try(self, name: str, look: OpcUaEnd) -> datetime | None:
        try:
            found = await look()
        except (OvenbridgeError, OSError, ValueError) as error:
            problem = getattr(error, "detail", None) or getattr(error, "strerror", None) or "it is no certificate"
            if self._problems.get(name) != problem:
                log.error("When the %s certificate ends cannot be told: %s", name, problem)
            self._problems[name] = problem
            return None
        self._problems.pop(name, None)
        return found

    async def _https_end(self) -> datetime | None:
        return None if self._https_file is None else await asyncio.to_thread(_end_of, self._https_file)


def _end_of(file: Path) -> datetime:
    """Of the first certificate in a PEM file: the one that is shown."""
    from cryptography import x509

    return x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc.astimezone(UTC)


def _sentence(end: CertificateEnd, now: datetime) -> str:
    what = {HTTPS: "The certificate of this relay's HTTPS", OPC_UA: "The OPC UA certificate of this relay"}[end.name]
    when = "expired on" if end.not_after <= now else "expires on"
    return f"{what} {when} {end.not_after:%Y-%m-%d}: {_DO[end.name]}."
