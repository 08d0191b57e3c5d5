"""A reading as it is stored: lean, because there are millions of them.

Left out is what goes without saying: quality good, the unit that a well-known key has inside, a source time that all
values share (it stands once, at the reading). Of a bad value there is no number, only why: nobody can take an old or a
guessed one for a measurement. ``bad: 1`` beside it, and ``failed: 1`` at a read that failed as a whole, are there to be
counted by the store.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from shared.clock import compact, compacted, iso, parse_iso
from shared.signals import WELL_KNOWN_SIGNALS, Quality, Reading, SignalValue
from shared.storage import Document

__all__ = ["failed", "from_document", "reading_id", "to_document", "unit_inside"]


def reading_id(source: str, at: datetime) -> str:
    """``r:20261121T103000000Z:poll``: the same reading has the same id, so recording it twice is once."""
    return f"r:{compact(at)}:{source}"


@lru_cache(maxsize=1_000)
def unit_inside(key: str) -> str:
    """The unit that values of this signal have unless they say otherwise."""
    if key == "temperature" or key.startswith("temperature."):
        return "C"
    return WELL_KNOWN_SIGNALS.get(key, "")


def failed(reading: Reading) -> bool:
    """Was the whole read a failure? One bad sensor is not: the machine did answer."""
    return reading.error_code is not None or (not reading.values and reading.quality is Quality.BAD)


def to_document(reading: Reading, *, ttl_seconds: int | None = None) -> Document:
    """The stored form. ``ttl_seconds``: where it is not the container's own."""
    at = iso(reading.at)
    document: Document = {
        "id": f"r:{compacted(at)}:{reading.source}",
        "equipmentId": reading.equipment_id,
        "day": at[:10],
        "ts": at,
    }
    shared = _shared_source_time(reading)
    if reading.values:
        document["values"] = {key: _value(key, value, shared) for key, value in reading.values.items()}
    if failed(reading):
        document["failed"] = 1
    _set(document, "q", None if reading.quality is Quality.GOOD else reading.quality.value)
    _set(document, "why", reading.reason)
    _set(document, "code", reading.error_code)
    _set(document, "ms", None if reading.response_ms is None else round(reading.response_ms, 1))
    _set(document, "st", shared)
    if reading.received_at not in (None, reading.at):
        document["receivedAt"] = iso(reading.received_at)
    _set(document, "ttl", ttl_seconds)
    return document


def from_document(document: Mapping[str, Any]) -> Reading:
    """The reading back from its stored form."""
    # Parsed once: all values have it from the device's one timestamp.
    shared = parse_iso(document["st"]) if "st" in document else None
    at = parse_iso(document["ts"])
    received = document.get("receivedAt")
    return Reading(
        equipment_id=document["equipmentId"],
        at=at,
        values={key: _read(key, value, shared) for key, value in document.get("values", {}).items()},
        quality=Quality(document.get("q", "good")),
        reason=document.get("why"),
        error_code=document.get("code"),
        source=document["id"].rpartition(":")[2],
        response_ms=document.get("ms"),
        received_at=at if received is None else parse_iso(received),
    )


def _shared_source_time(reading: Reading) -> str | None:
    values = iter(reading.values.values())
    first = next(values, None)
    if first is None or first.source_time is None:
        return None
    return iso(first.source_time) if all(value.source_time == first.source_time for value in values) else None


def _value(key: str, value: SignalValue, shared: str | None) -> dict[str, Any]:
    if value.quality is Quality.GOOD and value.reason is None and value.raw_unit is None and _storable(value.value):
        plain: dict[str, Any] = {"v": value.value}
        if value.unit != unit_inside(key):
            plain["u"] = value.unit
        if value.raw is not None and _storable(value.raw):
            plain["r"] = value.raw
        if shared is None and value.source_time is not None:
            plain["st"] = iso(value.source_time)
        return plain
    bad = value.quality is Quality.BAD or not _storable(value.value)
    stored: dict[str, Any] = {} if bad else {"v": value.value}
    if bad:
        stored |= {"q": Quality.BAD.value, "bad": 1}
    elif value.quality is not Quality.GOOD:
        stored["q"] = value.quality.value
    reason = value.reason
    if bad and value.quality is not Quality.BAD:
        reason = reason or "It has no value."
    _set(stored, "why", reason)
    _set(stored, "u", None if value.unit == unit_inside(key) else value.unit)
    _set(stored, "r", value.raw if _storable(value.raw) else None)
    _set(stored, "ru", value.raw_unit)
    if shared is None:
        _set(stored, "st", None if value.source_time is None else iso(value.source_time))
    return stored


def _read(key: str, stored: Mapping[str, Any], shared: datetime | None) -> SignalValue:
    return SignalValue(
        value=stored.get("v"),
        quality=Quality(stored.get("q", "good")),
        reason=stored.get("why"),
        unit=stored.get("u", unit_inside(key)),
        raw=stored.get("r"),
        raw_unit=stored.get("ru"),
        source_time=parse_iso(stored["st"]) if "st" in stored else shared,
    )


def _storable(value: Any) -> bool:
    return value is not None and (not isinstance(value, float) or math.isfinite(value))


def _set(target: dict[str, Any], name: str, value: Any) -> None:
    if value is not None:
        target[name] = value
