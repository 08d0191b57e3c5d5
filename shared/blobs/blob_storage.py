"""Blobs in Azure Storage, through azure-storage-blob.

Facts that shaped it (reference "testing the Azure adapters", section 4, and the SDK's source):

* ``create`` is Put Blob with ``If-None-Match: *``: an existing blob answers 409, whether or not the container is
  immutable. The immutability policy then keeps everybody, the app's identity included, from replacing or deleting.
* The version of the protocol is pinned. The SDK asks for its newest, which emulators and national clouds learn late;
  Azure serves every version it ever served, and nothing newer than this one is used.
* The SDK's own retries wait 15 s at first and one attempt may last 80 s: longer than a caller would. Ours are short and
  end together after ``patience_seconds``.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from shared.azure_connections import AzureConnection
from shared.azure_identity import AzureIdentity
from shared.blobs.port import check_blob_name, check_blob_size
from shared.errors import Conflict, Unavailable

if TYPE_CHECKING:
    from azure.storage.blob.aio import BlobServiceClient, ContainerClient

__all__ = ["API_VERSION", "BlobStorage"]

API_VERSION = "2025-01-05"
PATIENCE_SECONDS = 20.0
CONNECT_SECONDS, READ_SECONDS = 5, 10


class BlobStorage:
    """The blobs of one container. Implements :class:`shared.blobs.port.BlobStore`; connects on first use."""

    def __init__(
        self,
        connection: AzureConnection,
        identity: AzureIdentity,
        *,
        container: str,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._connection = connection
        self._identity = identity
        self._container = container
        self._patience = patience_seconds
        self._service: BlobServiceClient | None = None

    async def create(self, name: str, data: bytes) -> None:
        """See the port."""
        check_blob_name(name)
        check_blob_size(data)
        from azure.core.exceptions import HttpResponseError

        with self._translated(name):
            async with asyncio.timeout(self._patience):
                client = self._client()
                try:
                    await client.upload_blob(name, data, overwrite=False)
                except HttpResponseError as err:
                    # To whoever may only create, the service says "not permitted" where there is a blob already.
                    if err.status_code == 403 and await client.get_blob_client(name).exists():
                        raise Conflict(f"There is a blob {name} already.") from None
                    raise

    async def read(self, name: str) -> bytes:
        """See the port."""
        check_blob_name(name)
        with self._translated(name):
            async with asyncio.timeout(self._patience):
                stream = await self._client().download_blob(name)
                data: bytes = await stream.readall()
                return data

    async def names(self, prefix: str = "") -> AsyncIterator[str]:
        """See the port. One call to the service for 5,000 names."""
        with self._translated(prefix):
            pages = self._client().list_blob_names(name_starts_with=prefix or None).by_page()
        while True:
            with self._translated(prefix):
                async with asyncio.timeout(self._patience):
                    try:
                        page = [name async for name in await anext(pages)]
                    except StopAsyncIteration:
                        return
            for name in page:
                yield name

    async def check(self) -> None:
        """See the port."""
        with self._translated(""):
            async with asyncio.timeout(self._patience):
                async for _ in self._client().list_blob_names(results_per_page=1):
                    return

    async def close(self) -> None:
        """Close the connections, as far as there are any."""
        if self._service is not None:
            service, self._service = self._service, None
            await service.close()

    def _client(self) -> ContainerClient:
        if self._service is None:
            self._service = self._connect(self._connection.require())
        return self._service.get_container_client(self._container)

    def _connect(self, connection: AzureConnection) -> BlobServiceClient:
        from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry

        # One piece is what makes a create atomic, and needs no right but to add; it is bounded.
        warnings.filterwarnings("ignore", message="Sending a large body directly", category=ResourceWarning)
        how: dict[str, Any] = {
            "api_version": API_VERSION,
            "retry_policy": ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=3, random_jitter_range=1),
            "connection_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
        }
        try:
            if not connection.connection_string:
                return BlobServiceClient(connection.address, credential=self._identity.credential(), **how)
            service = BlobServiceClient.from_connection_string(connection.connection_string, **how)
            if service.credential is None:
                raise ValueError("neither a key nor a signature: it would ask as nobody")
            return service
        except ValueError:
            # Its text may hold the account's key.
            raise Unavailable(
                f"{connection.setting} is not usable: set {connection.setting}__blobServiceUri="
                "https://<account>.blob.core.windows.net.",
                retry_after=30.0,
            ) from None

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        """The SDK's errors as ours, once, here."""
        from azure.core.exceptions import AzureError

        from shared.blobs.blob_errors import translated

        try:
            yield
        except (AzureError, TimeoutError) as err:
            raise translated(err, name=name, container=self._container, setting=self._connection.setting) from None
