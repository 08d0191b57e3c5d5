"""What a batch is, and what happens to it: pure functions over its stored document.

Each change answers with a new document, or with the very one it was given when there is nothing to change. What is to
be told is noted in the document itself (``unpublished``) by the same write that makes it true, and told after.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from shared.clock import iso, parse_iso
from shared.errors import Conflict, InvalidInput
from shared.events.catalogue import BATCH_COMPLETED, BATCH_STARTED
from shared.storage import Document

if TYPE_CHECKING:
    from shared.access import Caller
    from shared.equipment.model import Equipment

__all__ = ["FIELDS", "IMPORTED", "BatchStatus", "changed", "duration", "opened", "to_tell"]

IMPORTED = "rational-"
"""How the ids of imported batches begin."""

MAX_HISTORY = 200
CLOCKS_DIFFER = timedelta(minutes=5)
"""A caller's clock may be ahead of ours by so much."""


class BatchStatus(StrEnum):
    """How far it is."""

    RUNNING = "running"
    COMPLETED = "completed"
    ABORTED = "aborted"


FIELDS: Mapping[str, str] = {
    "product": "product",
    "program": "program",
    "work_order_id": "workOrderId",
    "note": "note",
    "steps": "steps",
    "status": "status",
    "ended_at": "endedAt",
}
"""What people change of a batch, and how it is kept. Where they did, an import does not put it back (``edited``)."""


def opened(batch_id: str, said: Mapping[str, Any], machine: Equipment, caller: Caller, now: datetime) -> Document:
    """A batch that somebody opens.

    Args:
        batch_id: its id.
        said: stored names and values: ``startedAt``, ``endedAt``, ``product`` ..., ``core``, and ``askedFor``.
        machine: the oven.
        caller: who says so.
        now: the time.

    Raises:
        InvalidInput: its times cannot be.
    """
    started = said.get("startedAt") or iso(now)
    ended = said.get("endedAt")
    _check_times(started, ended, now)
    status = BatchStatus.RUNNING if ended is None else BatchStatus.COMPLETED
    batch: Document = {
        "id": batch_id,
        "batchId": batch_id,
        "equipmentId": machine.id,
        "equipmentName": machine.name,
        "site": machine.site,
        "source": "api",
        "status": status.value,
        "steps": [],
        "deviations": [],
        **{name: value for name, value in said.items() if value is not None},
        "startedAt": started,
        "openedBy": caller.name,
        "createdAt": iso(now),
        "changedAt": iso(now),
        "history": [{"at": iso(now), "by": caller.name, "action": "opened"}],
    }
    batch = to_tell(batch, BATCH_STARTED, "started", parse_iso(started))
    if ended is not None:
        batch = {**batch, "closedBy": caller.name}
        batch = to_tell(batch, BATCH_COMPLETED, "completed", parse_iso(ended))
    return batch


def changed(batch: Document, said: Mapping[str, Any], caller: Caller, now: datetime) -> Document:
    """The batch as a person wants it. ``said``: stored names and values; ``None`` empties.

    Raises:
        Conflict: it is over, and is not opened again.
        InvalidInput: its times cannot be.
    """
    wanted = dict(said)
    closing = _closing(batch, wanted, now)
    different = {name: value for name, value in wanted.items() if batch.get(name) != value}
    if not different:
        return batch
    if "endedAt" in different:
        _check_times(batch["startedAt"], different["endedAt"], now)
    changes = {api: {"from": batch.get(n), "to": different[n]} for api, n in FIELDS.items() if n in different}
    line = {"at": iso(now), "by": caller.name, "action": "closed" if closing else "changed", "changes": changes}
    after = {**batch, **different, "changedAt": iso(now)}
    after = {name: value for name, value in after.items() if value is not None or name not in different}
    after["history"] = [*batch.get("history", []), line][-MAX_HISTORY:]
    after["edited"] = sorted({*batch.get("edited", []), *different})
    if not closing:
        return after
    after["closedBy"] = caller.name
    return to_tell(after, BATCH_COMPLETED, "completed", parse_iso(after["endedAt"]))


def duration(batch: Mapping[str, Any]) -> float | None:
    """Seconds from beginning to end; ``None``: it has no end."""
    if batch.get("endedAt") is None:
        return None
    return round((parse_iso(batch["endedAt"]) - parse_iso(batch["startedAt"])).total_seconds(), 3)


def to_tell(batch: Document, event_type: str, key: str, moment: datetime) -> Document:
    """Note that this is to be told. The key makes the event's id: the same thing is told once."""
    mark = {"type": event_type, "key": key, "at": iso(moment), "status": batch["status"]}
    others = [known for known in batch.get("unpublished", []) if known["key"] != key]
    return {**batch, "unpublished": [*others, mark]}


def _closing(batch: Document, wanted: dict[str, Any], now: datetime) -> bool:
    """Does this close the batch? Fills in when."""
    status = wanted.get("status", batch["status"])
    running = batch["status"] == BatchStatus.RUNNING
    if status == BatchStatus.RUNNING:
        if not running:
            raise Conflict(
                f"The batch is {batch['status']} since {batch.get('endedAt') or 'some time'} and is not opened again: "
                "open another one."
            )
        if wanted.get("endedAt") is not None:
            raise InvalidInput("ended_at needs status beside it: completed or aborted.", field="ended_at")
        return False
    if not running and wanted.get("endedAt", "") is None:
        raise InvalidInput("ended_at of a batch that is over can be corrected, not removed.", field="ended_at")
    if running and wanted.get("endedAt") is None:
        wanted["endedAt"] = iso(now)
    return bool(running)


def _check_times(started: str, ended: str | None, now: datetime) -> None:
    latest = iso(now + CLOCKS_DIFFER)
    if started > latest:
        raise InvalidInput("started_at lies in the future: a batch is opened when it begins.", field="started_at")
    if ended is not None and ended > latest:
        raise InvalidInput("ended_at lies in the future: a batch is closed when it ends.", field="ended_at")
    if ended is not None and ended < started:
        raise InvalidInput(f"ended_at lies before started_at ({started}).", field="ended_at")
