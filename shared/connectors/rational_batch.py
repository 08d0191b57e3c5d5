"""From a HACCP batch as ConnectedCooking tells it to what a batch is for us. Pure.

What cannot be understood of a batch is left out, and the vendor's document goes along whole; only a batch without an
id, without a beginning or without a device is no batch (:class:`UnreadableBatch`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.clock import iso, parse_iso
from shared.connectors.paths import Path, PathMissing

__all__ = ["FoundBatch", "UnreadableBatch", "read_batch"]

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LONGEST = timedelta(days=31)
"""No program runs longer; a greater duration is a mistake."""
AHEAD = timedelta(days=1)
MAX_ID = 200
MAX_PARTS = 200
"""Steps and warnings taken of one batch."""

Paths = Mapping[str, Sequence[Path]]


class UnreadableBatch(ValueError):
    """This is no batch. The message says why; ``name`` says which, as far as it says."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name
        self.reason = reason


@dataclass(frozen=True, slots=True)
class FoundBatch:
    """One batch. Whatever is not told is ``None`` or empty."""

    vendor_id: str
    serial: str
    """Of the device, as the vendor writes it."""
    started_at: datetime
    program: str | None
    finished: bool | None
    ended_at: datetime | None
    updated_at: datetime | None
    core: Mapping[str, Any]
    """``min``, ``max``, ``last``, ``target`` in Celsius, ``reached``, ``points``, ``unit`` (the vendor's)."""
    steps: Sequence[Mapping[str, Any]]
    deviations: Sequence[Mapping[str, Any]]
    document: Mapping[str, Any] = field(repr=False)
    """As it came."""


def read_batch(item: Any, paths: Paths, now: datetime) -> FoundBatch:
    """Understand one item of a page.

    Raises:
        UnreadableBatch: it is none.
    """
    if not isinstance(item, dict):
        raise UnreadableBatch("?", "it is no JSON object")
    vendor_id = _text(_find(item, paths, "id"), MAX_ID)
    if vendor_id is None:
        raise UnreadableBatch("?", "it has no id")
    started = _time(_find(item, paths, "started_at"))
    if started is None:
        raise UnreadableBatch(vendor_id, "its startDate is missing or no time")
    if not EARLIEST <= started <= now + AHEAD:
        raise UnreadableBatch(vendor_id, f"its startDate {iso(started)} cannot be: check the clock of the device")
    serial = _text(_find(item, paths, "serial"), MAX_ID)
    if serial is None:
        raise UnreadableBatch(vendor_id, "it has no deviceSerialNumber")
    finished = _find(item, paths, "finished")
    unit = _unit(_find(item, paths, "temperature_unit"))
    return FoundBatch(
        vendor_id=vendor_id,
        serial=serial,
        started_at=started,
        program=_text(_find(item, paths, "name"), 200),
        finished=finished if isinstance(finished, bool) else None,
        ended_at=_end(item, paths, started, finished=finished is True),
        updated_at=_time(_find(item, paths, "updated_at")),
        core=_core(item, paths, unit),
        steps=_parts(_find(item, paths, "steps")),
        deviations=_parts(_find(item, paths, "warnings")),
        document=item,
    )


def _find(item: Any, paths: Paths, name: str) -> Any:
    for path in paths.get(name, ()):
        try:
            found = path.find(item)
        except PathMissing:
            continue
        if found is not None:
            return found
    return None


def _text(value: Any, longest: int) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = "".join(c if c.isprintable() else " " for c in str(value)[: longest + 1]).strip()
    return text if 0 < len(text) <= longest else None


def _time(value: Any) -> datetime | None:
    """ISO 8601, or seconds or milliseconds since 1970; without an offset it is UTC, as the contract says."""
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, int | float):
            seconds = value / 1000 if abs(value) > 1e11 else float(value)
            return datetime.fromtimestamp(seconds, UTC)
        return parse_iso(value) if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _unit(value: Any) -> str:
    word = value.strip().lstrip("°").upper() if isinstance(value, str) else ""
    return "F" if word in ("F", "FAHRENHEIT") else "C"


def _celsius(value: float | None, unit: str) -> float | None:
    if value is None:
        return None
    return round((value - 32) / 1.8, 2) if unit == "F" else round(value, 2)


def _end(item: Any, paths: Paths, started: datetime, *, finished: bool) -> datetime | None:
    """Told as a time, or as a duration of what is finished."""
    ended = _time(_find(item, paths, "ended_at"))
    if ended is None and finished:
        seconds = _number(_find(item, paths, "duration_seconds"))
        if seconds is not None and 0 <= seconds <= LONGEST.total_seconds():
            ended = started + timedelta(seconds=seconds)
    return ended if ended is not None and started <= ended <= started + LONGEST else None


def _core(item: Any, paths: Paths, unit: str) -> dict[str, Any]:
    points = _points(item, paths)
    reached = _find(item, paths, "core_reached")
    target = _celsius(_number(_find(item, paths, "core_target")), unit)
    found: dict[str, Any] = {}
    if points:
        numbers = [value for _, value in points]
        found |= {
            "min": _celsius(min(numbers), unit),
            "max": _celsius(max(numbers), unit),
            "last": _celsius(max(points, key=lambda p: p[0])[1], unit),
            "points": len(points),
        }
    if target is not None:
        found["target"] = target
    if isinstance(reached, bool):
        found["reached"] = reached
    return found | {"unit": unit} if found else {}


def _points(item: Any, paths: Paths) -> list[tuple[str, float]]:
    """Time (for the order) and core temperature of each measurement that has one."""
    entries = _find(item, paths, "entries")
    found: list[tuple[str, float]] = []
    for place, entry in enumerate(entries if isinstance(entries, list) else ()):
        value = _number(_find(entry, paths, "entry_core")) if isinstance(entry, dict) else None
        if value is not None:
            moment = _time(_find(entry, paths, "entry_time"))
            found.append((iso(moment) if moment is not None else f"{place:09d}", value))
    return found


def _parts(value: Any) -> list[dict[str, Any]]:
    """Steps or warnings: objects as they are, texts as ``{"text": ...}``, a yes as one without words."""
    if value is True:
        return [{"text": "The device reported a warning."}]
    if not isinstance(value, list):
        return []
    found: list[dict[str, Any]] = []
    for part in value[:MAX_PARTS]:
        if isinstance(part, dict):
            found.append(dict(part))
        elif (text := _text(part, 500)) is not None:
            found.append({"text": text})
    return found
