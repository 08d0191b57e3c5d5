"""Our task events in the words of the article."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from shared.clock import parse_iso
from shared.events import Event
from shared.events import catalogue as ours
from shared.ids import digest_id
from shared.platforms.innius import words

__all__ = ["task_event"]

_NUMBERS = {status.value: number for number, status in words.TASK_STATUSES.items()}
_NAMES = {
    ours.TASK_CREATED: words.TASK_CREATED,
    ours.TASK_STATUS_CHANGED: words.TASK_STATUS,
    ours.TASK_ASSIGNED: words.TASK_ASSIGNEE,
}


def task_event(event: Event) -> Event:
    """TaskCreated, TaskStatusChange or TaskAssigneeChanged. Texts that nobody wrote are empty, and a task without times
    is scheduled for when it was made: the article has texts and whole numbers there."""
    data = event.data
    task_id = data["task_id"]
    common: dict[str, Any] = {"machinetrn": "", "activity_id": task_id}
    title = {"title": data["title"], "conversation_id": digest_id("conversation", task_id)}
    name = _NAMES[event.type]
    body: dict[str, Any]
    if name == words.TASK_CREATED:
        start = _milliseconds(data.get("start_at") or data["created_at"])
        end = data.get("due_at")
        body = {
            **common,
            "activity_type": data.get("kind") or "task",
            "scheduled_start": start,
            "scheduled_end": max(start, _milliseconds(end)) if end else start,
            "assignee": data.get("assignee") or "",
            **title,
            "description": data.get("description") or "",
        }
    elif name == words.TASK_STATUS:
        body = {**common, **title, "status": _NUMBERS[data["status"]]}
    else:
        body = {**common, **title, "assignee": data.get("assignee") or ""}
    return Event(
        id=digest_id("innius", event.id).upper(),
        type=name,
        timestamp=event.timestamp,
        object_type=event.object_type,
        object_id=event.object_id,
        name=name,
        data=body,
        correlation_id=event.correlation_id,
    )


def _milliseconds(moment: str) -> int:
    found: datetime = parse_iso(moment)
    return round(found.timestamp() * 1000)
