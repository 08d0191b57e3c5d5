"""The server through Microsoft's own client: time, tokens, and everything that goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
)
from azure.servicebus.aio import AutoLockRenewer as AioAutoLockRenewer
from azure.servicebus.aio import ServiceBusClient as AioClient
from azure.servicebus.exceptions import (
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusConnectionError,
    ServiceBusError,
    ServiceBusServerBusyError,
)

from tests.wire.service_bus import ServiceBusServer
from tests.wire.service_bus.links import NOTHING, SPECS, WAIT, Links, closing, send, take, texts

# Time and identity ----------------------------------------------------------------------------------------------------


def test_too_old(server: ServiceBusServer, links: Links) -> None:
    send(links, "drops", "a")
    links.sender("plain").send_messages(ServiceBusMessage("b", time_to_live=timedelta(seconds=10)), timeout=5)
    server.advance(30)
    assert take(links.receiver("drops"), wait=NOTHING) == []
    assert server.depth("drops", "dead_lettered") == 0
    (dead,) = take(links.receiver(dead=True))
    assert (str(dead), dead.dead_letter_reason) == ("b", "TTLExpiredException")


def test_an_id_within_the_window(server: ServiceBusServer, links: Links) -> None:
    send(links, "twice", "a", "b")
    send(links, "twice", "a", "c")
    assert texts(take(links.receiver("twice"), 3)) == ["a", "b", "c"]
    server.advance(60)
    send(links, "twice", "a")
    assert "a" in server.message_ids("twice")


def test_two_receivers_share_the_work(server: ServiceBusServer, client: ServiceBusClient, links: Links) -> None:
    send(links, "plain", *(str(n) for n in range(40)))
    seen: list[str] = []

    def work() -> None:
        with client.get_queue_receiver("plain", socket_timeout=0.02) as receiver:
            while found := take(receiver, 5, 0.5):
                for m in found:
                    receiver.complete_message(m)
                    seen.append(str(m))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(seen, key=int) == [str(n) for n in range(40)]


# Failure --------------------------------------------------------------------------------------------------------------


def test_a_client_that_dies_with_a_message_locked(server: ServiceBusServer, client: ServiceBusClient) -> None:
    sender = client.get_queue_sender("plain", socket_timeout=0.02)
    receiver = client.get_queue_receiver("plain", socket_timeout=0.02)
    with closing(sender), closing(receiver):
        sender.send_messages(ServiceBusMessage("a"), timeout=5)
        assert len(take(receiver)) == 1
        handler: Any = receiver._handler
        handler._connection._transport.sock.shutdown(socket.SHUT_RDWR)
        assert server.depth("plain", "locked") == 1, "the lock outlives its connection"
        server.advance(60)
        with contextlib.suppress(ServiceBusError):
            take(receiver, wait=0.3)
        (again,) = take(receiver)
        assert (str(again), again.delivery_count) == ("a", 1)


@pytest.mark.parametrize("as_specified", [True, False])
def test_an_unknown_queue(server: ServiceBusServer, client: ServiceBusClient, as_specified: bool) -> None:
    server.refuse_without_terminus(as_specified)
    expected = MessagingEntityNotFoundError if as_specified else ServiceBusConnectionError
    try:
        with closing(client.get_queue_sender("nothing", socket_timeout=0.02)) as sender, pytest.raises(expected):
            sender.send_messages(ServiceBusMessage("a"), timeout=5)
        with (
            closing(client.get_queue_receiver("nothing", socket_timeout=0.02)) as receiver,
            pytest.raises(MessagingEntityNotFoundError),
        ):
            take(receiver)
    finally:
        server.refuse_without_terminus(True)


def test_a_wrong_key(server: ServiceBusServer) -> None:
    text = server.connection_string_with("d3Jvbmc=")
    with (
        ServiceBusClient.from_connection_string(text, retry_total=0) as stranger,
        closing(stranger.get_queue_sender("plain", socket_timeout=0.02)) as sender,
        pytest.raises(ServiceBusAuthenticationError),
    ):
        sender.send_messages(ServiceBusMessage("a"), timeout=5)
    assert server.depth("plain", "all") == 0


def test_busy_and_tried_again(server: ServiceBusServer, links: Links) -> None:
    server.fail("refuse", "send")
    with pytest.raises(ServiceBusServerBusyError):
        links.sender().send_messages(ServiceBusMessage("a"), timeout=5)
    text = server.connection_string
    with (
        ServiceBusClient.from_connection_string(text, retry_total=2, retry_backoff_factor=0.05) as patient,
        closing(patient.get_queue_sender("plain", socket_timeout=0.02)) as sender,
    ):
        fault = server.fail("refuse", "send")
        sender.send_messages(ServiceBusMessage("a"), timeout=5)
    assert (fault.struck, server.depth("plain")) == (1, 1)


def test_a_right_that_is_missing(server: ServiceBusServer, client: ServiceBusClient) -> None:
    server.deny("Send", "plain", cut=False)
    try:
        with (
            closing(client.get_queue_sender("plain", socket_timeout=0.02)) as sender,
            pytest.raises(ServiceBusAuthorizationError, match="'Send' claim"),
        ):
            sender.send_messages(ServiceBusMessage("a"), timeout=5)
    finally:
        server.allow("Send", "plain")


# Tokens, and the aio client -------------------------------------------------------------------------------------------


async def _all_of_it(client: AioClient) -> None:
    sender = client.get_queue_sender("aio", socket_timeout=0.02)
    receiver = client.get_queue_receiver("aio", socket_timeout=0.02)
    async with sender, receiver:
        await sender.send_messages([ServiceBusMessage(b) for b in "abcde"], timeout=5)
        at = datetime.now(UTC) + timedelta(hours=1)
        numbers = await sender.schedule_messages([ServiceBusMessage("x"), ServiceBusMessage("y")], at, timeout=5)
        await sender.cancel_scheduled_messages(numbers, timeout=5)
        assert len(await receiver.peek_messages(10, sequence_number=1, timeout=5)) == 5
        a, b, c, d, e = await receiver.receive_messages(5, max_wait_time=WAIT)
        await receiver.renew_message_lock(a, timeout=5)
        await receiver.complete_message(a)
        await receiver.abandon_message(b)
        await receiver.dead_letter_message(c, reason="why", error_description="because")
        await receiver.defer_message(d)
        async with AioAutoLockRenewer() as renewer:
            renewer.register(receiver, e, max_lock_renewal_duration=5)
            (again,) = await receiver.receive_messages(1, max_wait_time=WAIT)
            assert (str(again), again.delivery_count) == ("b", 1)
        (deferred,) = await receiver.receive_deferred_messages([d.sequence_number or 0], timeout=5)
        for m in (again, deferred, e):
            await receiver.complete_message(m)


async def test_the_aio_client(server: ServiceBusServer) -> None:
    async with AioClient.from_connection_string(server.connection_string, retry_total=0) as client:
        await _all_of_it(client)
    assert (server.depth("aio", "all"), server.depth("aio", "dead_lettered")) == (0, 1)


async def test_an_identitys_token(server: ServiceBusServer) -> None:
    credential = server.credential()
    async with AioClient(server.namespace, credential, use_tls=False, retry_total=0) as client:
        await _all_of_it(client)
    assert credential.asked == 2
    assert (server.depth("aio", "all"), server.depth("aio", "dead_lettered")) == (0, 1)


@pytest.mark.parametrize("how", ["expired", "for something else", "signed by a stranger", "no token"])
async def test_tokens_that_open_nothing(server: ServiceBusServer, how: str) -> None:
    credential = server.credential(seconds=-5 if how == "expired" else 3600)
    if how == "for something else":
        credential.token = server.keys.jwt(audience="https://vault.azure.net")
    elif how == "signed by a stranger":
        credential.token = replace(server.keys, signer=b"somebody").jwt()
    elif how == "no token":
        credential.token = "let me in"
    async with AioClient(server.namespace, credential, use_tls=False, retry_total=0) as client:
        sender = client.get_queue_sender("plain", socket_timeout=0.02)
        with pytest.raises(ServiceBusAuthenticationError):
            await sender.send_messages(ServiceBusMessage("a"), timeout=5)
        await sender.close()
    assert server.depth("plain", "all") == 0


async def test_a_token_opens_its_own_queue_alone(server: ServiceBusServer) -> None:
    """Shown for one queue, used for another."""
    async with AioClient.from_connection_string(server.connection_string, retry_total=0) as client:
        sender = client.get_queue_sender("plain", socket_timeout=0.02)
        sender._entity_uri = sender._entity_uri.replace("plain", "three")
        with pytest.raises(ServiceBusAuthorizationError, match="No valid token"):
            await sender.send_messages(ServiceBusMessage("a"), timeout=5)
        await sender.close()


async def test_the_info_less_rejection_hangs_the_sdk(server: ServiceBusServer) -> None:
    """The reason for our own limit on every send: if this fails one day, the SDK has mended its ways."""
    async with AioClient.from_connection_string(server.connection_string, retry_total=0) as client:
        sender = client.get_queue_sender("plain", socket_timeout=0.02)
        async with sender:
            server.omit_info()
            server.fail("refuse", "send")
            try:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(3):
                        await sender.send_messages(ServiceBusMessage("a"), timeout=0.5)
            finally:
                server.omit_info(False)


# The hooks ------------------------------------------------------------------------------------------------------------


def test_a_delay_and_a_double(server: ServiceBusServer, links: Links) -> None:
    send(links, "plain", "warm")
    server.clear()
    server.fail("delay", "send", seconds=0.3)
    began = time.monotonic()
    send(links, "plain", "a")
    assert time.monotonic() - began >= 0.3
    server.fail("double", "send", queue="twice")
    send(links, "twice", "b")
    assert (server.depth("plain"), server.depth("twice")) == (1, 2)


def test_stopped_and_started_again_it_knows_its_messages(server: ServiceBusServer) -> None:
    with ServiceBusServer(queues=SPECS) as other:
        port = other.port
        with (
            ServiceBusClient.from_connection_string(other.connection_string, retry_total=0) as client,
            closing(client.get_queue_sender("plain", socket_timeout=0.02)) as sender,
        ):
            sender.send_messages(ServiceBusMessage("a", message_id="a"), timeout=5)
            other.stop()
            with pytest.raises(ServiceBusError):
                sender.send_messages(ServiceBusMessage("b"), timeout=2)
            other.start()
            assert (other.port, other.message_ids("plain")) == (port, ["a"])
        with pytest.raises(OSError, match="in use"):
            ServiceBusServer(port).start()
