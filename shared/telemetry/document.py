"""A reading as it is stored: lean, because it is the document there are most of.

Container ``readings``, partition ``[equipmentId, day]`` (``reference: azure.md`` section 2). What is empty, default or
derivable is left out. A value of bad quality has no ``v``: nobody can take an old or guessed number for a measurement.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from shared.clock import compact, day_of, iso, parse_iso
from shared.signals import Quality, Reading, SignalValue
from shared.storage import Document

__all__ = ["from_document", "reading_id", "to_document"]


def reading_id(source: str, at: datetime) -> str:
    """``r:20261121T103000000Z:poll``: the same reading taken twice is one document."""
    return f"r:{compact(at)}:{source}"


def to_document(reading: Reading, *, ttl_seconds: int | None = None) -> Document:
    """The stored form."""
    document: Document = {
        "id": reading_id(reading.source, reading.at),
        "equipmentId": reading.equipment_id,
        "day": day_of(reading.at),
        "ts": iso(reading.at),
        "values": {key: _value(value) for key, value in reading.values.items()},
    }
    bad = sum(1 for value in reading.values.values() if value.quality is Quality.BAD)
    if reading.quality is Quality.BAD and not reading.values:
        bad = 1
    optional: dict[str, Any] = {
        "source": reading.source if reading.source != "poll" else None,
        "q": reading.quality.value if reading.quality is not Quality.GOOD else None,
        "why": reading.reason,
        "code": reading.error_code,
        "ms": round(reading.response_ms, 1) if reading.response_ms is not None else None,
        "receivedAt": iso(reading.received_at) if reading.received_at not in (None, reading.at) else None,
        # How many signals were bad: a number, so that charts can count gaps by bucket.
        "bad": bad or None,
        "ttl": ttl_seconds,
    }
    document.update({key: value for key, value in optional.items() if value is not None})
    return document


def _value(value: SignalValue) -> dict[str, Any]:
    optional: dict[str, Any] = {
        "v": value.value if value.quality is not Quality.BAD else None,
        "q": value.quality.value if value.quality is not Quality.GOOD else None,
        "u": value.unit or None,
        "why": value.reason,
        "raw": value.raw,
        "ru": value.raw_unit,
        "st": iso(value.source_time) if value.source_time is not None else None,
    }
    return {key: part for key, part in optional.items() if part is not None}


def from_document(document: Document) -> Reading:
    """The reading back from its stored form."""
    at = parse_iso(document["ts"])
    return Reading(
        equipment_id=document["equipmentId"],
        at=at,
        values={key: _signal(part) for key, part in document.get("values", {}).items()},
        quality=Quality(document.get("q", "good")),
        reason=document.get("why"),
        error_code=document.get("code"),
        source=document.get("source", "poll"),
        response_ms=document.get("ms"),
        received_at=parse_iso(document["receivedAt"]) if "receivedAt" in document else at,
    )


def _signal(part: dict[str, Any]) -> SignalValue:
    return SignalValue(
        value=part.get("v"),
        quality=Quality(part.get("q", "good")),
        reason=part.get("why"),
        unit=part.get("u", ""),
        raw=part.get("raw"),
        raw_unit=part.get("ru"),
        source_time=parse_iso(part["st"]) if "st" in part else None,
    )
