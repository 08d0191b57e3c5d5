"""What callers write about tasks, and what they ask for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from shared.clock import iso
from shared.work.task_model import FIELDS, Priority, TaskStatus

__all__ = ["NewTask", "TaskChange", "said_of"]

TASK_ID = r"^[A-Za-z0-9_-]{1,64}$"

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4_000)]
Reference = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("write a time that every calendar has") from None


Time = Annotated[AwareDatetime, AfterValidator(_utc)]


class _Task(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    description: Text | None = None
    kind: Line | None = Field(None, description="What sort of work: cleaning, repair ...")
    work_order_id: Reference | None = None
    reference: Reference | None = Field(None, description="How another system calls it.")
    assignee: Line | None = None
    start_at: Time | None = None
    due_at: Time | None = None

    @field_validator("title", "kind", "assignee", check_fields=False)
    @classmethod
    def _one_line(cls, value: str | None) -> str | None:
        if value is not None and not value.isprintable():
            raise ValueError("write one line that people can read")
        return value

    @model_validator(mode="after")
    def _in_order(self) -> _Task:
        if self.start_at is not None and self.due_at is not None and self.due_at < self.start_at:
            raise ValueError("due_at lies before start_at")
        return self


class NewTask(_Task):
    """A task to be made."""

    id: Annotated[str, Field(pattern=TASK_ID)] | None = Field(None, description="Yours; making it twice makes one.")
    title: Line
    equipment_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    alert_id: Reference | None = None
    status: TaskStatus = TaskStatus.OPEN
    priority: Priority = Priority.NORMAL


class TaskChange(_Task):
    """What is to be different. ``null`` empties a field that may be empty."""

    title: Line | None = None
    status: TaskStatus | None = None
    priority: Priority | None = None
    comment: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)] | None = None

    @model_validator(mode="after")
    def _not_emptied(self) -> TaskChange:
        for name in ("title", "status", "priority"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} cannot be null; leave it out to keep it")
        return self


def said_of(form: NewTask | TaskChange) -> dict[str, Any]:
    """Stored names and values of what was sent (of a new task: of all)."""
    names = FIELDS if isinstance(form, NewTask) else form.model_fields_set
    said: dict[str, Any] = {}
    for name in FIELDS:
        if name in names and hasattr(form, name):
            value = getattr(form, name)
            if name in ("start_at", "due_at") and value is not None:
                value = iso(value)
            said[FIELDS[name]] = value.value if isinstance(value, TaskStatus | Priority) else value
    return said
