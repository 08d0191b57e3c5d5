"""SERVICE_BUS_TRANSPORT=websockets: what a relay uses where a plant lets only port 443 out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from azure.servicebus import TransportType
from azure.servicebus._pyamqp.aio import _connection_async

from shared.azure_connections import AzureConnection
from shared.azure_identity import AzureIdentity
from shared.clock import SystemClock
from shared.errors import Unavailable
from shared.messaging import Outgoing
from shared.messaging.service_bus import ServiceBusQueue
from shared.messaging.service_bus_client import ServiceBusClients
from shared.services import Services
from shared.settings import Settings
from tests.wire.service_bus import ServiceBusServer
from tests.wire.service_bus.backend import adapter
from tests.wire.service_bus.websocket import PATH, PROTOCOL, WebSocketDoor

# The SDK says ssl=None to aiohttp where it speaks without TLS, which it does to emulators alone.
pytestmark = pytest.mark.filterwarnings("ignore:ssl=None is deprecated:DeprecationWarning")

Q = "relay-ingest"
IN_AZURE = AzureConnection("ServiceBusConnection", wanted=True, address="plant.servicebus.windows.net")


@pytest.fixture
def server() -> Iterator[ServiceBusServer]:
    with ServiceBusServer() as up:
        yield up


async def test_messages_pass_through_a_websocket(server: ServiceBusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with WebSocketDoor(server.port) as door:
        # The SDK goes to 443 whatever the address says; a test may not listen there.
        monkeypatch.setattr(_connection_async, "WEBSOCKET_PORT", door.port)
        queue = adapter(server, SystemClock(), transport="websockets")
        try:
            await queue.check()
            await queue.send(Q, [Outgoing(b"x" * 100_000, f"m{n}") for n in range(3)])
            received = await asyncio.wait_for(queue.receive(Q, 3), 10)
            for one in received:
                await queue.complete(Q, one)
            server.cut()
            await queue.send(Q, [Outgoing(b"y", "after the cut")])
        finally:
            await queue.close()
    assert set(door.handshakes) == {(PATH, PROTOCOL)}
    assert [len(r.body) for r in received][:1] == [100_000]
    assert server.messages("send", Q) == 4


async def test_nobody_behind_the_door(monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    monkeypatch.setattr(_connection_async, "WEBSOCKET_PORT", unused_tcp_port)
    text = "Endpoint=sb://localhost;SharedAccessKeyName=n;SharedAccessKey=aw==;UseDevelopmentEmulator=true"
    connection = AzureConnection("ServiceBusConnection", wanted=True, connection_string=text)
    queue = ServiceBusQueue(
        connection, AzureIdentity(), clock=SystemClock(), transport="websockets", patience_seconds=2.0
    )
    try:
        with pytest.raises(Unavailable, match="cannot be reached"):
            await queue.send(Q, [Outgoing(b"x", "m")])
    finally:
        await queue.close()


@pytest.mark.parametrize(
    ("transport", "expected"), [("amqp", TransportType.Amqp), ("websockets", TransportType.AmqpOverWebsocket)]
)
async def test_the_setting_decides(transport: str, expected: TransportType) -> None:
    settings = Settings.from_environment({"SERVICE_BUS_TRANSPORT": transport})
    clients = ServiceBusClients(IN_AZURE, AzureIdentity(), settings.service_bus_transport)
    config = clients.client()._config
    assert config.transport_type is expected
    assert config.hostname.endswith(PATH) is (transport == "websockets")
    await clients.close()


async def test_the_setting_reaches_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"SERVICE_BUS_TRANSPORT": "websockets", "ServiceBusConnection__fullyQualifiedNamespace": IN_AZURE.address}
    house = Services(Settings.from_environment(given))
    queue = house.queue
    assert isinstance(queue, ServiceBusQueue)
    assert queue._clients.client()._config.transport_type is TransportType.AmqpOverWebsocket
    await house.close()
