"""What an import makes of a batch: the record as it was, and what the vendor tells of it now. Pure.

The same batch comes many times: with the overlap of every import, grown when the device reported more, sometimes with
less in it than before. Merging the same twice changes nothing; merging less never takes anything away; an older state
that comes late only fills gaps; and what a person wrote stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared import json_text
from shared.clock import iso
from shared.events.catalogue import BATCH_COMPLETED, BATCH_STARTED
from shared.ids import digest_id
from shared.storage import Document
from shared.work.batches_model import IMPORTED, BatchStatus, to_tell

if TYPE_CHECKING:
    from shared.connectors.rational_batch import FoundBatch
    from shared.equipment.model import Equipment

__all__ = ["MAX_VENDOR_BYTES", "imported_id", "merged"]

MAX_VENDOR_BYTES = 262_144
"""Of a vendor's document; of a larger one measurements are left out, evenly."""

CURVE = ("min", "max", "last", "points")


def imported_id(equipment_id: str, vendor_id: str) -> str:
    """The id of a vendor's batch of this oven: the same whenever it comes."""
    return IMPORTED + digest_id("rational", equipment_id, vendor_id)


def merged(before: Document | None, found: FoundBatch, machine: Equipment, now: datetime, *, tell: bool) -> Document:
    """The record after this delivery; the very one it was given when nothing is new.

    Args:
        before: as it stands in the store; ``None``: it is not there yet.
        found: what came.
        machine: the oven.
        now: the time.
        tell: tell subscribers of a batch that is new here. Its end is always told when its beginning was.
    """
    old: Mapping[str, Any] = before or {}
    late = _is_late(old, found)
    told = {
        "program": found.program,
        "startedAt": iso(found.started_at),
        "endedAt": None if found.ended_at is None else iso(found.ended_at),
    }
    kept = set(old.get("edited", []))
    news = {name: value for name, value in told.items() if value is not None and name not in kept}
    facts = {**news, **{k: old[k] for k in news if k in old}} if late else news
    after: Document = {
        "id": (batch_id := imported_id(machine.id, found.vendor_id)),
        "batchId": batch_id,
        "equipmentId": machine.id,
        "source": "rational",
        "sourceId": found.vendor_id,
        "createdAt": iso(now),
        **old,
        "equipmentName": machine.name,
        "site": machine.site,
        **facts,
        "status": _status(old, found),
        "core": _core(old.get("core", {}), found.core, late=late),
        "steps": _longer(old.get("steps", []), found.steps),
        "deviations": _longer(old.get("deviations", []), found.deviations),
        "vendor": _vendor(old.get("vendor", {}), found, late=late),
    }
    if "steps" in kept:
        after["steps"] = old["steps"]
    if before is not None and after == before:
        return before
    return _marked({**after, "changedAt": iso(now)}, before, tell=tell)


def _is_late(old: Mapping[str, Any], found: FoundBatch) -> bool:
    """Is there a newer state here already?"""
    known = old.get("vendor", {}).get("updatedAt")
    return known is not None and found.updated_at is not None and iso(found.updated_at) < known


def _status(old: Mapping[str, Any], found: FoundBatch) -> str:
    """What is over stays over: its end has been told."""
    known = old.get("status", BatchStatus.RUNNING.value)
    if "status" in old.get("edited", []) or known != BatchStatus.RUNNING:
        return str(known)
    over = found.finished is True or (found.finished is None and found.ended_at is not None)
    return (BatchStatus.COMPLETED if over else BatchStatus.RUNNING).value


def _core(old: Mapping[str, Any], new: Mapping[str, Any], *, late: bool) -> dict[str, Any]:
    found = {**new, **old} if late else {**old, **new}
    # The four speak of one curve: they come together, from the longer one.
    if late or old.get("points", 0) > new.get("points", 0):
        longer = old if old.get("points", 0) >= new.get("points", 0) else new
        found |= {name: longer[name] for name in CURVE if name in longer}
    return found


def _longer(old: Sequence[Any], new: Sequence[Any]) -> list[Any]:
    return list(new if len(new) >= len(old) else old)


def _vendor(old: Mapping[str, Any], found: FoundBatch, *, late: bool) -> dict[str, Any]:
    """The vendor's document, as much of it as ever came."""
    was: Mapping[str, Any] = old.get("document", {})
    told = json_text.load(json_text.dump(found.document))  # as the store will give it back
    new = {name: value for name, value in told.items() if value is not None}
    document = {**new, **was} if late else {**was, **new}
    for name, value in was.items():
        if isinstance(value, list) and isinstance(document[name], list) and len(document[name]) < len(value):
            document[name] = value
    document, left_out = _bounded(document)
    left_out = left_out or old.get("leftOut", 0)
    vendor: dict[str, Any] = {"document": document, "serial": found.serial}
    times = [t for t in (old.get("updatedAt"), iso(found.updated_at) if found.updated_at else None) if t]
    if times:
        vendor["updatedAt"] = max(times)
    if left_out:
        vendor["leftOut"] = left_out
    return vendor


def _bounded(document: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The document within its bound, and how many items of its lists were left out."""
    size = len(json_text.dump(document))
    if size <= MAX_VENDOR_BYTES:
        return document, 0
    lists = {name: value for name, value in document.items() if isinstance(value, list)}
    rest = size - sum(len(json_text.dump(value)) for value in lists.values())
    room = MAX_VENDOR_BYTES - rest
    if room <= 0:
        return {name: v for name, v in document.items() if len(json_text.dump(v)) <= 1_000}, 1
    left_out = 0
    for name, value in sorted(lists.items(), key=lambda one: -len(json_text.dump(one[1]))):
        bytes_now = len(json_text.dump(value))
        share = max(0, room - sum(len(json_text.dump(v)) for n, v in lists.items() if n != name))
        if bytes_now > share:
            # Even steps keep the course of a curve; the margin is for items of unequal length.
            count = int(len(value) * share / bytes_now * 0.9)
            lists[name] = [value[i * len(value) // count] for i in range(count)] if count else []
            left_out += len(value) - count
    bounded = {**document, **lists}
    if len(json_text.dump(bounded)) > MAX_VENDOR_BYTES:
        return {name: v for name, v in document.items() if len(json_text.dump(v)) <= 1_000}, left_out or 1
    return bounded, left_out


def _marked(after: Document, before: Document | None, *, tell: bool) -> Document:
    over = after["status"] != BatchStatus.RUNNING
    moment = _moment(after)
    if before is None:
        if not tell:
            return after
        after = to_tell(after, BATCH_STARTED, "started", _start(after))
        return to_tell(after, BATCH_COMPLETED, "completed", moment) if over else after
    newly_over = over and before["status"] == BatchStatus.RUNNING
    return to_tell(after, BATCH_COMPLETED, "completed", moment) if newly_over else after


def _start(batch: Document) -> datetime:
    return datetime.fromisoformat(batch["startedAt"])


def _moment(batch: Document) -> datetime:
    return datetime.fromisoformat(batch.get("endedAt") or batch["startedAt"])
