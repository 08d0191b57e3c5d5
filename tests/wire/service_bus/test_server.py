"""The server through Microsoft's own client: the checks of what a Service Bus namespace must do.

What is expected comes from the SDK's sources and the documented semantics, not from Azure: they prove that the
SDK drives the server, and that the server says no where the service would.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import (
    AutoLockRenewer,
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceiveMode,
)
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
)

from tests.wire.service_bus import ServiceBusServer
from tests.wire.service_bus.links import NOTHING, Links, send, take, texts

# Sending --------------------------------------------------------------------------------------------------------------


def test_one_message(server: ServiceBusServer, links: Links) -> None:
    links.sender().send_messages(ServiceBusMessage(b"one"), timeout=5)
    assert (server.depth("plain"), server.calls("send", "plain")) == (1, 1)


def test_a_list_and_a_batch_are_one_transfer_each(server: ServiceBusServer, links: Links) -> None:
    send(links, "plain", "a", "b", "c")
    batch = links.sender().create_message_batch()
    for body in ("d", "e"):
        batch.add_message(ServiceBusMessage(body))
    links.sender().send_messages(batch, timeout=5)
    assert (server.calls("send", "plain"), server.messages("send", "plain")) == (2, 5)
    assert texts(take(links.receiver(), 5)) == ["a", "b", "c", "d", "e"]


def test_a_message_over_several_frames(server: ServiceBusServer, links: Links) -> None:
    body = bytes(range(256)) * 800
    links.sender().send_messages(ServiceBusMessage(body), timeout=5)
    (message,) = take(links.receiver())
    assert b"".join(message.body) == body


def test_what_is_too_large(server: ServiceBusServer, links: Links) -> None:
    with pytest.raises(MessageSizeExceededError):
        links.sender().send_messages(ServiceBusMessage(b"x" * 400_000), timeout=5)
    with pytest.raises(ValueError, match="size limit"):
        links.sender().send_messages([ServiceBusMessage(b"x" * 100_000) for _ in range(3)], timeout=5)
    assert server.depth("plain", "all") == 0


# Receiving under lock -------------------------------------------------------------------------------------------------


def test_everything_a_receiver_sees(server: ServiceBusServer, links: Links) -> None:
    sent = ServiceBusMessage(
        b"\x00\xff",
        message_id="id",
        correlation_id="corr",
        subject="subject",
        content_type="application/json",
        application_properties={"text": "ä", "number": 7, "yes": True},
    )
    links.sender().send_messages(sent, timeout=5)
    (m,) = take(links.receiver())
    assert b"".join(m.body) == b"\x00\xff"
    assert (m.message_id, m.correlation_id, m.subject, m.content_type) == ("id", "corr", "subject", "application/json")
    assert m.application_properties == {b"text": "ä".encode(), b"number": 7, b"yes": True}
    assert (m.delivery_count, m.sequence_number) == (0, 1)
    assert m.enqueued_time_utc is not None
    assert abs(m.enqueued_time_utc - datetime.now(UTC)) < timedelta(seconds=40)
    assert m.locked_until_utc is not None
    assert timedelta(seconds=15) < m.locked_until_utc - datetime.now(UTC) <= timedelta(seconds=60)
    assert m.lock_token is not None
    assert server.depth("plain", "locked") == 1


def test_complete(server: ServiceBusServer, links: Links) -> None:
    send(links, "plain", "a")
    (m,) = take(links.receiver())
    links.receiver().complete_message(m)
    assert server.depth("plain", "all") == 0


def test_abandoned_comes_back_and_is_given_up_in_the_end(server: ServiceBusServer, links: Links) -> None:
    send(links, "three", "a")
    for count in range(3):
        (m,) = take(links.receiver("three"))
        assert m.delivery_count == count
        links.receiver("three").abandon_message(m)
    assert take(links.receiver("three"), wait=NOTHING) == []
    (dead,) = take(links.receiver("three", dead=True))
    assert (str(dead), dead.dead_letter_reason, dead.delivery_count) == ("a", "MaxDeliveryCountExceeded", 3)


@pytest.mark.parametrize("words", [{"reason": "why", "error_description": "because"}, {}], ids=["reason", "none"])
def test_dead_lettered_by_the_receiver(server: ServiceBusServer, links: Links, words: dict[str, str]) -> None:
    links.sender().send_messages(ServiceBusMessage(b"a", application_properties={"kept": "yes"}), timeout=5)
    (m,) = take(links.receiver())
    links.receiver().dead_letter_message(m, **words)
    assert (server.depth("plain", "all"), server.depth("plain", "dead_lettered")) == (0, 1)
    (dead,) = take(links.receiver(dead=True))
    assert (dead.dead_letter_reason or "") == words.get("reason", "")
    assert (dead.dead_letter_error_description or "") == words.get("error_description", "")
    assert dead.dead_letter_source == "plain"
    assert dead.application_properties is not None
    assert dead.application_properties[b"kept"] == b"yes"
    links.receiver(dead=True).complete_message(dead)
    assert server.depth("plain", "dead_lettered") == 0


# Scheduling -----------------------------------------------------------------------------------------------------------


def test_schedule_cancel_and_the_time_that_comes(server: ServiceBusServer, links: Links) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    numbers = links.sender().schedule_messages([ServiceBusMessage(b) for b in ("a", "b", "c")], at, timeout=5)
    assert server.depth("plain", "scheduled") == len(numbers) == 3
    links.sender().cancel_scheduled_messages(numbers[1], timeout=5)
    assert take(links.receiver(), wait=NOTHING) == []
    server.advance(3600)
    found = take(links.receiver(), 2)
    assert texts(found) == ["a", "c"]
    assert found[0].sequence_number not in numbers, "it takes a new number when it becomes active"


def test_a_plain_send_with_a_time(server: ServiceBusServer, links: Links) -> None:
    began = time.monotonic()
    at = datetime.now(UTC) + timedelta(seconds=0.5)
    links.sender().send_messages(ServiceBusMessage("a", scheduled_enqueue_time_utc=at), timeout=5)
    (m,) = take(links.receiver())
    assert 0.4 < time.monotonic() - began < 1.5
    assert m.scheduled_enqueue_time_utc is not None


def test_cancelling_what_is_not_there(server: ServiceBusServer, links: Links) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    (number,) = links.sender().schedule_messages(ServiceBusMessage("a"), at, timeout=5)
    with pytest.raises(MessageNotFoundError):
        links.sender().cancel_scheduled_messages([number, 999_999], timeout=5)
    assert server.depth("plain", "scheduled") == 1, "all or none"


# Locks ----------------------------------------------------------------------------------------------------------------


def test_renew(server: ServiceBusServer, links: Links) -> None:
    send(links, "plain", "a")
    (m,) = take(links.receiver())
    server.advance(50)
    links.receiver().renew_message_lock(m, timeout=5)
    server.advance(50)
    links.receiver().complete_message(m)
    assert server.depth("plain", "all") == 0


def test_the_sdks_own_renewer(server: ServiceBusServer, links: Links) -> None:
    send(links, "short", "a")
    receiver = links.receiver("short")
    (m,) = take(receiver)
    with AutoLockRenewer() as renewer:
        renewer.register(receiver, m, max_lock_renewal_duration=10)
        time.sleep(2.2)
        receiver.complete_message(m)
    assert server.depth("short", "all") == 0
    assert server.messages("renew", "short") >= 2


def test_a_lock_that_ran_out(server: ServiceBusServer, links: Links) -> None:
    send(links, "plain", "a")
    receiver = links.receiver()
    (m,) = take(receiver)
    server.advance(60)
    with pytest.raises(MessageLockLostError):
        receiver.complete_message(m)
    with pytest.raises(MessageLockLostError):
        receiver.renew_message_lock(m, timeout=5)
    (again,) = take(receiver)
    assert (str(again), again.delivery_count) == ("a", 1)


# The rest of receiving ------------------------------------------------------------------------------------------------


def test_defer(server: ServiceBusServer, links: Links) -> None:
    send(links, "plain", "a")
    receiver = links.receiver()
    (m,) = take(receiver)
    receiver.defer_message(m)
    assert (take(receiver, wait=NOTHING), server.depth("plain", "deferred")) == ([], 1)
    (deferred,) = receiver.receive_deferred_messages(m.sequence_number or 0, timeout=5)
    receiver.complete_message(deferred)
    assert server.depth("plain", "all") == 0
    with pytest.raises(MessageNotFoundError):
        receiver.receive_deferred_messages(999_999, timeout=5)


def test_peek(server: ServiceBusServer, links: Links) -> None:
    send(links, "plain", *"abcd")
    at = datetime.now(UTC) + timedelta(hours=1)
    links.sender().schedule_messages(ServiceBusMessage("later"), at, timeout=5)
    receiver = links.receiver()
    peeked = receiver.peek_messages(3, sequence_number=1, timeout=5)
    peeked += receiver.peek_messages(10, sequence_number=4, timeout=5)
    assert texts(peeked) == [*"abcd", "later"]
    assert [m.state.name for m in peeked] == ["ACTIVE"] * 4 + ["SCHEDULED"]
    assert receiver.peek_messages(10, sequence_number=6, timeout=5) == []
    assert server.depth("plain") == 4


def test_receive_and_delete(server: ServiceBusServer, client: ServiceBusClient, links: Links) -> None:
    send(links, "plain", "a", "b")
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    with client.get_queue_receiver("plain", receive_mode=mode, socket_timeout=0.02) as receiver:
        assert texts(take(receiver, 2)) == ["a", "b"]
    assert server.depth("plain", "all") == 0


def test_prefetch_and_what_closing_gives_back(server: ServiceBusServer, client: ServiceBusClient, links: Links) -> None:
    send(links, "plain", *"abcdef")
    with client.get_queue_receiver("plain", prefetch_count=5, max_wait_time=1, socket_timeout=0.02) as receiver:
        m = next(iter(receiver))
        assert str(m) == "a"
        receiver.complete_message(m)
        assert server.depth("plain", "locked") >= 1
    assert (server.depth("plain"), server.depth("plain", "locked")) == (5, 0)
    assert [m.delivery_count for m in take(links.receiver(), 5)] == [0] * 5, "giving back is no failed delivery"
