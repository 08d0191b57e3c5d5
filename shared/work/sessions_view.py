"""A session or call as the API shows it: a line in a list, and everything about one."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from shared.clock import iso
from shared.storage import Document
from shared.work.sessions_fields import RECORD_FIELDS

__all__ = ["record_details", "record_line"]

_LINE = {
    "id": "id",
    **RECORD_FIELDS,
    "connection": "account",
    "ended": "ended",
    "recorded_at": "firstSeenAt",
    "as_of": "asOf",
    "gone_at": "goneAt",
}
_CAPTURE = {
    "id": "id",
    "external_id": "externalId",
    "kind": "kind",
    "step": "step",
    "taken_at": "takenAt",
    "status": "status",
    "reason": "reason",
    "content_type": "contentType",
    "bytes": "bytes",
    "sha256": "sha256",
    "copied_at": "copiedAt",
}


def record_line(record: Document) -> dict[str, Any]:
    """One line of a list. Every field is there; what is not known is null."""
    captures = record.get("captures", [])
    return {
        **{name: record.get(key) for name, key in _LINE.items()},
        "captures_count": len(captures),
        "captures_copied": sum(one["status"] == "copied" for one in captures),
        "complete": not record.get("gaps"),
    }


def record_details(record: Document, now: datetime) -> dict[str, Any]:
    """Everything about one. ``platform_data`` is what the platform wrote, without addresses of files."""
    return {
        **record_line(record),
        "details": record.get("details", {}),
        "external_data": record.get("externalData"),
        "steps": record.get("steps", []),
        "events": record.get("happenings", []),
        "captures": [_capture(record, one) for one in record.get("captures", [])],
        "gaps": record.get("gaps", []),
        "readings": record.get("readings"),
        "readings_url": _readings_url(record, now),
        "platform_data": record.get("told", {}),
    }


def _capture(record: Document, capture: Document) -> dict[str, Any]:
    copied = capture["status"] == "copied"
    address = f"/api/v1/sessions/{record['id']}/captures/{capture['id']}"
    return {**{name: capture.get(key) for name, key in _CAPTURE.items()}, "url": address if copied else None}


def _readings_url(record: Document, now: datetime) -> str | None:
    """Where all readings of the oven meanwhile are; ``None``: no registered oven, or nobody knows since when."""
    if record.get("equipmentName") is None or record.get("startedAt") is None:
        return None
    query = urlencode({"start": record["startedAt"], "end": record.get("endedAt") or iso(now)})
    return f"/api/v1/equipment/{quote(record['equipmentId'])}/sensor-history?{query}"
