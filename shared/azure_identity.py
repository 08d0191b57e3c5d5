"""Who we are in Azure: one credential per process, shared by every client, closed at the end.

What it is depends on where we run: the user-assigned identity in Functions (the platform sets ``IDENTITY_ENDPOINT``);
on a relay an Entra app with a certificate (``AZURE_TENANT_ID``, ``AZURE_CLIENT_ID``, ``AZURE_CLIENT_CERTIFICATE_PATH``)
or the identity of the Arc server or virtual machine; on a laptop whoever ran ``az login``.

A failure is a ``ClientAuthenticationError`` without a response, whose message is one sentence for people. The next call
tries again from the start, so that a role, an identity or a certificate that comes later needs no restart.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from shared.azure_sign_in import sign_in_problem
from shared.single_flight import SingleFlight

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.identity.aio import DefaultAzureCredential

__all__ = ["AzureIdentity"]

log = logging.getLogger("ovenbridge.azure")

PATIENCE_SECONDS = 6.0
"""For a token, retries included. The endpoint of a managed identity answers within tens of milliseconds; right after
a cold start it may take a second or two."""


class AzureIdentity:
    """Builds ``DefaultAzureCredential`` when the first token is asked for: importing it costs a quarter of a second."""

    def __init__(self, client_id: str = "") -> None:
        self._credential = _Credential(client_id)

    def credential(self) -> AsyncTokenCredential:
        """The credential, always the same one. Never raises, never connects."""
        return self._credential

    @property
    def asking(self) -> bool:
        """Is somebody waiting for a token right now? Says whether a call that takes long hangs at the sign-in."""
        return self._credential.asking

    async def close(self) -> None:
        """Let go of its connections. It can be used again."""
        await self._credential.close()


class _Credential:
    """What the SDKs take as a credential."""

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._inner: DefaultAzureCredential | None = None
        self._stale: list[DefaultAzureCredential] = []
        self._running = 0
        self._infos: SingleFlight[AccessTokenInfo] = SingleFlight()
        self._tokens: SingleFlight[AccessToken] = SingleFlight()

    @property
    def asking(self) -> bool:
        return bool(len(self._infos) or len(self._tokens))

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """A token. Raises ``ClientAuthenticationError``."""
        key = (scopes, repr(sorted(options.items())))
        return await self._tokens.join(key, lambda: self._ask(lambda c: c.get_token(*scopes, **options)))

    async def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """A token, and when to fetch the next. Raises ``ClientAuthenticationError``."""
        key = (scopes, repr(sorted((options or {}).items())))
        return await self._infos.join(key, lambda: self._ask(lambda c: c.get_token_info(*scopes, options=options)))

    async def _ask(self, way: Callable[[DefaultAzureCredential], Awaitable[Any]]) -> Any:
        from azure.core.exceptions import ClientAuthenticationError

        self._running += 1
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                if self._inner is None:
                    self._inner = _build(self._client_id)
                return await way(self._inner)
        except Exception as error:
            # Whatever the chain stumbles over (a file, a setting, a peer) means one thing: there is no token.
            log.info("No token from Azure: %s", error)
            self._start_over()
            raise ClientAuthenticationError(message=sign_in_problem(error)) from error
        finally:
            self._running -= 1
            if not self._running:  # nobody uses an old one any more
                await self._let_go()

    def _start_over(self) -> None:
        """The next call reads environment and certificate anew."""
        if self._inner is not None:
            self._stale.append(self._inner)
            self._inner = None

    async def _let_go(self) -> None:
        while self._stale:
            await self._stale.pop().close()

    async def close(self) -> None:
        await self._infos.close()
        await self._tokens.close()
        self._start_over()
        await self._let_go()

    async def __aenter__(self) -> _Credential:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _build(client_id: str) -> DefaultAzureCredential:
    from azure.identity.aio import DefaultAzureCredential

    return DefaultAzureCredential(
        managed_identity_client_id=client_id or None,
        # In Functions the platform's endpoint is the only way: when it says no, asking `az` and others costs seconds.
        **(dict.fromkeys(_OF_DEVELOPERS, True) if "IDENTITY_ENDPOINT" in os.environ else {}),
        exclude_powershell_credential=True,
        retry_total=2,
        retry_backoff_factor=0.2,
        connection_timeout=2,
        read_timeout=4,
    )


_OF_DEVELOPERS: Final = (
    "exclude_cli_credential",
    "exclude_developer_cli_credential",
    "exclude_shared_token_cache_credential",
    "exclude_visual_studio_code_credential",
)
