"""What the oven did while somebody worked with it: lowest, highest and last value of each signal."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.clock import iso, parse_iso

if TYPE_CHECKING:
    from shared.telemetry.readings import Readings

__all__ = ["oven_meanwhile"]

LONGEST = timedelta(days=2)
"""Of a longer session (one that was forgotten) the first so much is summed up."""
STRETCHES = 60
LOOK_BACK = 50
"""So many readings are looked through for the last value of a signal."""


async def oven_meanwhile(readings: Readings, equipment_id: str, started: str, ended: str) -> dict[str, Any]:
    """``{"from", "to", "signals": {name: {"min", "max", "average", "last", "last_at", "unit", "count"}}}``."""
    start, end = parse_iso(started), parse_iso(ended)
    if end <= start:
        return {"from": iso(start), "to": iso(start), "signals": {}}
    end = min(end, start + LONGEST)
    seconds = max(1, math.ceil((end - start).total_seconds() / STRETCHES))
    signals: dict[str, dict[str, Any]] = {}
    sums: dict[str, float] = {}
    for bucket in await readings.buckets(equipment_id, start, end, seconds):
        for name, stats in bucket.signals.items():
            if stats.count == 0 or stats.minimum is None or stats.maximum is None or stats.average is None:
                continue
            one = signals.setdefault(name, {"min": stats.minimum, "max": stats.maximum, "count": 0})
            one["min"], one["max"] = min(one["min"], stats.minimum), max(one["max"], stats.maximum)
            one["count"] += stats.count
            sums[name] = sums.get(name, 0.0) + stats.average * stats.count
    for name, one in signals.items():
        one["average"] = round(sums[name] / one["count"], 3)
    page = await readings.history(equipment_id, start, end, LOOK_BACK, order="newest_first")
    for reading in page.readings:
        for name, value in reading.values.items():
            one = signals.setdefault(name, {})
            if "last" not in one and value.value is not None:
                one |= {"last": value.value, "last_at": iso(reading.at), "unit": value.unit}
    return {"from": iso(start), "to": iso(end), "signals": {name: one for name, one in signals.items() if one}}
