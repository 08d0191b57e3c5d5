"""The SDK's client: how it is set up, and when it is made. It is imported here, on first use."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.request import getproxies_environment

from shared.azure_connections import AzureConnection
from shared.azure_identity import AzureIdentity
from shared.errors import Unavailable
from shared.storage.cosmos_errors import Kind, Subject, Verdict, error_of
from shared.topology import ContainerSpec

if TYPE_CHECKING:
    from azure.core.pipeline.transport import AioHttpTransport
    from azure.cosmos.aio import ContainerProxy, CosmosClient

__all__ = ["CosmosAccount"]

CONNECT_SECONDS = 2.0

T = TypeVar("T")


class CosmosAccount:
    """One client per process, made inside the running loop by the first call that needs it."""

    def __init__(
        self, connection: AzureConnection, identity: AzureIdentity, *, database: str, read_seconds: float
    ) -> None:
        self.connection = connection
        self.database = database
        self._identity = identity
        self._read_seconds = read_seconds
        self._client: CosmosClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._containers: dict[str, ContainerProxy] = {}
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    async def container(self, spec: ContainerSpec, hook: Any = None) -> ContainerProxy:
        """The container; the first call for it reads its definition and holds it against ours.

        Raises:
            Unavailable: the settings are wrong, or the container is another than the topology says.
            AzureError: what the SDK raises.
        """
        if self._loop is not asyncio.get_running_loop():
            self._move_in()
        proxy = self._containers.get(spec.name)
        if proxy is None:
            proxy = await self._once(spec.name, lambda: self._introduced(spec, hook))
        return proxy

    def forget(self, name: str) -> None:
        """Read the container's definition again before its next use."""
        self._containers.pop(name, None)

    async def close(self) -> None:
        """Let go of the connections. The next call opens new ones."""
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        client, self._client, self._loop = self._client, None, None
        self._containers.clear()
        if client is not None:
            await client.close()

    def _move_in(self) -> None:
        if self._client is not None or self._tasks:
            raise RuntimeError("This store was used in another event loop: close it there, or make one per loop.")
        self._loop = asyncio.get_running_loop()

    async def _once(self, name: str, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Side by side callers share one attempt, and none that gives up takes it away from the others: signing in may
        take longer than one of them can wait."""
        task: asyncio.Task[T] | None = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = asyncio.create_task(make())
            task.add_done_callback(lambda done: self._settled(name, done))
        return await asyncio.shield(task)

    def _settled(self, name: str, task: asyncio.Task[Any]) -> None:
        del self._tasks[name]
        if not task.cancelled():
            task.exception()  # whoever waited has it; asyncio need not complain when nobody did

    async def _introduced(self, spec: ContainerSpec, hook: Any) -> ContainerProxy:
        if self._client is None:
            self._client = await self._once("", self._connected)
        proxy = self._client.get_database_client(self.database).get_container_client(spec.name)
        definition = await proxy.read(**({} if hook is None else {"response_hook": hook}))
        self._check(spec, definition)
        self._containers[spec.name] = proxy
        return proxy

    async def _connected(self) -> CosmosClient:
        connection = self.connection.require()
        transport = _transport()
        try:
            client = _build(connection, self._identity, self._read_seconds, transport)
            await client.__aenter__()
        except (ValueError, TypeError) as err:  # a key that is no base64 shows when the first request is signed
            await transport.close()
            raise self._malformed() from err
        except BaseException:
            await transport.close()
            raise
        return client

    def _malformed(self) -> Exception:
        return error_of(Verdict(Kind.MISCONFIGURED), Subject(""), self.connection, self.database)

    def _check(self, spec: ContainerSpec, definition: dict[str, Any]) -> None:
        paths = [path.removeprefix("/") for path in definition.get("partitionKey", {}).get("paths", [])]
        if paths != list(spec.partition_key):
            raise Unavailable(
                f"The container {spec.name} has the partition key {', '.join(paths) or 'none'}; it needs "
                f"{', '.join(spec.partition_key)}. Delete it and deploy infra/main.bicep.",
                retry_after=60.0,
            )
        if definition.get("defaultTtl") != spec.ttl_seconds:
            raise Unavailable(
                f"The container {spec.name} has the default time to live {definition.get('defaultTtl')}; it needs "
                f"{spec.ttl_seconds} (seconds). Deploy infra/main.bicep again.",
                retry_after=60.0,
            )


def _transport() -> AioHttpTransport:
    """aiohttp, without its habit of sending a PUT or DELETE again when the connection broke: whoever asked would not
    know that the first may have been done. It repeats only what it knows as a broken connection, so it gets told of
    another failure."""
    import aiohttp
    from azure.core.pipeline.transport import AioHttpTransport

    async def once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        try:
            return await send(request)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as err:
            raise aiohttp.ClientConnectionError("The connection broke.") from err

    session = aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=bool(getproxies_environment()),  # it would ask a thread for every request whether there is a proxy
        middlewares=(once,),
    )
    return AioHttpTransport(session=session, session_owner=True)


def _build(
    connection: AzureConnection, identity: AzureIdentity, read_seconds: float, transport: AioHttpTransport
) -> CosmosClient:
    from azure.cosmos.aio import CosmosClient

    # It logs every request with its headers at INFO.
    for name in ("azure.cosmos", "azure.core", "azure.identity"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)
    options: dict[str, Any] = {
        # Ours is the only patience (``cosmos_calls``). The SDK's own would repeat writes whose answer was lost without
        # telling us: a broken connection counts as "never sent" there. -1, because it takes 0 for its default of 9.
        "retry_throttle_total": -1,
        "retry_total": 0,
        "retry_connect": 0,
        "retry_read": 0,
        "retry_status": 0,
        "connection_timeout": CONNECT_SECONDS,
        "read_timeout": read_seconds,
        # The account's own address follows a failover, so one region's list of addresses need not be kept.
        "enable_endpoint_discovery": False,
        "enable_compact_utf8_item_writes": True,
        "user_agent_suffix": "Ovenbridge",
        "transport": transport,
    }
    if connection.connection_string:
        return CosmosClient.from_connection_string(connection.connection_string, **options)
    return CosmosClient(connection.address, identity.credential(), **options)
