"""Key Vault for the contract suite: the server here, or a real vault when ``OVENBRIDGE_TEST_KEYVAULT`` names one."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import cast

from shared.azure_connections import AzureConnection
from shared.azure_identity import AzureIdentity
from shared.clock import Clock
from shared.secrets import Secret, SecretMetadata, Vault
from shared.secrets.key_vault import KeyVault
from shared.secrets.names import check_name
from tests.wire.key_vault.server import FixedToken, KeyVaultServer

__all__ = ["REAL", "key_vault", "real_key_vault"]

REAL = os.environ.get("OVENBRIDGE_TEST_KEYVAULT", "")
"""``https://<vault>.vault.azure.net/``: a vault made for tests. They write and delete."""


@asynccontextmanager
async def key_vault(folder: Path, clock: Clock) -> AsyncIterator[Vault]:
    """The adapter over the protocol server."""
    server = KeyVaultServer(clock=clock)
    server.start()
    connection = AzureConnection("KEY_VAULT_URI", wanted=True, address=server.url)
    vault = KeyVault(connection, cast("AzureIdentity", FixedToken()), clock=clock, ca_file=server.ca_file)
    try:
        yield vault
    finally:
        await vault.close()
        server.close()


@asynccontextmanager
async def real_key_vault(folder: Path, clock: Clock) -> AsyncIterator[Vault]:
    """The adapter over a vault in Azure; what a test wrote is deleted after it."""
    identity = AzureIdentity(os.environ.get("AZURE_CLIENT_ID", ""))
    vault = _Apart(KeyVault(AzureConnection("KEY_VAULT_URI", wanted=True, address=REAL), identity, clock=clock))
    try:
        yield vault
        for secret in await vault.list():
            await vault.delete(secret.name)
    finally:
        await vault.close()
        await identity.close()


class _Apart:
    """A vault within the vault: names begin with a word of this test, because others use the vault, too."""

    def __init__(self, vault: KeyVault) -> None:
        self._vault = vault
        self._word = f"test-{secrets.token_hex(4)}-"
        self._theirs: dict[str, str] = {}

    def _name(self, name: str) -> str:
        check_name(name)
        long = len(self._word) + len(name) > 127
        inner = self._word + (hashlib.sha256(name.encode()).hexdigest() if long else name)
        self._theirs[inner] = name
        return inner

    async def get(self, name: str) -> Secret:
        return replace(await self._vault.get(self._name(name)), name=name)

    async def set(self, name: str, value: str, *, expires_at: datetime | None = None) -> Secret:
        return replace(await self._vault.set(self._name(name), value, expires_at=expires_at), name=name)

    async def delete(self, name: str) -> None:
        await self._vault.delete(self._name(name))

    async def list(self) -> Sequence[SecretMetadata]:
        found = [s for s in await self._vault.list() if s.name in self._theirs]
        return sorted((replace(s, name=self._theirs[s.name]) for s in found), key=lambda s: s.name)

    async def check(self) -> None:
        await self._vault.check()

    async def close(self) -> None:
        await self._vault.close()
