"""An alert as the API shows it: the guide's fields in a list, all that an auditor needs in detail."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from shared.alerts import lifecycle
from shared.clock import iso, parse_iso
from shared.storage import Document

__all__ = ["alert_details", "alert_line"]

_LINE = {
    "equipment_name": "equipmentName",
    "site": "site",
    "alert_type": "alertType",
    "severity": "severity",
    "status": "status",
    "state": "state",
    "message": "message",
    "triggered_at": "triggeredAt",
    "acknowledged_at": "acknowledgedAt",
    "acknowledged_by": "acknowledgedBy",
    "resolved_at": "resolvedAt",
    "resolved_by": "resolvedBy",
    "signal": "signal",
    "value": "value",
    "unit": "unit",
    "limit": "limit",
    "setpoint": "setpoint",
    "compared_value": "compared",
    "kind": "kind",
    "batch_id": "batchId",
}

_DETAILS = {
    "peak": "peak",
    "quality": "quality",
    "reason": "reason",
    "condition_since": "conditionSince",
    "recorded_at": "raisedAt",
    "cleared_at": "clearedAt",
    "clear_value": "clearValue",
    "clear_reason": "clearReason",
    "bad_readings": "badReadings",
    "reading_id_at_raise": "readingIdAtRaise",
    "reading_id_at_clear": "readingIdAtClear",
    "acknowledged_comment": "acknowledgedComment",
    "closed_at": "closedAt",
    "closed_by": "closedBy",
    "closed_comment": "closedComment",
    "shelved_by": "shelvedBy",
    "shelved_comment": "shelvedComment",
    "correlation_id": "correlationId",
}


def alert_line(alert: Document, now: datetime) -> dict[str, Any]:
    """One line of a list. Every field is there; what is not known is null."""
    equipment_id, until = alert["equipmentId"], alert.get("shelvedUntil")
    return {
        "id": lifecycle.alert_id(equipment_id, alert["id"]),
        "equipment_id": equipment_id,
        **{name: alert.get(key) for name, key in _LINE.items()},
        "rule_id": f"{equipment_id}:{alert['ruleId']}",
        "duration_seconds": _duration(alert, now),
        "shelved_until": until if until is not None and until > iso(now) else None,
    }


def alert_details(alert: Document, now: datetime) -> dict[str, Any]:
    """Everything about one alert."""
    return {
        **alert_line(alert, now),
        **{name: alert.get(key) for name, key in _DETAILS.items()},
        "rule": {
            "name": alert["ruleName"],
            "text": alert["ruleText"],
            "version": alert["ruleVersion"],
            "scope": alert["ruleScope"],
            "fields": alert["rule"],
        },
        "comments": [{k: c[k] for k in ("at", "by", "text")} for c in alert["comments"]],
        "history": alert["history"],
    }


def _duration(alert: Document, now: datetime) -> float:
    """From the raising to the end, or until now."""
    known = alert.get("durationSeconds")
    if known is not None:
        return float(known)
    return round(max(0.0, (now - parse_iso(alert["triggeredAt"])).total_seconds()), 3)
