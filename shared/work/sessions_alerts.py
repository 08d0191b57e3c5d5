"""A session that was begun from an alert leaves a remark with it: by which instructions, for how long."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from shared.access.model import Caller, system
from shared.clock import parse_iso
from shared.errors import Conflict, InvalidInput, NotFound

if TYPE_CHECKING:
    from shared.storage import Document

__all__ = ["AlertNotes"]

log = logging.getLogger("ovenbridge.sessions")


class _Alerts(Protocol):
    async def get(self, alert_id: str) -> Document: ...

    async def comment(self, alert_id: str, *, caller: Caller, comment: str) -> Document: ...


class AlertNotes:
    """Follows the records; implements :class:`shared.work.sessions.RecordSubscriber`."""

    def __init__(self, alerts: _Alerts, *, base_url: str) -> None:
        self._alerts = alerts
        self._base_url = base_url

    async def accept(self, record: Document) -> None:
        """Remark once that it ended. An alert that does not exist is no reason to lose the record."""
        alert_id = record.get("alertId")
        if alert_id is None or not record["ended"]:
            return
        address = f"{self._base_url}/api/v1/{record['kind']}s/{record['id']}"
        try:
            alert = await self._alerts.get(alert_id)
            if any(address in comment["text"] for comment in alert.get("comments", [])):
                return
            await self._alerts.comment(
                alert_id, caller=system("sessions"), comment=f"{_sentence(record, alert)} {address}"
            )
        except (NotFound, InvalidInput, Conflict) as error:
            log.warning("The alert %s that %s names was not annotated: %s", alert_id[:64], record["id"], error.detail)


def _sentence(record: dict[str, Any], alert: Document) -> str:
    what = "A session" if record["kind"] == "session" else "A call"
    if title := record.get("title"):
        what += f" of “{title[:100]}”"
    if (seconds := record.get("durationSeconds")) is not None:
        what += f" took {timedelta(seconds=round(seconds))}"
    else:
        what += " ended"
    possible, viewed = record.get("stepsPossible"), record.get("stepsViewed")
    if possible is not None and viewed is not None:
        what += f", {viewed} of {possible} steps were looked at"
    what += "."
    if record.get("endedAt") and alert.get("triggeredAt"):
        since = parse_iso(record["endedAt"]) - parse_iso(alert["triggeredAt"])
        if since >= timedelta():
            what += f" It ended {timedelta(seconds=round(since.total_seconds()))} after the alert was raised."
    return what
