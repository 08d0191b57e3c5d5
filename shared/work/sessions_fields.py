"""Fields of a session or call that everybody shows by the same names: the API, exports, systems of record."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["RECORD_FIELDS"]

RECORD_FIELDS: Mapping[str, str] = {
    "kind": "kind",
    "source": "source",
    "external_id": "externalId",
    "state": "state",
    "title": "title",
    "started_at": "startedAt",
    "ended_at": "endedAt",
    "duration_seconds": "durationSeconds",
    "idle_seconds": "idleSeconds",
    "steps_possible": "stepsPossible",
    "steps_viewed": "stepsViewed",
    "percent_viewed": "percentViewed",
    "work_order_id": "workOrderId",
    "equipment_id": "equipmentId",
    "equipment_name": "equipmentName",
    "site": "site",
    "batch_id": "batchId",
    "alert_id": "alertId",
    "changed_at": "changedAt",
    "revision": "revision",
}
"""By the name they are shown by; the value is where they stand in the record."""
