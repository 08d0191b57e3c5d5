"""Who we are in Azure: one credential per process, shared by every client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

__all__ = ["AzureIdentity"]


class AzureIdentity:
    """Builds ``DefaultAzureCredential`` when the first client asks for it: importing it costs a quarter of a second."""

    def __init__(self, client_id: str = "") -> None:
        self._client_id = client_id
        self._credential: AsyncTokenCredential | None = None

    def credential(self) -> AsyncTokenCredential:
        """The credential. In Azure the user-assigned identity, elsewhere what the environment offers."""
        if self._credential is None:
            from azure.identity.aio import DefaultAzureCredential

            self._credential = DefaultAzureCredential(
                managed_identity_client_id=self._client_id or None,
                exclude_interactive_browser_credential=True,
                exclude_powershell_credential=True,
            )
        return self._credential

    async def close(self) -> None:
        """Let go of its connections."""
        if self._credential is not None:
            await self._credential.close()
            self._credential = None
