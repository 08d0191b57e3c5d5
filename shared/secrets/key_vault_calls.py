"""Calls to Key Vault through its SDK: the client, patience, repetition, counting, and errors in our words."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from shared.azure_connections import AzureConnection
from shared.azure_identity import AzureIdentity
from shared.metrics import VAULT_CALLS
from shared.secrets.key_vault_errors import is_passing, retry_after, slow, translated

if TYPE_CHECKING:
    from azure.core.pipeline import PipelineRequest
    from azure.keyvault.secrets.aio import SecretClient

__all__ = ["PATIENCE_SECONDS", "VaultCalls"]

R = TypeVar("R")

PATIENCE_SECONDS = 10.0
"""For one call, sign-in and repetitions included."""
ATTEMPTS = 4
PAUSES = (0.1, 0.4, 1.0)
"""Seconds before the second, third and fourth try, half of it by chance, where the vault does not say."""
CONNECT_SECONDS = 3.0
READ_SECONDS = 5.0


class VaultCalls:
    """One client for the process, built at the first call. Never raises when it is made."""

    def __init__(self, connection: AzureConnection, identity: AzureIdentity, ca_file: Path | None) -> None:
        self._connection = connection
        self._identity = identity
        self._ca_file = ca_file
        self._client: SecretClient | None = None

    async def run(
        self,
        call: Callable[[SecretClient], Awaitable[R]],
        *,
        patience: float = PATIENCE_SECONDS,
        attempts: int = ATTEMPTS,
    ) -> R:
        """Make the call, again when what failed may pass.

        Raises:
            OvenbridgeError: translated; ``NotFound``, ``Unavailable``, ``InvalidInput``.
            Occupied: the name is taken by what was deleted (409).
        """
        client = self._opened()
        end = time.monotonic() + patience
        try:
            async with asyncio.timeout(patience):
                for attempt in range(1, attempts + 1):
                    try:
                        return await call(client)
                    except Exception as error:
                        pause = _pause(error, attempt)
                        if attempt == attempts or not is_passing(error) or time.monotonic() + pause >= end:
                            raise _in_our_words(error) from error
                    await asyncio.sleep(pause)
        except TimeoutError:
            raise slow(patience, signing_in=self._identity.asking) from None
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def close(self) -> None:
        """Let go of the connections; the next call opens them again."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _opened(self) -> SecretClient:
        self._connection.require()
        if self._client is None:
            from azure.core.pipeline.transport import AioHttpTransport
            from azure.keyvault.secrets.aio import SecretClient

            address = self._connection.address
            loopback = _is_loopback(address)
            self._client = SecretClient(
                address,
                self._identity.credential(),
                # The name of an emulator on this machine is not the one that its challenge speaks for.
                verify_challenge_resource=not loopback,
                transport=AioHttpTransport(
                    session=_session(self._ca_file, loopback),
                    connection_timeout=CONNECT_SECONDS,
                    read_timeout=READ_SECONDS,
                ),
                retry_total=0,  # ours: bounded in time, and it knows when a pause is longer than our patience
                raw_request_hook=_count,
            )
        return self._client


def _pause(error: Exception, attempt: int) -> float:
    asked = retry_after(error)
    if asked is not None:
        return asked
    longest = PAUSES[min(attempt, len(PAUSES)) - 1]
    return longest * (0.5 + random.random() / 2)  # noqa: S311 - so that many do not come back as one wave


def _in_our_words(error: Exception) -> Exception:
    from azure.core.exceptions import AzureError

    return translated(error) if isinstance(error, AzureError | ValueError) else error


def _session(ca_file: Path | None, loopback: bool) -> Any:
    """Our own TLS context for an emulator; ``None``: the SDK's session, which trusts what the system trusts."""
    if ca_file is None and not loopback:
        return None
    import ssl

    import aiohttp

    # Made now, not when aiohttp was imported: SSL_CERT_FILE may name the emulator's certificate.
    context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context), cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    )


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _count(request: PipelineRequest[Any]) -> None:
    """Every request that goes out, those that only ask how to sign in included."""
    VAULT_CALLS.record(1, method=request.http_request.method)
