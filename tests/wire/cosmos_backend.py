"""Cosmos DB for the contract suite: the server here, or a real account when ``OVENBRIDGE_TEST_COSMOS`` names one.

A real account's clock cannot be moved: leave out what waits for documents to expire, with
``-k "cosmos_in_azure and not expired and not default and not life and not ever"``.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from shared.azure_connections import AzureConnection
from shared.azure_identity import AzureIdentity
from shared.clock import Clock
from shared.errors import NotFound
from shared.storage import DocumentStore, Query, every
from shared.storage.cosmos import CosmosStore
from shared.topology import topology
from tests.wire.cosmos import CosmosServer

__all__ = ["REAL", "connection_to", "cosmos_store", "real_cosmos_store"]

REAL = os.environ.get("OVENBRIDGE_TEST_COSMOS", "")
"""``https://<account>.documents.azure.com:443/`` (sign-in by identity) or a connection string. Its database
``ovenbridge-test``, with all containers of the topology, was made for tests: they delete what they find there."""

DATABASE = "ovenbridge-test"


def connection_to(server: CosmosServer) -> AzureConnection:
    """The settings that lead to it."""
    return AzureConnection("CosmosConnection", wanted=True, connection_string=server.connection_string)


@asynccontextmanager
async def cosmos_store(folder: Path, clock: Clock) -> AsyncIterator[DocumentStore]:
    """The adapter over the protocol server."""
    with CosmosServer(clock=clock) as server:
        server.create_topology(DATABASE)
        store = CosmosStore(connection_to(server), AzureIdentity(), database=DATABASE, clock=clock)
        try:
            yield store
        finally:
            await store.close()
        assert not server.cross_partition_orders


@asynccontextmanager
async def real_cosmos_store(folder: Path, clock: Clock) -> AsyncIterator[DocumentStore]:
    """The adapter over an account in Azure; what a test wrote is deleted after it."""
    by_key = "AccountKey=" in REAL
    connection = AzureConnection(
        "CosmosConnection", wanted=True, address="" if by_key else REAL, connection_string=REAL if by_key else ""
    )
    identity = AzureIdentity(os.environ.get("AZURE_CLIENT_ID", ""))
    store = CosmosStore(connection, identity, database=DATABASE, clock=clock)
    try:
        yield store
        for spec in topology().containers.values():
            names = Query(limit=1000, select=())
            for item in [item async for item in every(store, spec.name, names)]:
                partition = tuple(item.document[level] for level in spec.partition_key)
                with suppress(NotFound):
                    await store.delete(spec.name, partition, item.document["id"])
    finally:
        await store.close()
        await identity.close()
