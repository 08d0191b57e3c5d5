"""Where a callback goes and what it shows there: full URL and credentials, in the vault under one name per callback."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared import json_text
from shared.callbacks.model import Credentials, vault_name
from shared.callbacks.signing import SigningSecret
from shared.secrets import Vault

__all__ = ["Destination", "Sealed"]

CACHE_SECONDS = 600.0
MOMENT_SECONDS = 10.0
MAX_CACHED = 10_000


@dataclass(frozen=True, slots=True)
class Destination:
    """What a delivery needs to know. Never shows itself."""

    url: str = field(repr=False)
    """May carry ``user:password@``, as the subscriber wrote it; the HTTP client makes Basic authentication of it."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_pem: str | None = field(default=None, repr=False)
    signing: tuple[SigningSecret, ...] = field(default=(), repr=False)
    """Secrets that notifications are signed with, newest first; empty: they are not signed."""
    version: int = 0


class Sealed:
    """Destinations by callback, read from the vault at most every ten minutes."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._cached: dict[str, tuple[float, Destination]] = {}

    async def seal(
        self,
        callback_id: str,
        url: str,
        credentials: Credentials,
        ca_certificate: str | None = None,
        signing_secret: str | None = None,
    ) -> None:
        """Keep it; durable when it returns."""
        signing = () if signing_secret is None else (SigningSecret(signing_secret),)
        await self.keep(callback_id, Destination(url, _headers(credentials), ca_certificate, signing))

    async def keep(self, callback_id: str, destination: Destination) -> None:
        """The same, of a destination as it is to be."""
        said: dict[str, Any] = {"url": destination.url, "headers": dict(destination.headers)}
        if destination.ca_pem is not None:
            said["ca"] = destination.ca_pem
        if destination.signing:
            said["signing"] = [one.stored() for one in destination.signing]
        if destination.version:
            said["version"] = destination.version
        await self._vault.set(vault_name(callback_id), json_text.dump(said).decode())
        self._cached.pop(callback_id, None)

    def known(self, callback_id: str, version: int = 0) -> Destination | None:
        """The destination, if it was read not long ago and is at least of this version."""
        cached = self._cached.get(callback_id)
        if cached is None or time.monotonic() >= cached[0] or cached[1].version < version:
            return None
        return cached[1]

    async def destination(self, callback_id: str, version: int = 0) -> Destination:
        """Raises ``NotFound``, ``Unavailable``."""
        known = self.known(callback_id, version)
        if known is not None:
            return known
        secret = await self._vault.get(vault_name(callback_id))
        said = json_text.load(secret.value)
        signing = tuple(SigningSecret.of(one) for one in said.get("signing", ()))
        found = said.get("version", 0)
        # Older than it should be: its new secrets are being written this moment, or whoever was to write them died.
        good_for = CACHE_SECONDS if found >= version else MOMENT_SECONDS
        destination = Destination(said["url"], said["headers"], said.get("ca"), signing, max(found, version))
        if len(self._cached) >= MAX_CACHED:
            self._cached.clear()
        self._cached[callback_id] = (time.monotonic() + good_for, destination)
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
