"""The SDK's client: built on first use, by identity or connection string, over AMQP or WebSockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Literal

from shared.azure_connections import AzureConnection
from shared.azure_identity import AzureIdentity
from shared.messaging.service_bus_errors import malformed
from shared.messaging.service_bus_sockets import close_sockets_too

if TYPE_CHECKING:
    from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

__all__ = ["ServiceBusClients", "Transport", "close_within"]

log = logging.getLogger("ovenbridge.servicebus")

Transport = Literal["amqp", "websockets"]

SENDER_SOCKET_SECONDS = 0.05
RECEIVER_SOCKET_SECONDS = 0.02
"""How long the SDK waits for a frame before it looks at its clock again. Its default of 0.2 s (1 s over WebSockets)
is what a receive waits after the last message, and what closing a link costs several times over."""


class ServiceBusClients:
    """Makes senders and receivers. Nothing is read or connected before the first."""

    def __init__(self, connection: AzureConnection, identity: AzureIdentity, transport: Transport) -> None:
        self.connection = connection
        self._identity = identity
        self._transport = transport
        self._client: ServiceBusClient | None = None

    def client(self) -> ServiceBusClient:
        """The client of this process. Raises ``Unavailable`` where the connection is not set right."""
        if self._client is None:
            self._client = self._build()
        return self._client

    def _build(self) -> ServiceBusClient:
        connection = self.connection.require()
        from azure.servicebus import TransportType
        from azure.servicebus.aio import ServiceBusClient

        # The SDK does not retry for us: its pauses know nothing of our patience, and it goes on with a link that hangs.
        options: dict[str, Any] = {"retry_total": 0, "user_agent": "ovenbridge"}
        if self._transport == "websockets":
            options["transport_type"] = TransportType.AmqpOverWebsocket
        if not connection.connection_string:
            return ServiceBusClient(connection.address, self._identity.credential(), **options)
        try:
            return ServiceBusClient.from_connection_string(connection.connection_string, **options)
        except ValueError as error:
            raise malformed(connection) from error

    def sender(self, queue: str) -> ServiceBusSender:
        """A new sender; it connects on first use."""
        made = self.client().get_queue_sender(queue, socket_timeout=SENDER_SOCKET_SECONDS)
        close_sockets_too(made)
        return made

    def receiver(self, queue: str, *, dead_letters: bool = False) -> ServiceBusReceiver:
        """A new receiver; it connects on first use."""
        from azure.servicebus import ServiceBusSubQueue

        part = ServiceBusSubQueue.DEAD_LETTER if dead_letters else None
        made = self.client().get_queue_receiver(queue, sub_queue=part, socket_timeout=RECEIVER_SOCKET_SECONDS)
        close_sockets_too(made)
        return made

    async def close(self) -> None:
        """Let go of the client. It is built anew if it is needed again."""
        client, self._client = self._client, None
        if client is not None:
            await close_within(2.0, client.close(), "client")


async def close_within(seconds: float, closing: Awaitable[None], what: str) -> None:
    """Close something, but not for ever: what is closed says goodbye over a network that may be away."""
    try:
        async with asyncio.timeout(seconds):
            await closing
    except Exception as error:  # noqa: BLE001 - it is being thrown away; that its goodbye failed changes nothing
        log.info("Closing a Service Bus %s did not end well: %r", what, error)
