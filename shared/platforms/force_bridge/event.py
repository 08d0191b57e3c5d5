"""``POST events``: events that an application sends itself (chapter 3.2.4)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.events import Event
from shared.events.catalogue import EXTERNAL, NONE
from shared.ids import digest_id, new_id
from shared.platforms.force_bridge.catalogue import EXTERNAL_OBJECT_TYPES

__all__ = ["ExternalEvent", "event_id"]


class ExternalEvent(BaseModel):
    """An event that somebody outside tells of."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    event_type: str = Field(alias="eventType", max_length=100)
    data: dict[str, Any] | None = None
    event_name: str | None = Field(None, alias="eventName", max_length=255)
    object_id: str | None = Field(None, alias="objectId", max_length=256)
    object_type: str | None = Field(None, alias="objectType", max_length=100)
    timestamp: datetime | None = None

    @field_validator("event_type")
    @classmethod
    def _external(cls, value: str) -> str:
        if value != EXTERNAL:
            raise ValueError("the event type of an event you send is always EXTERNAL")
        return value

    @field_validator("object_type")
    @classmethod
    def _an_object_type(cls, value: str | None) -> str | None:
        if value in (None, "", NONE):
            return None
        if value not in EXTERNAL_OBJECT_TYPES:
            raise ValueError(f"use {', '.join(EXTERNAL_OBJECT_TYPES)}, or leave it empty")
        return value

    @field_validator("timestamp", mode="before")
    @classmethod
    def _iso_text(cls, value: object) -> object:
        if value == "":
            return None
        if value is not None and not isinstance(value, str):
            raise ValueError("write an ISO 8601 time such as 2026-11-21T10:30:00.000Z")
        return value

    def event(self, id: str, now: datetime, correlation: str) -> Event:
        """What happened. Without a time of its own it happened now."""
        moment = self.timestamp or now
        return Event(
            id=id,
            type=EXTERNAL,
            timestamp=moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC),
            object_type=self.object_type or NONE,
            object_id=self.object_id or None,
            name=self.event_name or None,
            data=self.data or {},
            correlation_id=correlation,
        )


def event_id(caller: str, key: str | None) -> str:
    """A fresh id; with an ``idempotency-key`` the same one for the same caller and key."""
    return new_id() if key is None else digest_id("idempotency-key", caller, key).upper()
