"""What a session's or call's record is, and how what is heard changes it: pure functions over its stored document.

Created, updated, completed collapse into one record. What is older never overwrites what is newer, in whatever order it
comes. What is to be told is noted in the document itself (``unpublished``) by the same write that makes it true.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from shared import json_text
from shared.clock import iso, parse_iso
from shared.ids import digest_id
from shared.storage import Document
from shared.work.sessions_found import FoundCapture, FoundRecord

__all__ = ["CAPTURE_WAITS", "capture_noted", "is_older", "merged"]

MAX_STEPS = 1_000
MAX_HAPPENINGS = 1_000
MAX_CAPTURES = 200
MAX_TOLD_BYTES = 262_144
"""More of the platform's own words is left out; the record says so."""
MAX_REFERENCE = 255

SURE = timedelta(minutes=5)
"""Something that had ended is open again only if the platform said so clearly later: clocks of machines differ."""

CAPTURE_WAITS = "pending"

_REFERENCES = {
    "workOrderId": "work_order_id",
    "equipmentId": "equipment_id",
    "batchId": "batch_id",
    "alertId": "alert_id",
}
_AS_TOLD = {
    "state": "state",
    "title": "title",
    "durationSeconds": "duration_seconds",
    "idleSeconds": "idle_seconds",
    "stepsPossible": "steps_possible",
    "stepsViewed": "steps_viewed",
    "percentViewed": "percent_viewed",
}


def is_older(known: Document, found: FoundRecord) -> bool:
    """Does the record know better than what was found?"""
    version = known.get("version")
    if version is not None and found.version is not None and version != iso(found.version):
        return iso(found.version) < str(version)
    as_of = parse_iso(known["asOf"])
    if known["ended"] != found.ended:
        return not found.ended and not (found.asked and found.as_of >= as_of + SURE)
    if found.asked and known["asked"]:
        return found.as_of < as_of
    return _less_far(known, found)


def _less_far(known: Document, found: FoundRecord) -> bool:
    """Messages have no order of their own: who had seen less is older. What only one of them tells decides nothing."""
    for before, after in (
        (known.get("endedAt"), iso(found.ended_at) if found.ended_at else None),
        (known.get("stepsViewed"), found.steps_viewed),
        (known.get("durationSeconds"), found.duration_seconds),
    ):
        if before is not None and after is not None and before != after:
            return bool(after < before)
    return False


def merged(known: Document | None, found: FoundRecord, now: datetime) -> Document:
    """The record with what was found; the very one it was given when it is older.

    A document whose ``revision`` is the one before has nothing new in it (but was confirmed at a later time).
    """
    if known is not None and is_older(known, found):
        return known
    said = _said(found, known)
    before = _new(found, now) if known is None else known
    after = {**before, **said, "asOf": iso(found.as_of), "asked": found.asked}
    after["happenedAt"] = after.get("startedAt") or after["firstSeenAt"]
    if after.get("durationSeconds") is None and after.get("startedAt") and after.get("endedAt"):
        span = (parse_iso(after["endedAt"]) - parse_iso(after["startedAt"])).total_seconds()
        after["durationSeconds"] = round(max(span, 0.0), 3)
    after.pop("goneAt", None)
    if known is not None and _same(known, after):
        return after
    after |= {"revision": before["revision"] + 1, "changedAt": iso(now)}
    return _to_tell(known, after, now)


def capture_noted(record: Document, capture_id: str, noted: Mapping[str, Any], now: datetime) -> Document:
    """The record with what became of one of its captures; the very one it was given when that is known."""
    captures = [dict(one) for one in record.get("captures", [])]
    for one in captures:
        if one["id"] == capture_id and one["status"] != "copied":
            one.update(noted)
            after = {**record, "captures": captures, "revision": record["revision"] + 1, "changedAt": iso(now)}
            return _to_tell(record, after, now)
    return record


# Parts ---------------------------------------------------------------------------------------------------------------


