"""Links of the SDK's clients that the checks of the server share, and what they do with them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeVar

from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSender,
    ServiceBusSubQueue,
)

from shared.topology import QueueSpec

__all__ = ["NOTHING", "SPECS", "WAIT", "Links", "closing", "send", "take", "texts"]

PLAIN = QueueSpec("plain", 60, 10, 0, 3600, dead_letter_on_expiry=True)
THREE = replace(PLAIN, name="three", max_delivery_count=3)
SHORT = replace(PLAIN, name="short", lock_seconds=1)
TWICE = replace(PLAIN, name="twice", duplicate_window_seconds=60)
DROPS = replace(PLAIN, name="drops", ttl_seconds=30, dead_letter_on_expiry=False)
AIO = replace(PLAIN, name="aio")
"""Apart: a shared receiver that rests still has credit, and the service may give it a message."""
SPECS = (PLAIN, THREE, SHORT, TWICE, DROPS, AIO)

WAIT = 3.0
P = TypeVar("P", ServiceBusSender, ServiceBusReceiver)

NOTHING = 0.15
"""How long to wait for what must not come."""


class Links:
    """Senders and receivers by queue."""

    def __init__(self, client: ServiceBusClient) -> None:
        self._client = client
        self._senders: dict[str, ServiceBusSender] = {}
        self._receivers: dict[tuple[str, bool], ServiceBusReceiver] = {}

    def sender(self, name: str = "plain") -> ServiceBusSender:
        if name not in self._senders:
            self._senders[name] = self._client.get_queue_sender(name, socket_timeout=0.02)
        return self._senders[name]

    def receiver(self, name: str = "plain", *, dead: bool = False) -> ServiceBusReceiver:
        if (name, dead) not in self._receivers:
            part = ServiceBusSubQueue.DEAD_LETTER if dead else None
            made = self._client.get_queue_receiver(name, sub_queue=part, socket_timeout=0.02)
            made.__enter__()
            self._receivers[name, dead] = made
        return self._receivers[name, dead]

    def close(self) -> None:
        parts = [*self._senders.values(), *self._receivers.values()]
        threads = [threading.Thread(target=part.close) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)


def send(links: Links, name: str, *bodies: str) -> None:
    links.sender(name).send_messages([ServiceBusMessage(b, message_id=b) for b in bodies], timeout=5)


def take(receiver: ServiceBusReceiver, count: int = 1, wait: float = WAIT) -> list[ServiceBusReceivedMessage]:
    return receiver.receive_messages(count, max_wait_time=wait)


def texts(messages: list[ServiceBusReceivedMessage]) -> list[str]:
    return [str(m) for m in messages]


@contextlib.contextmanager
def closing(part: P) -> Iterator[P]:
    """Close it, and the sockets that the SDK forgets when the other side closed first."""
    connections: list[Any] = []
    create = part._create_handler

    def create_and_remember(auth: Any) -> None:
        create(auth)
        handler: Any = part._handler
        close = handler.close

        def close_and_remember() -> None:
            connections.append(handler._connection)
            close()

        handler.close = close_and_remember

    part._create_handler = create_and_remember  # type: ignore[method-assign]
    try:
        yield part
    finally:
        part.close()
        for connection in connections:
            if connection is not None:
                connection._transport.close()
