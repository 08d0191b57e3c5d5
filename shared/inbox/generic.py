"""What a message of a source without a platform of its own leads to: an event that anybody may subscribe to."""

from __future__ import annotations

from typing import Any

from shared import json_text
from shared.clock import iso
from shared.errors import InvalidInput
from shared.events import Event, EventLog
from shared.events.catalogue import EXTERNAL, MACHINE, NONE
from shared.ids import digest_id
from shared.inbox.model import InboundMessage
from shared.inbox.sources import HookSource

__all__ = ["GenericEffect"]

MAX_PAYLOAD_BYTES = 65_536
"""A larger body is not copied into the event: subscribers get the inbox id and fetch it."""


class GenericEffect:
    """Publishes an ``EXTERNAL`` event with the body as its payload."""

    def __init__(self, events: EventLog) -> None:
        self._events = events

    async def handle(self, source: HookSource, message: InboundMessage) -> dict[str, Any]:
        """Idempotent: the event's id follows from the message (and how often a person had it replayed)."""
        event = Event(
            id=digest_id(message.id, str(message.replays)),
            type=EXTERNAL,
            timestamp=message.received_at,
            object_type=MACHINE if source.equipment_id else NONE,
            object_id=source.equipment_id,
            name=source.event_name or source.id,
            data={
                "source": source.id,
                "event": message.event,
                "verdict": message.verdict,
                "received_at": iso(message.received_at),
                "inbox_id": message.id,
                **_payload(message),
            },
            correlation_id=message.correlation_id,
        )
        targets = await self._events.publish(event)
        return {"eventId": event.id, "eventType": event.type, "targets": targets}


def _payload(message: InboundMessage) -> dict[str, Any]:
    if len(message.raw) > MAX_PAYLOAD_BYTES:
        return {"payload": None, "payload_omitted": f"{len(message.raw)} bytes: fetch it by inbox_id"}
    try:
        return {"payload": json_text.load_foreign(message.raw)}
    except InvalidInput:
        return {"payload": message.raw.decode("utf-8", "replace")}
