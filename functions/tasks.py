"""Tasks: `/api/v1/tasks[/{id}]`, and the timer that tells what was left untold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field, field_validator

from functions.endpoint import Answer, Call, UtcTime, endpoint, timer_worker
from shared.access import Role
from shared.errors import InvalidInput
from shared.services import Services

if TYPE_CHECKING:
    from shared.storage import Stored
    from shared.work.tasks import TaskFilter

bp = func.Blueprint()

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class TaskQuery(BaseModel):
    """Which tasks. ``status`` may be a comma list; ``all`` is every one of them."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    status: str | None = Field(None, description="Default: open,in_progress,postponed.")
    equipment_id: str | None = Field(None, min_length=1, max_length=64)
    assignee: str | None = Field(None, min_length=1, max_length=200)
    alert_id: str | None = Field(None, min_length=1, max_length=255)
    work_order_id: str | None = Field(None, min_length=1, max_length=255)
    since: UtcTime | None = Field(None, description="Made at or after; without an offset it is UTC.")
    limit: int = Field(100, ge=1, le=1000)
    continuation: str | None = Field(None, max_length=2000)

    @field_validator("status")
    @classmethod
    def _status(cls, value: str | None) -> str | None:
        from shared.work.task_model import TaskStatus

        words = [word.value for word in TaskStatus]
        if value is not None and value != "all" and (unknown := [p for p in value.split(",") if p not in words]):
            raise ValueError(f"there is no {unknown[0][:40]!r}; choose of {', '.join(words)} (a comma list), or all")
        return value

    def filter(self) -> TaskFilter:
        """As the room takes it."""
        from shared.work.task_model import OPEN
        from shared.work.tasks import TaskFilter

        asked = () if self.status == "all" else tuple(dict.fromkeys((self.status or ",".join(OPEN)).split(",")))
        return TaskFilter(asked, self.equipment_id, self.assignee, self.alert_id, self.work_order_id, self.since)


@bp.route("api/v1/tasks", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR)
async def create_task(call: Call) -> Answer:
    """Make a task; asked for twice under one id or one Idempotency-Key, it is made once."""
    from shared.work.task_forms import NewTask

    stored, new = await call.services.tasks.create(call.body(NewTask), call.caller, key=_idempotency_key(call))
    location = f"{call.services.settings.base_url}/api/v1/tasks/{stored.document['id']}"
    return _answer(stored, 201 if new else 200, {"Location": location})


@bp.route("api/v1/tasks", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def list_tasks(call: Call) -> Answer:
    """Tasks, newest first; unless asked otherwise those that still need somebody."""
    from shared.work.task_model import task_line

    asked = call.params(TaskQuery)
    page = await call.services.tasks.list(asked.filter(), limit=asked.limit, continuation=asked.continuation)
    return Answer({"tasks": [task_line(task) for task in page.tasks], "continuation": page.continuation})


@bp.route("api/v1/tasks/{task_id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_task(call: Call) -> Answer:
    """One task with its comments and its history."""
    return _answer(await call.services.tasks.get(call.route["task_id"]))


@bp.route("api/v1/tasks/{task_id}", methods=["PATCH"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR)
async def change_task(call: Call) -> Answer:
    """Change some fields; `comment` adds a remark."""
    from shared.work.task_forms import TaskChange

    form = call.body(TaskChange)
    if not form.model_fields_set:
        raise InvalidInput("Nothing to change: send the fields that are to be different.", field="body")
    return _answer(await call.services.tasks.change(call.route["task_id"], form, call.caller, etag=call.if_match))


@bp.timer_trigger(schedule="15 * * * * *", arg_name="timer", run_on_startup=False, use_monitor=False)
@timer_worker
async def tell_tasks(past_due: bool, house: Services) -> None:
    """Every minute: tell of tasks what a process that died left untold."""
    await house.tasks.tell()


def _idempotency_key(call: Call) -> str | None:
    key = call.headers.get("idempotency-key")
    if key is not None and _KEY.fullmatch(key) is None:
        raise InvalidInput(
            "The header Idempotency-Key has 1 to 255 visible ASCII characters.", field="header Idempotency-Key"
        )
    return key


def _answer(stored: Stored, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    from shared.work.task_model import task_view

    return Answer(task_view(stored.document), status, {"ETag": f'"{stored.etag}"', **(headers or {})})
