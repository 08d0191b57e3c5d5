"""What a task is, and what may be done with it: pure functions over its stored document.

Each change answers with a new document, or with the very one it was given when there is nothing to change. What is to
be told is noted in the document itself (``unpublished``) by the same write that makes it true, and told after.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.access import Caller
from shared.clock import compact, iso
from shared.errors import Conflict
from shared.events.catalogue import TASK_ASSIGNED, TASK_CREATED, TASK_STATUS_CHANGED
from shared.storage import Document

__all__ = ["FIELDS", "OPEN", "Priority", "TaskStatus", "changed", "created", "task_line", "task_view"]

MAX_COMMENTS = 200
MAX_HISTORY = 200


class TaskStatus(StrEnum):
    """How far it is."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    CANCELLED = "cancelled"
    POSTPONED = "postponed"


class Priority(StrEnum):
    """How urgent it is."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


OPEN = (TaskStatus.OPEN.value, TaskStatus.IN_PROGRESS.value, TaskStatus.POSTPONED.value)
"""What still needs somebody."""

FIELDS: Mapping[str, str] = {
    "title": "title",
    "description": "description",
    "kind": "kind",
    "equipment_id": "equipmentId",
    "alert_id": "alertId",
    "work_order_id": "workOrderId",
    "reference": "reference",
    "status": "status",
    "priority": "priority",
    "assignee": "assignee",
    "start_at": "startAt",
    "due_at": "dueAt",
}
"""What a caller writes, and how it is kept."""


def created(task_id: str, said: Mapping[str, Any], caller: Caller, now: datetime, *, digest: str) -> Document:
    """A new task. ``said``: stored names and values; ``digest``: of what was asked, to know a repetition by."""
    task: Document = {
        "id": task_id,
        **{name: said.get(name) for name in FIELDS.values()},
        "equipmentName": said.get("equipmentName"),
        "site": said.get("site"),
        "createdAt": iso(now),
        "createdBy": caller.name,
        "createdById": caller.id,
        "changedAt": iso(now),
        "askedFor": digest,
        "comments": [],
        "history": [{"at": iso(now), "by": caller.name, "action": "created"}],
    }
    return _to_tell(_ended(task, now, caller), TASK_CREATED, "created", now, by=caller.name)


def changed(task: Document, said: Mapping[str, Any], text: str | None, caller: Caller, now: datetime) -> Document:
    """The task with other values, and a comment. Raises ``Conflict`` (too many comments)."""
    different = {name: value for name, value in said.items() if task.get(name) != value}
    comments = task["comments"]
    if text is not None and not (comments and comments[-1]["text"] == text and comments[-1]["byId"] == caller.id):
        if len(comments) >= MAX_COMMENTS:
            raise Conflict(f"This task has {MAX_COMMENTS} comments; that is the most it can hold.")
        comments = [*comments, {"at": iso(now), "by": caller.name, "byId": caller.id, "text": text}]
    if not different and comments is task["comments"]:
        return task
    line: dict[str, Any] = {"at": iso(now), "by": caller.name, "action": "changed" if different else "commented"}
    if different:
        line["changes"] = {_api_name(n): {"from": task.get(n), "to": v} for n, v in different.items()}
    after = {**task, **different, "comments": comments, "changedAt": iso(now)}
    after["history"] = [*task["history"], line][-MAX_HISTORY:]
    if "status" in different:
        after = _ended(after, now, caller)
        key = f"status:{compact(now)}:{len(task['history'])}"
        after = _to_tell(after, TASK_STATUS_CHANGED, key, now, by=caller.name, previous_status=task["status"])
    if "assignee" in different:
        # A number, not the time alone: given away and taken back within a millisecond is still two.
        key = f"assigned:{compact(now)}:{len(task['history'])}"
        after = _to_tell(after, TASK_ASSIGNED, key, now, by=caller.name, previous_assignee=task.get("assignee"))
    return after


def _api_name(stored: str) -> str:
    return next((api for api, name in FIELDS.items() if name == stored), stored)


def _ended(task: Document, now: datetime, caller: Caller) -> Document:
    over = task["status"] not in OPEN
    return {**task, "endedAt": iso(now) if over else None, "endedBy": caller.name if over else None}


def _to_tell(task: Document, event_type: str, key: str, now: datetime, **more: Any) -> Document:
    """A mark holds what was so at that moment: a later change must not be told twice and this one never."""
    mark = {"type": event_type, "key": key, "at": iso(now), "status": task["status"], "assignee": task["assignee"]}
    return {**task, "unpublished": [*task.get("unpublished", []), {**mark, **more}]}


def task_line(task: Document) -> dict[str, Any]:
    """One line of a list. Every field is there; what is not known is null."""
    return {
        "id": task["id"],
        **{name: task.get(key) for name, key in FIELDS.items()},
        "equipment_name": task.get("equipmentName"),
        "site": task.get("site"),
        "created_at": task["createdAt"],
        "created_by": task["createdBy"],
        "changed_at": task["changedAt"],
        "ended_at": task.get("endedAt"),
        "ended_by": task.get("endedBy"),
    }


def task_view(task: Document) -> dict[str, Any]:
    """Everything about one task."""
    comments = [{k: c[k] for k in ("at", "by", "text")} for c in task["comments"]]
    return {**task_line(task), "comments": comments, "history": task["history"]}
