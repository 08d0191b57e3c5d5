"""The vault in Azure: Key Vault's secrets.

Credential sets are shared by many ovens, and whoever needs one remembers it for ten minutes. This vault sees to it that
a thousand who ask at once are one call: askers of the same name share the fetch under way, and what was read within
the last five seconds is not read again. So an account whose password was changed costs one call each five seconds,
however many ovens are refused at the time.

Deleting is soft: the name stays taken for as long as the vault retains what was deleted. Our own names are new each
time; when a person's name comes back, the old secret is recovered and gets the new value as its newest version.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.azure_connections import AzureConnection
from shared.azure_identity import AzureIdentity
from shared.clock import Clock
from shared.errors import NotFound, Unavailable
from shared.secrets.key_vault_calls import VaultCalls
from shared.secrets.key_vault_errors import Occupied, unavailable
from shared.secrets.names import check_name, check_value
from shared.secrets.port import Secret, SecretMetadata
from shared.single_flight import SingleFlight

if TYPE_CHECKING:
    from azure.keyvault.secrets import KeyVaultSecret
    from azure.keyvault.secrets.aio import SecretClient

__all__ = ["KeyVault"]

RECENT = timedelta(seconds=5)
MOST_RECENT = 1_000

SETTLE_SECONDS = 20.0
"""How long a name may be busy with a deletion or recovery before we say so; both take the vault some seconds."""
SETTLE_PAUSE_SECONDS = 0.5

CHECK_SECONDS = 4.0
"""Below the patience of the readiness page, so that our own sentence is the one that is shown."""
PROBE = "ovenbridge-readiness"
"""A name that is never set: that the vault knows it has no such secret shows that we may read."""

MOST_PAGES = 10_000


class KeyVault:
    """Secrets in Azure. Implements :class:`shared.secrets.port.Vault`."""

    def __init__(
        self, connection: AzureConnection, identity: AzureIdentity, *, clock: Clock, ca_file: Path | None = None
    ) -> None:
        """Never raises and never connects.

        Args:
            connection: ``KEY_VAULT_URI``; what is wrong with it is said by the calls.
            identity: who we are.
            clock: for what was read recently.
            ca_file: a certificate to trust in place of the system's; for an emulator.
        """
        self._clock = clock
        self._calls = VaultCalls(connection, identity, ca_file)
        self._reads: SingleFlight[Secret] = SingleFlight()
        self._recent: OrderedDict[str, tuple[datetime, Secret]] = OrderedDict()
        self._changes = 0

    async def get(self, name: str) -> Secret:
        """See the port. At most five seconds old when another process changed it; our own changes are seen at once."""
        check_name(name)
        known = self._recent.get(name)
        if known is not None and abs(self._clock.now() - known[0]) < RECENT:
            return known[1]
        return await self._reads.join(name, lambda: self._read(name))

    async def set(self, name: str, value: str, *, expires_at: datetime | None = None) -> Secret:
        """See the port. A name that waits in the soft delete is recovered first."""
        check_name(name)
        check_value(value)
        self._forget(name)
        try:
            secret = await self._written(name, value, expires_at)
        finally:
            self._forget(name)
        self._remember(secret)
        return secret

    async def delete(self, name: str) -> None:
        """See the port. The vault retains it for as long as its retention says."""
        check_name(name)
        self._forget(name)
        try:
            # Not the SDK's own delete: it waits for seconds until the secret shows among the deleted ones.
            await self._calls.run(lambda client: _send(client, "DELETE", f"secrets/{name}"))
        except (NotFound, Occupied):
            return  # it is not there, or somebody else is deleting it
        finally:
            self._forget(name)

    async def list(self) -> Sequence[SecretMetadata]:
        """See the port."""
        found: list[SecretMetadata] = []
        mark: str | None = None
        for _ in range(MOST_PAGES):
            page, mark = await self._calls.run(lambda client, mark=mark: _page(client, mark))  # type: ignore[misc]
            found += page
            if mark is None:
                break
        return sorted(found, key=lambda secret: secret.name)

    async def check(self) -> None:
        """See the port: signs in, reaches the vault and asks for a secret."""
        try:
            await self._calls.run(lambda client: client.get_secret(PROBE), patience=CHECK_SECONDS, attempts=1)
        except NotFound:
            return

    async def close(self) -> None:
        """See the port."""
        await self._reads.close()
        self._recent.clear()
        await self._calls.close()

    # Inside ------------------------------------------------------------------------------------------------------

    async def _read(self, name: str) -> Secret:
        changes = self._changes
        secret = _secret(name, await self._calls.run(lambda client: client.get_secret(name)))
        if changes == self._changes:  # otherwise it may be the value from before
            self._remember(secret)
        return secret

    async def _written(self, name: str, value: str, expires_at: datetime | None) -> Secret:
        end = time.monotonic() + SETTLE_SECONDS
        while True:
            try:
                written = await self._calls.run(lambda client: client.set_secret(name, value, expires_on=expires_at))
                return _secret(name, written)
            except Occupied as occupied:
                if time.monotonic() >= end:
                    raise unavailable(
                        "The vault of KEY_VAULT_URI is still at work on a secret of this name that was deleted. Try "
                        "again in a minute.",
                        after=60.0,
                    ) from None
                if occupied.deleted:
                    await self._recover(name)
            await asyncio.sleep(SETTLE_PAUSE_SECONDS)

    async def _recover(self, name: str) -> None:
        try:
            await self._calls.run(lambda client: _send(client, "POST", f"deletedsecrets/{name}/recover"))
        except (NotFound, Occupied):
            return  # somebody else was faster; whether the name is free shows at the next try
        except Unavailable as error:
            if "may not recover" not in error.detail:
                raise
            raise unavailable(
                "A secret of this name was deleted, and the vault of KEY_VAULT_URI retains it. Choose another name, or "
                f"recover it in the vault first. {error.detail}",
                after=60.0,
            ) from None

    def _remember(self, secret: Secret) -> None:
        now = self._clock.now()
        self._recent[secret.name] = (now, secret)
        self._recent.move_to_end(secret.name)
        # No value stays in memory for its own sake.
        while self._recent:
            read_at, _ = next(iter(self._recent.values()))
            if len(self._recent) <= MOST_RECENT and abs(now - read_at) < RECENT:
                break
            self._recent.popitem(last=False)

    def _forget(self, name: str) -> None:
        self._changes += 1
        self._recent.pop(name, None)
        self._reads.leave(name)


def _secret(name: str, found: KeyVaultSecret) -> Secret:
    about = found.properties
    return Secret(name, found.value or "", about.version or "", _utc(about.expires_on))


async def _page(client: SecretClient, mark: str | None) -> tuple[list[SecretMetadata], str | None]:
    pages: Any = client.list_properties_of_secrets().by_page(mark)
    found = [
        SecretMetadata(about.name, _utc(about.updated_on) or datetime.fromtimestamp(0, UTC), _utc(about.expires_on))
        async for about in await anext(pages)
    ]
    return found, pages.continuation_token


async def _send(client: SecretClient, method: str, path: str) -> None:
    from azure.core.rest import HttpRequest

    answer = await client.send_request(HttpRequest(method, path))
    answer.raise_for_status()


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)
