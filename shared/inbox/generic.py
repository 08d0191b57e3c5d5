"""Senders without a platform of their own: Standard Webhooks if they sign; an event that anybody may subscribe to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared import json_text
from shared.clock import iso
from shared.errors import InvalidInput
from shared.events import Event, EventLog
from shared.events.catalogue import EXTERNAL, MACHINE, NONE
from shared.ids import digest_id
from shared.inbox.kinds import Look, SourceKeys, body_key
from shared.inbox.model import InboundMessage
from shared.inbox.signature import decode_secret, why_not_genuine
from shared.inbox.source import HookSource

__all__ = ["GenericKind"]

MAX_ID = 256

MAX_PAYLOAD_BYTES = 65_536
"""A larger body is not copied into the event: subscribers get the inbox id and fetch it."""


class GenericKind:
    """Publishes an ``EXTERNAL`` event with the body as its payload."""

    def __init__(self, events: EventLog) -> None:
        self._events = events

    def check(self, options: Mapping[str, Any], keys: SourceKeys) -> dict[str, Any]:
        """It has no options, and the signing secrets of Standard Webhooks."""
        if options:
            raise InvalidInput("The kind generic has no options.", field=f"options.{next(iter(options))}")
        if keys.credentials:
            raise InvalidInput("The kind generic does not sign in; its path is secret.", field="credentials")
        for secret in keys.signing:
            decode_secret(secret)
        return {}

    def look(self, source: HookSource, keys: SourceKeys, raw: bytes, headers: Mapping[str, str], now: datetime) -> Look:
        """The same when its ``webhook-id`` is."""
        reason = None
        for secret in keys.signing:
            reason = why_not_genuine(decode_secret(secret), headers, raw, now)
            if reason is None:
                break
        given = headers.get("webhook-id", "")
        key, within = (f"id:{given}", None) if 0 < len(given) <= MAX_ID else body_key(source, raw)
        return Look(
            "rejected" if reason else "verified" if keys.signing else "unsigned",
            reason,
            headers.get("webhook-event", "")[:100] or source.event_name,
            key,
            within,
            source.equipment_id,
        )

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
