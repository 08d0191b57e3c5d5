"""Alerts in the store: changing one safely, telling what it owes, and finding some."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shared.alerts.lifecycle import alert_id
from shared.clock import parse_iso
from shared.errors import Conflict, NotFound, OvenbridgeError, PreconditionFailed, Unavailable
from shared.events import Event, EventLog
from shared.events.catalogue import ALERT_RESOLVED, MACHINE
from shared.ids import digest_id
from shared.storage import Condition, Document, DocumentStore, In, IsDefined, Page, Query, Range, Stored, every

__all__ = ["AlertRecords", "Change"]

CONTAINER = "alerts"
MAX_TRIES = 20

log = logging.getLogger("ovenbridge.alerts")

Change = Callable[[Document], Document]
"""Answers with the very document it was given when there is nothing to change."""


@dataclass(frozen=True, slots=True)
class AlertRecords:
    """The alerts, one document each, partitioned by machine."""

    store: DocumentStore
    events: EventLog
    base_url: str

    async def read(self, equipment_id: str, document_id: str) -> Stored:
        """One alert. Raises ``NotFound``."""
        try:
            return await self.store.read(CONTAINER, (equipment_id,), document_id)
        except NotFound as err:
            raise NotFound(f"There is no alert {alert_id(equipment_id, document_id)}.") from err

    async def open(self, alert: Document) -> None:
        """Store a new alert and tell of it; it may be there already."""
        try:
            await self.store.create(CONTAINER, alert)
        except Conflict:
            log.info("Alert %s was opened before; going on from there.", alert["id"])
        await self.tell(alert["equipmentId"], alert["id"])

    async def change(self, equipment_id: str, document_id: str, change: Change) -> Document:
        """Apply a change to the newest version, and tell what it owes. Raises ``NotFound`` and what ``change`` does."""
        for _ in range(MAX_TRIES):
            stored = await self.read(equipment_id, document_id)
            changed = change(stored.document)
            if changed is stored.document:
                return changed
            try:
                await self.store.replace(CONTAINER, changed, etag=stored.etag)
            except PreconditionFailed:
                continue
            await self.tell(equipment_id, document_id)
            return changed
        raise Unavailable("Too many others change this alert at once. Try again.", retry_after=1.0)

    async def tell(self, equipment_id: str, document_id: str) -> bool:
        """Publish what the alert owes and take the marks off. What cannot be told now keeps its mark.

        Returns whether nothing is left.
        """
        told: set[str] = set()
        for _ in range(MAX_TRIES):
            stored = await self.read(equipment_id, document_id)
            marks = [m for m in stored.document.get("unpublished", []) if m["key"] not in told]
            try:
                for mark in marks:
                    await self.events.publish(self._event(stored.document, mark))
                    told.add(mark["key"])
            except OvenbridgeError as error:
                log.warning("Telling of alert %s failed and will be repeated: %s", document_id, error.detail)
                return False
            if "unpublished" not in stored.document:
                return True
            try:
                rest = {k: v for k, v in stored.document.items() if k != "unpublished"}
                await self.store.replace(CONTAINER, rest, etag=stored.etag)
                return True
            except PreconditionFailed:
                continue
        return False

    def _event(self, alert: Document, mark: dict[str, Any]) -> Event:
        """The event of a mark: the same id and data whenever it is told."""
        api_id = alert_id(alert["equipmentId"], alert["id"])
        data: dict[str, Any] = {
            "alert_id": api_id,
            "equipment_id": alert["equipmentId"],
            "equipment_name": alert["equipmentName"],
            "alert_type": alert["alertType"],
            "severity": alert["severity"],
            "status": mark["status"],
            "message": alert["message"],
            "signal": alert["signal"],
            "value": alert["value"],
            "compared_value": alert.get("compared"),
            "unit": alert["unit"],
            "limit": alert["limit"],
            "triggered_at": alert["triggeredAt"],
            "url": f"{self.base_url}/api/v1/alerts/{api_id}",
        }
        data.update({k: mark[k] for k in ("by", "comment", "shelved_until") if k in mark})
        if mark["type"] == ALERT_RESOLVED:
            data |= {"resolved_at": alert["resolvedAt"], "duration_seconds": alert["durationSeconds"]}
        return Event(
            id=digest_id(api_id, mark["key"]).upper(),
            type=mark["type"],
            timestamp=parse_iso(mark["at"]),
            object_type=MACHINE,
            object_id=alert["equipmentId"],
            name=alert["ruleName"],
            data=data,
            severity=alert["severity"],
            site=alert["site"],
            correlation_id=alert["correlationId"],
        )

    # Finding some ----------------------------------------------------------------------------------------------------

    async def page(self, equipment_id: str, where: Sequence[Condition], limit: int, continuation: str | None) -> Page:
        """Alerts of one machine, newest first, page by page."""
        query = Query(where, order_by="triggeredAt", descending=True, limit=limit, continuation=continuation)
        return await self.store.query(CONTAINER, query, partition=(equipment_id,))

    async def some(self, where: Sequence[Condition], at_most: int) -> list[Document]:
        """Alerts of all machines, in no order; at most so many."""
        found = every(self.store, CONTAINER, Query(where, limit=min(at_most, 1000)), at_most=at_most)
        return [stored.document async for stored in found]

    async def still_open(self, at_most: int) -> list[Document]:
        """Alerts whose condition holds as far as is known."""
        return await self.some([In("status", ("active", "acknowledged"))], at_most)

    async def owing(self, at_most: int) -> list[Document]:
        """Alerts of which something is still to be told."""
        return await self.some([IsDefined("unpublished")], at_most)

    async def shelved_before(self, moment: str, at_most: int) -> list[Document]:
        """Alerts whose shelf time ended at or before then."""
        return await self.some([Range("shelvedUntil", le=moment)], at_most)
