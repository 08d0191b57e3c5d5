"""Notifications in the inbox, posted by FORCE Bridge or fetched from a broker: what each of them leads to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.clock import iso
from shared.errors import InvalidInput
from shared.events import Event, EventLog
from shared.events.catalogue import EXTERNAL
from shared.ids import digest_id
from shared.inbox.kinds import Look, SourceKeys, signed_in
from shared.inbox.model import InboundMessage
from shared.inbox.source import HookSource
from shared.platforms.force_bridge.marks import Marks
from shared.platforms.force_bridge.received import Notified, properties_of, same_notification

__all__ = ["FETCHED", "POSTED", "Applied", "Effects", "NotificationKind"]

FETCHED = "force_bridge_mqtt"
POSTED = "force_bridge"
MAX_PAYLOAD_BYTES = 65_536

log = logging.getLogger("ovenbridge.force_bridge")


class SourceOptions(BaseModel):
    """Of a hook source whose sender is FORCE Bridge."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    connection: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}$",
        description="The connection to the same server: says which workplace is which machine, and where to look up.",
    )


@dataclass(frozen=True, slots=True)
class Applied:
    """What a notification changed here."""

    equipment_id: str | None = None
    work_order_id: str | None = None
    facts: Mapping[str, str] | None = None
    """Of the machine, as they are now."""


class Effects(Protocol):
    """What notifications do to machines."""

    async def apply(self, connection_id: str, said: Notified, received_at: datetime) -> Applied:
        """Idempotent. Raises ``OvenbridgeError``: not now."""
        ...


class NotificationKind:
    """Publishes an ``EXTERNAL`` event that says what FORCE Bridge said, and keeps the machine's context.

    Late ones are left without effect. A person's replay is a new happening: it is told, whatever came since.
    """

    def __init__(self, events: EventLog, marks: Marks, effects: Callable[[], Effects], *, name: str = POSTED) -> None:
        """``name``: of the kind; :data:`FETCHED` for those that wait at a broker."""
        self._events = events
        self._marks = marks
        self._effects = effects
        self._name = name

    def check(self, options: Mapping[str, Any], keys: SourceKeys) -> dict[str, Any]:
        """FORCE Bridge signs nothing; it can sign in (Basic). For a broker that stands in ``broker``."""
        if keys.signing:
            raise InvalidInput(
                "FORCE Bridge signs nothing: its path is secret, and it can sign in with `credentials`.",
                field="signing_secret",
            )
        if keys.credentials and self._name == FETCHED:
            raise InvalidInput(
                f"Messages of the kind {FETCHED} are fetched: user name and password stand in `broker`.",
                field="credentials",
            )
        try:
            read = SourceOptions.model_validate(dict(options))
        except ValidationError as err:
            first = err.errors(include_url=False, include_input=False, include_context=False)[0]
            name = ".".join(str(part)[:100] for part in first["loc"])
            raise InvalidInput(f"options.{name}: {first['msg']}", field=f"options.{name}") from err
        return read.model_dump(exclude_none=True)

    def look(self, source: HookSource, keys: SourceKeys, raw: bytes, headers: Mapping[str, str], now: datetime) -> Look:
        """The same by what makes a notification the same one."""
        key, event = same_notification(raw)
        said = Notified.read(raw)
        reason = signed_in(keys, headers)
        return Look(
            "rejected" if reason is not None else "verified" if keys.credentials else "unsigned",
            reason,
            event,
            key,
            None,
            source.equipment_id,
            None if said is None else said.work_order_id,
        )

    async def handle(self, source: HookSource, message: InboundMessage) -> dict[str, Any]:
        """Idempotent: the event's id follows from the message (and how often a person had it replayed).

        Raises:
            InvalidInput: it is no notification.
        """
        said = Notified.read(message.raw)
        if said is None:
            raise InvalidInput("This is no FORCE Bridge notification: there is no object `properties` in it.")
        connection = source.options.get("connection")
        if not message.replays:
            late = await self._marks.why_late(f"connection:{connection}" if connection else source.id, message.id, said)
            if late is not None:
                return {"ignored": late}
        applied = Applied(source.equipment_id, said.work_order_id)
        if connection is not None:
            found = await self._effects().apply(connection, said, message.received_at)
            applied = Applied(
                found.equipment_id or source.equipment_id, found.work_order_id or said.work_order_id, found.facts
            )
        event = self._event(source, message, said)
        effect: dict[str, Any] = {
            "eventId": event.id,
            "eventType": event.type,
            "targets": await self._events.publish(event),
        }
        more = {"equipment_id": applied.equipment_id, "work_order_id": applied.work_order_id, "context": applied.facts}
        return effect | {name: value for name, value in more.items() if value}

    def _event(self, source: HookSource, message: InboundMessage, said: Notified) -> Event:
        return Event(
            id=digest_id(message.id, str(message.replays)),
            type=EXTERNAL,
            timestamp=said.at or message.received_at,
            object_type=said.object_type,
            object_id=said.object_id,
            name=source.event_name or said.event_name or message.event or source.id,
            data={
                "source": source.id,
                "event": message.event,
                "verdict": message.verdict,
                "received_at": iso(message.received_at),
                "inbox_id": message.id,
                "topic": message.headers.get("mqtt-topic"),
                "payload": properties_of(message.raw) if len(message.raw) <= MAX_PAYLOAD_BYTES else None,
            },
            correlation_id=message.correlation_id,
        )
