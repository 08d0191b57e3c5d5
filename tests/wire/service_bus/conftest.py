"""One server and one client for the checks of a module: opening a link costs half a second, closing one a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.servicebus import ServiceBusClient

from tests.wire.service_bus import ServiceBusServer
from tests.wire.service_bus.links import SPECS, Links


@pytest.fixture(scope="module")
def shared_server() -> Iterator[ServiceBusServer]:
    with ServiceBusServer(queues=SPECS) as running:
        yield running


@pytest.fixture
def server(shared_server: ServiceBusServer) -> ServiceBusServer:
    shared_server.clear()
    return shared_server


@pytest.fixture(scope="module")
def client(shared_server: ServiceBusServer) -> Iterator[ServiceBusClient]:
    with ServiceBusClient.from_connection_string(shared_server.connection_string, retry_total=0) as made:
        yield made


@pytest.fixture(scope="module")
def links(client: ServiceBusClient) -> Iterator[Links]:
    """Opening a link costs half a second, closing one a second: they are shared."""
    made = Links(client)
    yield made
    made.close()
