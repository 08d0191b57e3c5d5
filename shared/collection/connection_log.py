"""The connection log: transitions, failures, tests, and one summary an hour. Never an entry per success.

Ids are made of what they tell (``c:{time}:{kind}``), so writing an entry twice leaves one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from shared.clock import compact, day_of, iso, parse_iso
from shared.errors import Conflict
from shared.storage import Document, DocumentStore, In, Query, Range

__all__ = ["ConnectionLog", "EventType", "LogEntry", "LogPage"]

CONTAINER = "connectionLogs"

LONGEST_DAYS = 100
"""The store's limit of values in one ``In``; retention is shorter."""

EventType = Literal[
    "connected",
    "connection_lost",
    "poll_failed",
    "connection_test",
    "hourly_summary",
    "batch_import_failed",
    "batch_import_restored",
]


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of the connection log, with the implementation guide's fields."""

    event_type: EventType
    event_time: datetime
    connection_status: str
    error_message: str | None = None
    error_code: str | None = None
    response_time_ms: float | None = None
    """In a summary: the mean."""
    data_points_received: int | None = None
    """How many signals had a value; in a summary: how many polls succeeded."""
    summary: dict[str, Any] | None = None
    """``polls``, ``failures``, ``min_response_time_ms``, ``avg_...``, ``max_...`` of one hour."""

    def to_document(self, equipment_id: str) -> Document:
        """The stored form; absent parts are left out."""
        document: Document = {
            "id": f"c:{compact(self.event_time)}:{self.event_type}",
            "equipmentId": equipment_id,
            "day": day_of(self.event_time),
            "ts": iso(self.event_time),
            "eventType": self.event_type,
            "connectionStatus": self.connection_status,
        }
        rest = {
            "errorMessage": self.error_message,
            "errorCode": self.error_code,
            "responseTimeMs": self.response_time_ms,
            "dataPointsReceived": self.data_points_received,
            "summary": self.summary,
        }
        return document | {key: value for key, value in rest.items() if value is not None}

    @classmethod
    def from_document(cls, document: Document) -> LogEntry:
        """The entry back from its stored form."""
        return cls(
            event_type=document["eventType"],
            event_time=parse_iso(document["ts"]),
            connection_status=document["connectionStatus"],
            error_message=document.get("errorMessage"),
            error_code=document.get("errorCode"),
            response_time_ms=document.get("responseTimeMs"),
            data_points_received=document.get("dataPointsReceived"),
            summary=document.get("summary"),
        )


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some entries, newest first."""

    entries: Sequence[LogEntry]
    continuation: str | None


@dataclass(frozen=True, slots=True)
class ConnectionLog:
    """Writing and reading it."""

    store: DocumentStore

    async def write(self, equipment_id: str, entry: LogEntry) -> bool:
        """Durable when it returns; ``False``: it stood there already."""
        try:
            await self.store.create(CONTAINER, entry.to_document(equipment_id))
        except Conflict:
            return False
        return True

    async def page(
        self, equipment_id: str, start: datetime, end: datetime, limit: int, continuation: str | None
    ) -> LogPage:
        """Entries with ``start <= time < end``, newest first.

        Raises:
            InvalidInput: the continuation is not ours.
        """
        days = _days(start, end)
        if not days:
            return LogPage((), None)
        page = await self.store.query(
            CONTAINER,
            Query(
                (In("day", days), Range("ts", ge=iso(start), lt=iso(end))),
                order_by="ts",
                descending=True,
                limit=limit,
                continuation=continuation,
            ),
            partition=(equipment_id,),
        )
        return LogPage([LogEntry.from_document(item.document) for item in page.items], page.continuation)


def _days(start: datetime, end: datetime) -> tuple[str, ...]:
    """The UTC days that the span touches; of a very long one the latest."""
    if start >= end:
        return ()
    span = min((end.date() - start.date()).days, LONGEST_DAYS - 1)
    return tuple(day_of(end - timedelta(days=back)) for back in range(span, -1, -1))
