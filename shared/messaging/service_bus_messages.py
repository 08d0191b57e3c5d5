"""Messages between our form and the SDK's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from shared.clock import iso, parse_iso
from shared.messaging.port import DeadLetter, Outgoing, Received

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage

__all__ = ["dead_letter", "dead_letter_words", "enqueued_at", "fresh_id", "outgoing", "received", "to_sdk", "weight"]

REASON, DESCRIPTION = "DeadLetterReason", "DeadLetterErrorDescription"
_BY_SERVICE = frozenset({"MaxDeliveryCountExceeded", "TTLExpiredException"})
"""Reasons that the service itself gives; all others come from a receiver."""

MOST_REASON = 1_024
"""Characters of a reason that are kept."""


def to_sdk(message: Outgoing) -> ServiceBusMessage:
    """For sending."""
    from azure.servicebus import ServiceBusMessage

    at = message.at
    if at is not None and at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    properties: dict[str | bytes, Any] = dict(message.properties.items())
    return ServiceBusMessage(
        message.body,
        message_id=message.message_id,
        correlation_id=message.correlation_id,
        scheduled_enqueue_time_utc=at,
        application_properties=properties,
    )


def weight(message: Outgoing) -> int:
    """At most so many bytes in a batch: the body, and generously what stands around it."""
    texts = [message.message_id, message.correlation_id or ""]
    texts += [text for pair in message.properties.items() for text in pair]
    return len(message.body) + 256 + sum(4 * len(text) + 8 for text in texts)


def received(message: ServiceBusReceivedMessage, lock_token: str, *, deliveries: int | None = None) -> Received:
    """As our hosts see it."""
    return Received(
        body=_body(message),
        message_id=str(message.message_id or ""),
        sequence_number=int(message.sequence_number or 0),
        delivery_count=(message.delivery_count or 0) + 1 if deliveries is None else deliveries,
        enqueued_at=enqueued_at(message),
        correlation_id=None if message.correlation_id is None else str(message.correlation_id),
        properties=_properties(message),
        lock_token=lock_token,
    )


def dead_letter(message: ServiceBusReceivedMessage) -> DeadLetter:
    """A message that was given up, as it was peeked.

    The service counts deliveries that failed. One in which the receiver gave the message up is not among them.
    """
    reason = str(message.dead_letter_reason or "")
    failed = message.delivery_count or 0
    deliveries = failed if reason in _BY_SERVICE else failed + 1
    return DeadLetter(received(message, "", deliveries=deliveries), reason, _dead_at(message))


def dead_letter_words(reason: str, now: datetime) -> dict[str, str]:
    """The arguments of the SDK's ``dead_letter_message``. The service keeps no time, so we write it down."""
    return {"reason": reason[:MOST_REASON], "error_description": iso(now)}


def _dead_at(message: ServiceBusReceivedMessage) -> datetime | None:
    try:
        return parse_iso(str(message.dead_letter_error_description or ""))
    except ValueError:
        return None  # the service gave it up, and tells no time


def outgoing(message: ServiceBusReceivedMessage) -> Outgoing:
    """A dead letter, to be sent again under a fresh id."""
    correlation = None if message.correlation_id is None else str(message.correlation_id)
    return Outgoing(_body(message), fresh_id(message), correlation_id=correlation, properties=_properties(message))


def fresh_id(message: ServiceBusReceivedMessage) -> str:
    """An id that was not used yet, and the same one again if sending this dead letter again is repeated."""
    return f"redriven:{message.sequence_number}:{str(message.message_id or '')[:90]}"


def _body(message: ServiceBusReceivedMessage) -> bytes:
    body: Any = message.body
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):  # a foreign sender's AMQP value
        return body.encode()
    parts: Sequence[Any] = tuple(body)
    return b"".join(part if isinstance(part, bytes) else str(part).encode() for part in parts)


def _properties(message: ServiceBusReceivedMessage) -> Mapping[str, str]:
    found: Mapping[Any, Any] = message.application_properties or {}
    texts = {_text(key): _text(value) for key, value in found.items()}
    return {key: value for key, value in texts.items() if key not in {REASON, DESCRIPTION}}


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def enqueued_at(message: ServiceBusReceivedMessage) -> datetime:
    """When the queue took it, or when it became due."""
    moment = message.enqueued_time_utc
    if moment is None:  # only where no broker was between
        return datetime(1970, 1, 1, tzinfo=UTC)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
