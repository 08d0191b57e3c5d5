"""A notification as it came: what is in it, what makes it the same one, and which of two is the newer. Pure.

Fields are spelled in two ways: the chapter writes ``currentOperationPhase``, their own client's model
``currentOperationPhaseId``; both are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from shared import json_text
from shared.clock import parse_iso
from shared.errors import InvalidInput
from shared.events.catalogue import NONE
from shared.ids import digest_id

__all__ = ["PHASE_CHANGED", "STATE_CHANGED", "Notified", "properties_of", "same_notification"]

PHASE_CHANGED = "OPERATION_PHASE_CHANGED"
STATE_CHANGED = "WORKPLACE_OPERATING_STATE_CHANGED"
SHIFT_CHANGED = "WORKPLACE_SHIFT_CHANGED"
MAX_TEXT = 100
_PARTS = ("callbackId", "timestamp", "eventType", "objectType", "objectId", "data")
"""What makes a notification the same one: it has no id."""


@dataclass(frozen=True, slots=True)
class Notified:
    """What a notification says, as far as it says it."""

    event_type: str | None
    object_type: str
    object_id: str | None
    event_name: str | None
    at: datetime | None
    """When it happened."""
    data: Mapping[str, Any] = field(hash=False)
    content: str
    """A digest of what it says beside its time and the registration it came by."""

    @classmethod
    def read(cls, raw: bytes) -> Notified | None:
        """``None``: it is none."""
        said = properties_of(raw)
        if said is None:
            return None
        data = said.get("data")
        about = [said.get(part) for part in ("eventType", "objectType", "objectId", "data")]
        return cls(
            event_type=text(said.get("eventType")),
            object_type=text(said.get("objectType")) or NONE,
            object_id=text(said.get("objectId")),
            event_name=text(said.get("eventName")),
            at=moment(said.get("timestamp")),
            data=data if isinstance(data, dict) else {},
            content=digest_id(json_text.canonical(about)),
        )

    @property
    def subject(self) -> str:
        """What its order is kept for: per object type, object and event type."""
        return digest_id(self.object_type, self.object_id or "", self.event_type or "")

    @property
    def workplace_id(self) -> str | None:
        """Which workplace it is about, where it says so."""
        own = text(self.data.get("workplaceId"))
        return own or (self.object_id if self.object_type == "WORKPLACE" else None)

    @property
    def operation_id(self) -> str | None:
        """Which operation it is about, where it says so."""
        return text(self.data.get("operationId")) or (self.object_id if self.object_type == "OPERATION" else None)

    @property
    def work_order_id(self) -> str | None:
        """Of the production order, where it says so."""
        own = text(self.data.get("productionOrderId"))
        return own or (self.object_id if self.object_type == "PRODUCTION_ORDER" else None)

    def spelled(self, name: str) -> str | None:
        """``currentOperationPhase``, written with ``Id`` or without; an object gives its ``id``."""
        for key in (name, f"{name}Id"):
            value = self.data.get(key)
            found = text(value.get("id")) if isinstance(value, dict) else text(value)
            if found is not None:
                return found
        return None

    @property
    def state(self) -> str | None:
        """The workplace's state: ``PRODUCTION`` or ``DOWNTIME``, or another one of a newer server."""
        detail = self.data.get("currentOperatingState")
        inner = text(detail.get("workplaceStateId")) if isinstance(detail, dict) else None
        return self.spelled("currentWorkplaceState") or inner

    @property
    def state_detail(self) -> str | None:
        """The operating state in its own words."""
        detail = self.data.get("currentOperatingState")
        if not isinstance(detail, dict):
            return None
        return text(detail.get("description")) or text(detail.get("code"))

    @property
    def ends(self) -> tuple[str | None, str | None]:
        """Before and after, of what changed: which of two with one time came first."""
        if self.event_type == PHASE_CHANGED:
            return self.spelled("previousOperationPhase"), self.spelled("currentOperationPhase")
        before, after = (self.data.get(f"{which}OperatingState") for which in ("previous", "current"))
        if isinstance(before, dict) and isinstance(after, dict):
            return text(before.get("id")), text(after.get("id"))
        return self.spelled("previousWorkplaceState"), self.state


def same_notification(raw: bytes) -> tuple[str, str | None]:
    """What makes it the same when it comes again, and what it calls itself."""
    said = properties_of(raw)
    if said is None:
        return f"body:{digest_id(raw)}", None
    identity = json_text.canonical([said.get(part) for part in _PARTS])
    return f"notification:{digest_id(identity)}", text(said.get("eventType"))


def properties_of(raw: bytes) -> dict[str, Any] | None:
    """The object ``properties``; ``None``: it is no notification."""
    try:
        document = json_text.load_foreign(raw)
    except InvalidInput:
        return None
    said = document.get("properties") if isinstance(document, dict) else None
    return said if isinstance(said, dict) else None


def text(value: Any) -> str | None:
    """A text of use."""
    return value[:MAX_TEXT] if isinstance(value, str) and value else None


def moment(value: Any) -> datetime | None:
    """A time."""
    try:
        found = parse_iso(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found
