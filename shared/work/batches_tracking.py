"""Tracking one batch: what its oven says now, and what it said since the batch began.

Of a batch that is over, what the oven said at its end: what it says now belongs to another batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.clock import iso, parse_iso
from shared.storage import Document
from shared.telemetry.buckets import Bucket
from shared.telemetry.live import Live
from shared.work.batches_model import BatchStatus, duration

if TYPE_CHECKING:
    from shared.clock import Clock
    from shared.equipment.model import Equipment
    from shared.telemetry.readings import Readings

__all__ = ["Tracking"]

LONGEST = timedelta(days=7)
"""Of a batch that is open for longer, the last days are summed up."""
FINE = timedelta(hours=6)
"""Up to so long readings are summed up by the minute, so that the window is exact; beyond by the hour."""


@dataclass(frozen=True, slots=True)
class Tracking:
    """Works it out from readings."""

    readings: Readings
    clock: Clock

    async def view(self, batch: Document, machine: Equipment, connection_status: str) -> dict[str, Any]:
        """The guide's fields of live data, the batch they belong to, and its window summed up."""
        now = self.clock.now()
        running = batch["status"] == BatchStatus.RUNNING
        started = parse_iso(batch["startedAt"])
        end = now if running else parse_iso(batch.get("endedAt") or batch["startedAt"])
        if running:
            live = Live.of(machine, await self.readings.latest(machine.id), now)
        else:
            live = await self._at_the_end(machine, started, end)
        name = batch.get("product") or batch.get("program")
        return {
            "batch_id": batch["batchId"],
            "batch_name": name,
            "batch_status": batch["status"],
            "product": batch.get("product"),
            "program": batch.get("program"),
            "work_order_id": batch.get("workOrderId"),
            "started_at": batch["startedAt"],
            "ended_at": batch.get("endedAt"),
            "elapsed_minutes": round((duration(batch) or (end - started).total_seconds()) / 60, 1),
            "is_live": running,
            **live.view(machine, connection_status if running else "unknown"),
            "active_batch_id": batch["batchId"] if running else None,
            "active_batch_name": name if running else None,
            "window": await self._window(machine.id, started, end),
            "core_temperature": _core(batch),
        }

    async def _at_the_end(self, machine: Equipment, started: datetime, end: datetime) -> Live:
        page = await self.readings.history(
            machine.id, max(started, end - LONGEST), end + timedelta(milliseconds=1), 1, order="newest_first"
        )
        if not page.readings:
            nothing = Live.of(machine, None, end)
            return Live(None, None, {}, nothing.quality, "There is no reading of the oven during this batch.")
        return Live.of(machine, page.readings[0], end)

    async def _window(self, equipment_id: str, started: datetime, end: datetime) -> dict[str, Any]:
        begin = max(started, end - LONGEST)
        seconds = 60 if end - begin <= FINE else 3600
        buckets = await self.readings.buckets(equipment_id, begin, end + timedelta(milliseconds=1), seconds)
        return {
            "start": iso(begin),
            "end": iso(end),
            "failed_reads": sum(bucket.failed for bucket in buckets),
            "signals": _summed(buckets),
        }


def _summed(buckets: Iterable[Bucket]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for bucket in buckets:
        for key, stats in bucket.signals.items():
            one = found.setdefault(key, {"min": None, "max": None, "avg": None, "count": 0, "bad": 0})
            one["bad"] += stats.bad
            if stats.minimum is None or stats.maximum is None or stats.average is None:
                continue
            one["min"] = stats.minimum if one["min"] is None else min(one["min"], stats.minimum)
            one["max"] = stats.maximum if one["max"] is None else max(one["max"], stats.maximum)
            count = one["count"] + stats.count
            one["avg"] = round(((one["avg"] or 0.0) * one["count"] + stats.average * stats.count) / count, 3)
            one["count"] = count
    return {key: found[key] for key in sorted(found)}


def _core(batch: Document) -> dict[str, Any]:
    core = batch.get("core") or {}
    return {name: core.get(name) for name in ("min", "max", "last", "target", "reached")} | {"unit": "C"}
