"""A server with the containers of the topology, and the real SDK on both its sides: the same tests for sync and aio."""

from __future__ import annotations

import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from azure.cosmos import CosmosClient, PartitionKey
from azure.cosmos.aio import CosmosClient as AioClient

from shared.clock import ManualClock
from tests.wire.cosmos import CosmosServer

__all__ = ["Sdk", "call", "pages", "rows", "settled", "sync_client"]


def sync_client(endpoint: str, credential: Any, **options: Any) -> AbstractContextManager[CosmosClient]:
    """The sync client."""
    return settled(CosmosClient(endpoint, credential, **options))


@contextmanager
def settled(client: CosmosClient) -> Iterator[CosmosClient]:
    """The sync client looks after the account in a thread of its own, and leaves a socket open when it is closed before
    that thread is done."""
    with client:
        yield client
        for thread in threading.enumerate():
            if thread.name == "cosmos-endpoint-refresh":
                thread.join(10)


async def call(result: Any) -> Any:
    """What a method of either client gives."""
    return await result if inspect.isawaitable(result) else result


async def rows(pager: Any) -> list[Any]:
    """All that a query of either client gives."""
    return [row async for row in pager] if hasattr(pager, "__aiter__") else list(pager)


async def pages(pager: Any, continuation: str | None = None) -> list[tuple[list[Any], str | None]]:
    """All pages of a query, each with the token that leads to the next."""
    by_page = pager.by_page(continuation)
    if hasattr(by_page, "__aiter__"):
        return [([row async for row in page], by_page.continuation_token) async for page in by_page]
    return [(list(page), by_page.continuation_token) for page in by_page]


@dataclass(frozen=True, slots=True)
class Sdk:
    """One of the two clients."""

    client: Any
    database: Any

    def container(self, name: str) -> Any:
        """A container of the topology."""
        return self.database.get_container_client(name)

    async def make(self, name: str, path: str | list[str] = "/pk", **rest: Any) -> Any:
        """A container of its own, indexed whole unless ``indexing_policy`` says otherwise."""
        return await call(self.database.create_container(id=name, partition_key=PartitionKey(path=path), **rest))

    async def query(self, container: Any, text: str, *key: Any, **parameters: Any) -> list[Any]:
        """Rows of a query in a partition; without a key across all."""
        given = [{"name": f"@{name}", "value": value} for name, value in parameters.items()]
        return await rows(container.query_items(text, parameters=given, **self.scope(*key)))

    def scope(self, *key: Any) -> dict[str, Any]:
        """How the client is told of a key, or that there is none."""
        if key:
            return {"partition_key": list(key) if len(key) > 1 else key[0]}
        return {"enable_cross_partition_query": True} if isinstance(self.client, CosmosClient) else {}


@pytest.fixture
def server(clock: ManualClock) -> Iterator[CosmosServer]:
    """A server with the topology, on the clock of the test."""
    with CosmosServer(clock=clock) as running:
        running.create_topology()
        yield running


@pytest.fixture(params=["sync", "aio"])
async def sdk(request: pytest.FixtureRequest, server: CosmosServer) -> AsyncIterator[Sdk]:
    """The client, in both forms."""
    options: dict[str, Any] = {"enable_endpoint_discovery": False}
    if request.param == "sync":
        with sync_client(server.endpoint, server.key, **options) as client:
            yield Sdk(client, client.get_database_client("ovenbridge"))
    else:
        async with AioClient(server.endpoint, server.key, **options) as aio:
            yield Sdk(aio, aio.get_database_client("ovenbridge"))
