"""The adapter of Service Bus without a network: messages, batches, sentences, and what is said when nothing is set."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus import exceptions as sdk
from azure.servicebus._pyamqp._encode import encode_payload
from azure.servicebus._transport._pyamqp_transport import PyamqpTransport
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageHeader
from hypothesis import given
from hypothesis import strategies as st

from shared.azure_connections import AzureConnection, AzureConnections
from shared.azure_identity import AzureIdentity
from shared.clock import ManualClock, SystemClock
from shared.errors import InvalidInput, Unavailable
from shared.messaging import Outgoing
from shared.messaging.service_bus import ServiceBusQueue
from shared.messaging.service_bus_client import ServiceBusClients
from shared.messaging.service_bus_errors import trouble
from shared.messaging.service_bus_intake import Held, QueueIntake
from shared.messaging.service_bus_messages import (
    dead_letter,
    dead_letter_words,
    fresh_id,
    outgoing,
    received,
    to_sdk,
    weight,
)
from shared.messaging.service_bus_sender import BATCH_BYTES, BATCH_MESSAGES, _batches

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
BY_KEY = AzureConnection(
    "ServiceBusConnection",
    wanted=True,
    connection_string="Endpoint=sb://secret-name.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=c2VjcmV0",
)
BY_IDENTITY = AzureConnection("ServiceBusConnection", wanted=True, address="secret-name.servicebus.windows.net")

texts = st.text(max_size=60)
messages = st.builds(
    Outgoing,
    body=st.binary(max_size=300) | st.just(b"x" * 100_000),
    message_id=st.text(min_size=1, max_size=128),
    at=st.none() | st.just(NOW),
    correlation_id=st.none() | texts,
    properties=st.dictionaries(texts.filter(bool), texts, max_size=5),
)


def on_the_wire(message: Outgoing) -> bytes:
    """As the SDK encodes it."""
    return _encoded(to_sdk(message).raw_amqp_message)


def _encoded(message: AmqpAnnotatedMessage) -> bytes:
    return bytes(encode_payload(bytearray(), PyamqpTransport.to_outgoing_amqp_message(message)))


def peeked(message: Outgoing, failed: int = 0, words: Mapping[str, str] | None = None) -> ServiceBusReceivedMessage:
    """A message as the SDK hands it to us."""
    sent = to_sdk(message)
    sent.application_properties = {**(sent.application_properties or {}), **dict((words or {}).items())}
    found = ServiceBusReceivedMessage.from_bytes(_encoded(sent.raw_amqp_message))
    found.raw_amqp_message.header = AmqpMessageHeader(delivery_count=failed)
    return found


# Messages -------------------------------------------------------------------------------------------------------------


@given(messages)
def test_what_is_sent_is_received(message: Outgoing) -> None:
    found = received(ServiceBusReceivedMessage.from_bytes(on_the_wire(message)), "lock")
    assert (found.body, found.message_id) == (message.body, message.message_id)
    assert (found.correlation_id or "") == (message.correlation_id or "")
    assert dict(found.properties) == dict(message.properties)
    assert (found.delivery_count, found.lock_token) == (1, "lock")


@given(messages)
def test_the_weight_is_never_too_small(message: Outgoing) -> None:
    """Or a batch that fits by our count would not fit the queue."""
    assert weight(message) >= len(on_the_wire(message)) + 8


def test_the_largest_message_fits_a_batch() -> None:
    largest = Outgoing(b"x" * 200 * 1024, "i" * 128, properties={"traceparent": "t" * 55})
    assert weight(largest) <= BATCH_BYTES < 262_144


def test_a_time_without_zone_is_utc() -> None:
    sent = to_sdk(Outgoing(b"x", "m", at=NOW.replace(tzinfo=None)))
    assert sent.scheduled_enqueue_time_utc == NOW


@pytest.mark.parametrize(
    ("reason", "description", "failed", "deliveries", "at"),
    [
        ("MaxDeliveryCountExceeded", "Message could not be consumed after 10 delivery attempts.", 10, 10, None),
        ("TTLExpiredException", "The message expired.", 2, 2, None),
        ("because", "2026-11-21T10:00:00.000Z", 0, 1, NOW),
        ("a stranger's", "words of his own", 3, 4, None),
    ],
)
def test_dead_letters(reason: str, description: str, failed: int, deliveries: int, at: datetime | None) -> None:
    words = {"DeadLetterReason": reason, "DeadLetterErrorDescription": description}
    found = dead_letter(peeked(Outgoing(b"x", "m", properties={"kept": "yes"}), failed, words))
    assert (found.reason, found.dead_lettered_at) == (reason, at)
    assert found.message.delivery_count == deliveries
    assert dict(found.message.properties) == {"kept": "yes"}


def test_the_words_of_giving_up_tell_the_time() -> None:
    words = dead_letter_words("r" * 5_000, NOW)
    assert (len(words["reason"]), words["error_description"]) == (1_024, "2026-11-21T10:00:00.000Z")


@given(messages)
def test_a_dead_letter_is_sent_again_under_an_id_of_its_own(message: Outgoing) -> None:
    again = outgoing(peeked(message, 1, {"DeadLetterReason": "r"}))
    assert (again.body, dict(again.properties)) == (message.body, dict(message.properties))
    assert again.message_id != message.message_id
    assert len(again.message_id) <= 128
    assert again.message_id == fresh_id(peeked(message)), "the same again when it is repeated"


# Batches --------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 200 * 1024), max_size=60))
def test_batches_keep_order_and_limits(sizes: list[int]) -> None:
    sent = [Outgoing(b"x" * size, f"m{n}") for n, size in enumerate(sizes)]
    cut = list(_batches(sent))
    assert [message for batch in cut for message in batch] == sent
    for batch in cut:
        assert batch
        assert len(batch) <= BATCH_MESSAGES
        assert len(batch) == 1 or sum(map(weight, batch)) <= BATCH_BYTES
    for one, two in itertools.pairwise(cut):
        assert sum(map(weight, (*one, two[0]))) > BATCH_BYTES, "no more batches than needed"


def test_many_small_ones() -> None:
    assert [len(batch) for batch in _batches([Outgoing(b"", f"m{n}") for n in range(1_001)])] == [500, 500, 1]


# Receiving ------------------------------------------------------------------------------------------------------------


class _NeverOpen:
    """In the place of the clients: a link that takes for ever to open."""

    connection = BY_IDENTITY

    def receiver(self, *_: object, **__: object) -> _NeverOpen:
        return self

    async def __aenter__(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None: ...


async def test_what_was_handed_to_one_who_left_goes_to_the_next() -> None:
    clock = ManualClock(NOW)
    intake = QueueIntake("poll-batches", cast("ServiceBusClients", _NeverOpen()), clock, lock_seconds=60)
    leaving = asyncio.create_task(intake.receive(2))
    await asyncio.sleep(0)
    until = NOW + timedelta(seconds=60)
    intake._spare.extend(Held(peeked(Outgoing(b"x", f"m{n}")), until) for n in range(1))
    intake._hand_out()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert leaving.cancelled()
    (received,) = await asyncio.wait_for(intake.receive(1), 1)
    assert (received.message_id, received.delivery_count) == ("m0", 1)
    await intake.close()


async def test_a_message_whose_lock_ended_here_is_not_handed_out() -> None:
    clock = ManualClock(NOW)
    intake = QueueIntake("poll-batches", cast("ServiceBusClients", _NeverOpen()), clock, lock_seconds=60)
    intake._spare.append(Held(peeked(Outgoing(b"x", "old")), NOW))
    waiting = asyncio.create_task(intake.receive(1))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await intake.close()
    with pytest.raises(Unavailable):
        await waiting


# Sentences ------------------------------------------------------------------------------------------------------------

CASES = {
    "no queue": (sdk.MessagingEntityNotFoundError(message="x"), "infra/main.bicep", "reopened", 30),
    "no right": (sdk.ServiceBusAuthorizationError(message="x"), "", "reopened", 30),
    "no right, as a plain error": (sdk.ServiceBusError("x", condition=b"amqp:unauthorized-access"), "", "reopened", 30),
    "wrong key or identity": (sdk.ServiceBusAuthenticationError(message="x"), "", "reopened", 30),
    "busy": (sdk.ServiceBusServerBusyError(message="x"), "throttles", "later", 2),
    "full": (sdk.ServiceBusQuotaExceededError(message="x"), "is full", "no", 30),
    "disabled": (sdk.MessagingEntityDisabledError(message="x"), "is disabled", "reopened", 30),
    "no answer": (sdk.OperationTimeoutError(message="x"), "did not answer", "now", 5),
    "no answer, by our own limit": (TimeoutError(), "did not answer", "now", 5),
    "closed": (
        sdk.ServiceBusConnectionError(message="x", condition=b"amqp:unknown-error"),
        "without a reason",
        "now",
        5,
    ),
    "gone": (
        sdk.ServiceBusConnectionError(message="x", condition=b"amqp:socket-error"),
        "cannot be reached",
        "now",
        5,
    ),
    "no network": (OSError("no route to secret-name"), "cannot be reached", "now", 5),
    "no foresight": (ZeroDivisionError("secret"), "ZeroDivisionError", "now", 5),
}


@pytest.mark.parametrize("connection", [BY_KEY, BY_IDENTITY], ids=["key", "identity"])
@pytest.mark.parametrize("case", CASES)
def test_every_failure_is_a_sentence(case: str, connection: AzureConnection) -> None:
    error, words, again, after = CASES[case]
    found = trouble(error, connection, "poll-batches", "send")
    assert isinstance(found.error, Unavailable)
    assert words in found.error.detail
    assert (found.again, found.error.retry_after >= after) == (again, True)
    assert found.error.detail.endswith((".", "?"))
    assert found.error.advice == found.error.detail, "fit for strangers"
    for private in ("secret", "c2VjcmV0", "windows.net/"):
        assert private not in found.error.detail
    if "identity" in case or "no right" in case:
        assert ("Azure Service Bus Data Sender" in found.error.detail) is (connection is BY_IDENTITY)


def test_by_identity_the_sentence_names_setting_role_queue_and_template() -> None:
    error = sdk.ServiceBusAuthorizationError(message="x")
    said = trouble(error, BY_IDENTITY, "poll-batches", "send").error.detail
    for word in (
        "ServiceBusConnection__fullyQualifiedNamespace",
        '"Azure Service Bus Data Sender"',
        "poll-batches",
        "infra/main.bicep",
        "minutes",
    ):
        assert word in said
    said = trouble(error, BY_IDENTITY, "poll-batches", "receive").error.detail
    assert '"Azure Service Bus Data Receiver"' in said


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_sign_in_that_failed_speaks_for_itself(wrapped: bool) -> None:
    """Its sentence is made in ``shared/azure_identity.py``; the SDK wraps it into an error of its own."""
    inner = ClientAuthenticationError(message="The sign-in needs AZURE_CLIENT_ID.")
    error: Exception = sdk.ServiceBusError("Handler failed", error=inner) if wrapped else inner
    found = trouble(error, BY_IDENTITY, "poll-batches", "send")
    assert (found.error.detail, found.again) == ("The sign-in needs AZURE_CLIENT_ID.", "no")


def test_too_large_is_the_callers() -> None:
    assert isinstance(
        trouble(sdk.MessageSizeExceededError(message="x"), BY_KEY, "poll-batches", "send").error, InvalidInput
    )


# What is set ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"ServiceBusConnection__credential": "managedidentity"}, "__fullyQualifiedNamespace is missing"),
        ({"ServiceBusConnection": "my-namespace"}, "is no connection string"),
        ({"ServiceBusConnection": "Endpoint=sb://x/"}, "no usable connection string"),
        ({"ServiceBusConnection": "Endpoint=;SharedAccessKeyName=n;SharedAccessKey=c2VjcmV0"}, "no usable connection"),
    ],
)
async def test_half_set_is_said_in_every_call_and_never_before(environment: dict[str, str], words: str) -> None:
    connection = AzureConnections.from_environment(environment).service_bus
    queue = ServiceBusQueue(connection, AzureIdentity(), clock=SystemClock())
    for call in (
        queue.check(),
        queue.send("poll-batches", [Outgoing(b"x", "m")]),
        queue.receive("poll-batches", 1),
        queue.depth("poll-batches"),
        queue.dead_letters("poll-batches", 1),
        queue.redrive("poll-batches", 1),
    ):
        with pytest.raises(Unavailable, match=words) as caught:
            await call
        assert "c2VjcmV0" not in str(caught.value)
    await queue.close()


async def test_input_is_judged_before_anything_is_connected() -> None:
    queue = ServiceBusQueue(BY_IDENTITY, AzureIdentity(), clock=ManualClock(NOW))
    await queue.send("poll-batches", [])
    for call in (queue.send("nothing", []), queue.receive("poll-batches", 0), queue.depth("nothing")):
        with pytest.raises(InvalidInput):
            await call
    assert not queue.follows(queue)
    await queue.close()


def test_it_is_built_without_the_sdk() -> None:
    """Cold start: an app that indexes loads no Azure SDK."""
    code = (
        "import sys; from shared.messaging.service_bus import ServiceBusQueue as Q;"
        "from shared.azure_connections import AzureConnection as C;"
        "from shared.azure_identity import AzureIdentity as I;"
        "from shared.clock import SystemClock as S; Q(C('ServiceBusConnection', True), I(), clock=S());"
        "sys.exit(any(m.startswith(('azure', 'aiohttp')) for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
