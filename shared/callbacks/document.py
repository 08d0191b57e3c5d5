"""A delivery: one event for one callback. Its document, its ids, and the queue message that wakes it.

The store is the authority, the queue only wakes. ``attempt`` counts tries over the whole life of the delivery, replays
included, so that no two messages ever share an id: the queue would swallow the second one as a duplicate, and the
delivery would wait for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from shared import json_text
from shared.clock import iso, parse_iso
from shared.errors import InvalidInput, NotFound
from shared.ids import digest_id
from shared.messaging import Outgoing
from shared.storage import Document, PatchOperation, SetPath
from shared.tracing import properties

__all__ = [
    "CONFIRMED",
    "CONTAINER",
    "DISCARDED",
    "OPEN",
    "PENDING",
    "QUEUE",
    "RETRYING",
    "Wake",
    "confirmed",
    "delivery_id",
    "discarded",
    "due_at",
    "failed",
    "first_wakes",
    "logged",
    "new_delivery",
    "only_missing",
    "parse_delivery_id",
    "parse_wakes",
    "put_off",
    "replayed",
    "wake",
]

CONTAINER = "deliveries"
QUEUE = "callback-deliveries"

PENDING = "pending"
"""Waits for its first answer."""
RETRYING = "retrying"
"""Failed at least once and is tried again: an unconfirmed notification. A status of its own, so that those of one
callback are found by an index."""
CONFIRMED = "confirmed"
DISCARDED = "discarded"
OPEN = (PENDING, RETRYING)

MAX_LOGGED_ATTEMPTS = 20
"""So many of the latest tries stand in the document."""


FIRST_TOGETHER = 8
"""First attempts of one event that one message wakes: they were written together and are due together. From the second
attempt on every delivery has messages of its own."""


class Wake(NamedTuple):
    """What a queue message says: look at this delivery, it should be at this attempt."""

    callback_id: str
    document_id: str
    attempt: int


def new_delivery(
    callback_id: str,
    event: dict[str, Any],
    moment: str,
    correlation: str | None = None,
    traceparent: str | None = None,
) -> Document:
    """The document of a new delivery, made at ``moment`` (ISO). ``event`` is its stored form (claim check).

    ``traceparent`` stays with it, so that an attempt an hour later is still part of what caused it.
    """
    return {
        "correlationId": event.get("correlationId", correlation),
        "traceparent": traceparent,
        "id": f"d:{event['eventId']}",
        "callbackId": callback_id,
        "status": PENDING,
        "eventType": event["type"],
        "createdAt": moment,
        "nextAttemptAt": moment,
        "attempt": 0,
        "firstAttempt": 0,
        "attempts": [],
        "event": event,
    }


def delivery_id(callback_id: str, document_id: str) -> str:
    """One name for both: the id of the API, and the ``webhook-id`` that a receiver sees."""
    return f"{callback_id}-{document_id[2:]}"


def parse_delivery_id(text: str) -> tuple[str, str]:
    """Callback id and document id.

    Raises:
        NotFound: it names no delivery.
    """
    callback_id, dash, event_id = text[:32], text[32:33], text[33:]
    if dash != "-" or not event_id or not callback_id.isalnum() or len(text) > 280 or any(c in "/\\?#" for c in text):
        raise NotFound("There is no such delivery; its id is the `webhook-id` of the notification.")
    return callback_id, f"d:{event_id}"


def wake(document: Document, attempt: int, *, at: datetime | None = None, suffix: str = "") -> Outgoing:
    """The message for an attempt.

    ``suffix`` makes it a message of its own where the plain one may have been seen: without it a repair that happens
    twice stays one message, with it the message is certain to come.
    """
    callback_id, document_id = document["callbackId"], document["id"]
    body = {"callbackId": callback_id, "deliveryId": document_id, "attempt": attempt}
    message_id = f"{digest_id(callback_id, document_id)}:{attempt}{':' if suffix else ''}{suffix}"
    trace = properties(document.get("traceparent"))
    return Outgoing(json_text.dump(body), message_id, at, document.get("correlationId"), trace)


def first_wakes(documents: Sequence[Document]) -> list[Outgoing]:
    """The messages for the first attempts of new deliveries of one event."""
    messages = []
    for start in range(0, len(documents), FIRST_TOGETHER):
        some = documents[start : start + FIRST_TOGETHER]
        document_id = some[0]["id"]
        callback_ids = [document["callbackId"] for document in some]
        body = {"deliveryId": document_id, "callbackIds": callback_ids}
        message_id = f"{digest_id(document_id, *callback_ids)}:first"
        trace = properties(some[0].get("traceparent"))
        messages.append(Outgoing(json_text.dump(body), message_id, None, some[0].get("correlationId"), trace))
    return messages


def parse_wakes(body: bytes) -> list[Wake]:
    """Read a message: for one delivery, or for the first attempts of several.

    Raises:
        InvalidInput: it is none of ours (a poison message goes to the dead letters).
    """
    try:
        said = json_text.load(body)
        document_id = said["deliveryId"]
        if "callbackIds" in said:
            wakes = [Wake(callback_id, document_id, 0) for callback_id in said["callbackIds"]]
        else:
            wakes = [Wake(said["callbackId"], document_id, said["attempt"])]
    except (ValueError, KeyError, TypeError) as err:
        raise InvalidInput("A message of the delivery queue cannot be read; look at the dead letters.") from err
    for found in wakes:
        if type(found.callback_id) is not str or type(document_id) is not str or type(found.attempt) is not int:
            raise InvalidInput("A message of the delivery queue names no delivery; look at the dead letters.")
    return wakes


# What is written when something has happened. ``nextAttemptAt`` stays as null, so that a range never finds it.


_IS_CONFIRMED = SetPath("status", CONFIRMED)
_NEVER_DUE = SetPath("nextAttemptAt", None)


def confirmed(document: Document, tried: dict[str, Any]) -> Sequence[PatchOperation]:
    """A receiver said yes. Unconditional: whatever stands there, it has arrived. When, its last try says."""
    operations = [_IS_CONFIRMED, _NEVER_DUE, SetPath("attempts", logged(document, tried))]
    if "discardReason" in document or document["status"] != PENDING:
        # It may have been dropped as the oldest while it was under way.
        operations += (SetPath("discardReason", None), SetPath("discardDetail", None), SetPath("doneAt", None))
    return operations


def failed(document: Document, tried: dict[str, Any], next_at: datetime) -> Sequence[PatchOperation]:
    """A try failed and another one follows."""
    return (
        SetPath("status", RETRYING),
        SetPath("attempt", document["attempt"] + 1),
        SetPath("nextAttemptAt", iso(next_at)),
        SetPath("attempts", logged(document, tried)),
    )


def discarded(reason: str, detail: str, now: datetime) -> Sequence[PatchOperation]:
    """Given up: a word for programs and a sentence for people."""
    return (
        SetPath("status", DISCARDED),
        _NEVER_DUE,
        SetPath("doneAt", iso(now)),
        SetPath("discardReason", reason),
        SetPath("discardDetail", detail),
    )


def put_off(until: datetime) -> Sequence[PatchOperation]:
    """Not now: the same attempt later."""
    return (SetPath("nextAttemptAt", iso(until)),)


def replayed(document: Document, now: datetime) -> tuple[int, Sequence[PatchOperation]]:
    """Begin a fresh series of tries; the number of its first."""
    attempt = document["attempt"] + 1
    return attempt, (
        SetPath("status", PENDING),
        SetPath("attempt", attempt),
        SetPath("firstAttempt", attempt),
        SetPath("nextAttemptAt", iso(now)),
        SetPath("replayedAt", iso(now)),
        SetPath("discardReason", None),
        SetPath("discardDetail", None),
        SetPath("doneAt", None),
    )


def due_at(document: Document) -> datetime:
    """When its next attempt is due."""
    return parse_iso(document["nextAttemptAt"])


def only_missing(document: Document, tried: dict[str, Any]) -> bool:
    """Were all the tries that the document knows of answered 404?"""
    return all(one.get("status") == 404 for one in logged(document, tried))


def logged(document: Document, tried: dict[str, Any]) -> list[dict[str, Any]]:
    """The tries that stand in the document, with one more."""
    return [*document["attempts"][-(MAX_LOGGED_ATTEMPTS - 1) :], tried]
