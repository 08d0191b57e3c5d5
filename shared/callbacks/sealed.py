"""Where a callback goes and what it shows there: full URL and credentials, in the vault under one name per callback."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared import json_text
from shared.callbacks.model import Credentials, vault_name
from shared.secrets import Vault

__all__ = ["Destination", "Sealed"]

CACHE_SECONDS = 600.0
MAX_CACHED = 10_000


@dataclass(frozen=True, slots=True)
class Destination:
    """What a delivery needs to know. Never shows itself."""

    url: str = field(repr=False)
    """May carry ``user:password@``, as the subscriber wrote it; the HTTP client makes Basic authentication of it."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_pem: str | None = field(default=None, repr=False)


class Sealed:
    """Destinations by callback, read from the vault at most every ten minutes."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._cached: dict[str, tuple[float, Destination]] = {}

    async def seal(
        self, callback_id: str, url: str, credentials: Credentials, ca_certificate: str | None = None
    ) -> None:
        """Keep it; durable when it returns."""
        said: dict[str, Any] = {"url": url, "headers": _headers(credentials)}
        if ca_certificate is not None:
            said["ca"] = ca_certificate
        await self._vault.set(vault_name(callback_id), json_text.dump(said).decode())
        self._cached.pop(callback_id, None)

    def known(self, callback_id: str) -> Destination | None:
        """The destination, if it was read not long ago."""
        cached = self._cached.get(callback_id)
        return cached[1] if cached is not None and time.monotonic() < cached[0] else None

    async def destination(self, callback_id: str) -> Destination:
        """Raises ``NotFound``, ``Unavailable``."""
        known = self.known(callback_id)
        if known is not None:
            return known
        secret = await self._vault.get(vault_name(callback_id))
        said = json_text.load(secret.value)
        destination = Destination(said["url"], said["headers"], said.get("ca"))
        if len(self._cached) >= MAX_CACHED:
            self._cached.clear()
        self._cached[callback_id] = (time.monotonic() + CACHE_SECONDS, destination)
        return destination

    def doubt(self, callback_id: str) -> None:
        """The receiver refused us: the secret may have been changed in the vault. The next attempt reads it anew."""
        self._cached.pop(callback_id, None)

    async def forget(self, callback_id: str) -> None:
        """Remove it from the vault, and from here."""
        await self._vault.delete(vault_name(callback_id))
        self._cached.pop(callback_id, None)


def _headers(credentials: Credentials) -> dict[str, str]:
    headers = dict(credentials.headers)
    if credentials.username is not None:
        pair = f"{credentials.username}:{credentials.password or ''}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
    elif credentials.bearer is not None:
        headers["Authorization"] = f"Bearer {credentials.bearer}"
    return headers
