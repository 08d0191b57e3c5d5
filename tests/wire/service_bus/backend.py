"""Our adapter over the protocol server, for the contract suite and whoever wants a queue in a line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from shared.azure_connections import AzureConnection
from shared.azure_identity import AzureIdentity
from shared.clock import Clock
from shared.messaging.service_bus import ServiceBusQueue
from tests.wire.service_bus.server import ServiceBusServer

__all__ = ["adapter", "service_bus_queue"]

SETTING = "ServiceBusConnection"

WARM_SECONDS = 0.7


def adapter(server: ServiceBusServer, clock: Clock, **options: Any) -> ServiceBusQueue:
    """Our adapter, reaching this server by connection string."""
    text = options.pop("connection_string", server.connection_string)
    connection = AzureConnection(SETTING, wanted=True, connection_string=text)
    return ServiceBusQueue(connection, AzureIdentity(), clock=clock, **options)


async def warm(queue: ServiceBusQueue, names: Sequence[str]) -> None:
    """Open the receiving links, as they are in a host that runs: the first opening costs half a second."""
    nothing = [asyncio.create_task(queue.receive(name, 1)) for name in names]
    _, waiting = await asyncio.wait(nothing, timeout=WARM_SECONDS)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@asynccontextmanager
async def service_bus_queue(folder: Path, clock: Clock) -> AsyncIterator[ServiceBusQueue]:
    """Queues in Service Bus, through the SDK and over the wire; the server goes by the test's clock."""
    with ServiceBusServer(clock=clock) as server:
        queue = adapter(server, clock)
        try:
            await warm(queue, ("callback-deliveries", "poll-batches"))
            yield queue
        finally:
            await queue.close()