def _new(found: FoundRecord, now: datetime) -> Document:
    return {
        "id": found.id,
        "kind": found.kind,
        "source": found.source,
        "account": found.account,
        "externalId": found.external_id,
        "revision": 0,
        "firstSeenAt": iso(now),
    }


def _said(found: FoundRecord, known: Document | None) -> Document:
    """Stored names and values of what was told; what was not told is absent."""
    said: Document = {"ended": found.ended}
    for name, attribute in _AS_TOLD.items():
        if (value := getattr(found, attribute)) is not None:
            said[name] = value
    for name, attribute in _REFERENCES.items():
        if (value := getattr(found, attribute)) is not None:
            said[name] = value[:MAX_REFERENCE]
    for name, moment in (("startedAt", found.started_at), ("endedAt", found.ended_at), ("version", found.version)):
        if moment is not None:
            said[name] = iso(moment)
    if not found.ended:
        said["endedAt"] = None
    if found.captures is not None:
        said["captures"] = _captures(found.captures, known)
    gaps = list(found.gaps)
    return said | _parts(found, gaps) | {"gaps": gaps}


def _parts(found: FoundRecord, gaps: list[str]) -> Document:
    """What has many of it, within bounds; ``gaps`` grows by what was left out."""
    parts: Document = {}
    for name, many, most in (
        ("steps", found.steps, MAX_STEPS),
        ("happenings", found.happenings, MAX_HAPPENINGS),
    ):
        if many is not None:
            parts[name] = [dict(one) for one in many[:most]]
            if len(many) > most:
                gaps.append(f"Of {len(many)} {name} the first {most} are kept.")
    for name, value in (("details", found.details), ("externalData", found.external_data)):
        if value is not None:
            parts[name] = dict(value)
    if len(json_text.dump(dict(found.told))) > MAX_TOLD_BYTES:
        gaps.append("The platform's own words are too many to be kept whole; the fields of the record are kept.")
    elif found.told:
        parts["told"] = dict(found.told)
    return parts


def _captures(found: tuple[FoundCapture, ...], known: Document | None) -> list[Document]:
    """What is there already keeps its copy; what the platform tells of no longer stays, since it was copied."""
    kept = {one["externalId"]: one for one in (known or {}).get("captures", [])}
    for capture in found[:MAX_CAPTURES]:
        told = {
            "kind": capture.kind,
            "step": capture.step,
            "takenAt": iso(capture.taken_at) if capture.taken_at else None,
        }
        before = kept.get(capture.external_id) or {
            "id": digest_id("capture", capture.external_id),
            "externalId": capture.external_id,
            "status": CAPTURE_WAITS,
        }
        kept[capture.external_id] = before | {name: value for name, value in told.items() if value is not None}
    return list(kept.values())[:MAX_CAPTURES]


_NOT_CONTENT = ("asOf", "asked", "revision", "changedAt", "unpublished", "ttl")


def _same(known: Document, after: Document) -> bool:
    def content(record: Document) -> Document:
        return {name: value for name, value in record.items() if name not in _NOT_CONTENT and value is not None}

    return content(known) == content(after)


def _to_tell(known: Document | None, after: Document, now: datetime) -> Document:
    """A mark per revision. ``change`` is what an event says; without it only who follows every revision is told."""
    followed = ("state", *_REFERENCES)
    if after["ended"] and not (known or {}).get("ended"):
        change: str | None = "completed"
        moment = after.get("endedAt") or iso(now)
    elif known is None:
        change, moment = "recorded", after.get("startedAt") or iso(now)
    else:
        different = known["ended"] != after["ended"] or any(known.get(n) != after.get(n) for n in followed)
        change, moment = ("changed" if different else None), iso(now)
    mark = {"key": str(after["revision"]), "change": change, "at": min(moment, iso(now)), "state": after.get("state")}
    others = [one for one in after.get("unpublished", []) if one["change"] is not None]
    return {**after, "unpublished": [*others, mark]}
