"""A batch as the API shows it: a line in a list, and everything about one."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from shared.clock import iso
from shared.storage import Document
from shared.work.batches_model import duration

__all__ = ["batch_details", "batch_line"]

_LINE = {
    "id": "batchId",
    "equipment_id": "equipmentId",
    "equipment_name": "equipmentName",
    "site": "site",
    "product": "product",
    "program": "program",
    "status": "status",
    "started_at": "startedAt",
    "ended_at": "endedAt",
    "work_order_id": "workOrderId",
    "note": "note",
    "source": "source",
    "source_id": "sourceId",
    "opened_by": "openedBy",
    "closed_by": "closedBy",
    "created_at": "createdAt",
    "changed_at": "changedAt",
}
_CORE = ("min", "max", "last", "target", "reached", "points", "unit")


def batch_line(batch: Document) -> dict[str, Any]:
    """One line of a list. Every field is there; what is not known is null."""
    core = batch.get("core") or {}
    return {
        **{name: batch.get(key) for name, key in _LINE.items()},
        "duration_seconds": duration(batch),
        "core_temperature": {
            **{name: core.get(name) for name in _CORE if name != "unit"},
            "unit": "C",
            "source_unit": core.get("unit"),
        },
        "deviations_count": len(batch.get("deviations", [])),
    }


def batch_details(batch: Document, now: datetime) -> dict[str, Any]:
    """Everything about one batch. Alerts are added by who knows them."""
    vendor = batch.get("vendor")
    return {
        **batch_line(batch),
        "steps": batch.get("steps", []),
        "deviations": batch.get("deviations", []),
        "edited": batch.get("edited", []),
        "history": batch.get("history", []),
        "curve_url": _curve(batch, now),
        "vendor_updated_at": None if vendor is None else vendor.get("updatedAt"),
        "vendor_device": None if vendor is None else vendor.get("serial"),
        "vendor_document": None if vendor is None else vendor["document"],
        "vendor_document_left_out": 0 if vendor is None else vendor.get("leftOut", 0),
    }


def _curve(batch: Document, now: datetime) -> str:
    """Where our own readings of the oven during the batch are, the core temperature first among them."""
    end = batch.get("endedAt") or iso(now)
    query = urlencode({"start": batch["startedAt"], "end": end, "signals": "temperature.core"})
    return f"/api/v1/equipment/{quote(batch['equipmentId'])}/sensor-history?{query}"
