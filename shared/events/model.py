"""An event: something that happened, told to whoever subscribed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.clock import iso, parse_iso

__all__ = ["Event"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    id: str
    """Deterministic where the cause is: publishing the same event twice tells nobody twice."""
    type: str
    """A name from the catalogue, e.g. ``ALERT_RAISED``."""
    timestamp: datetime
    """When it happened (not when it was sent)."""
    object_type: str = "NONE"
    """What it is about: ``MACHINE``, ``OPERATION``, ``WORKPLACE`` ..."""
    object_id: str | None = None
    """Which one: for ``MACHINE`` the equipment id."""
    name: str | None = None
    """A free name given by the sender (FORCE Bridge: ``eventName``)."""
    data: dict[str, Any] = field(default_factory=dict)
    """What a subscriber wants to know, JSON."""
    severity: str | None = None
    """``info``, ``warning`` or ``critical``, for filters."""
    site: str | None = None
    """The plant, for filters."""
    correlation_id: str | None = None
    """Ties the event to the call or poll that caused it; goes along to the last delivery attempt."""

    def to_document(self) -> dict[str, Any]:
        """The stored form, also the claim-check payload in deliveries. Absent parts are left out."""
        document: dict[str, Any] = {
            "eventId": self.id,
            "type": self.type,
            "ts": iso(self.timestamp),
            "objectType": self.object_type,
            "data": self.data,
        }
        for key, value in (
            ("objectId", self.object_id),
            ("name", self.name),
            ("severity", self.severity),
            ("site", self.site),
            ("correlationId", self.correlation_id),
        ):
            if value is not None:
                document[key] = value
        return document

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Event:
        """The event back from its stored form."""
        return cls(
            id=document["eventId"],
            type=document["type"],
            timestamp=parse_iso(document["ts"]),
            object_type=document.get("objectType", "NONE"),
            object_id=document.get("objectId"),
            name=document.get("name"),
            data=document.get("data", {}),
            severity=document.get("severity"),
            site=document.get("site"),
            correlation_id=document.get("correlationId"),
        )
