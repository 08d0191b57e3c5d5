"""Work records: `/api/v1/sessions`, `/api/v1/calls`, `/api/v1/work-orders/{id}`, and the timer that tells of them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field, field_validator

from functions.endpoint import Answer, Call, UtcTime, endpoint, timer_worker
from shared.access import Role
from shared.clock import iso
from shared.errors import InvalidInput, NotFound
from shared.services import Services

if TYPE_CHECKING:
    from shared.inbox import InboundMessage
    from shared.storage import Document
    from shared.work.sessions_found import Kind

bp = func.Blueprint()


class RecordsQuery(BaseModel):
    """Which sessions, or calls."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    work_order_id: str | None = Field(None, min_length=1, max_length=255)
    equipment_id: str | None = Field(None, min_length=1, max_length=255)
    batch_id: str | None = Field(None, min_length=1, max_length=255)
    alert_id: str | None = Field(None, min_length=1, max_length=255)
    state: str | None = Field(None, min_length=1, max_length=500, description="The platform's own word.")
    ended: bool | None = Field(None, description="true: those that are over; false: those that go on.")
    source: str | None = Field(None, min_length=1, max_length=100, description="The platform.")
    start: UtcTime | None = Field(None, alias="from", description="Begun at or after.")
    end: UtcTime | None = Field(None, alias="to", description="Begun before.")
    limit: int = Field(100, ge=1, le=1000)
    continuation: str | None = Field(None, max_length=2000)

    @field_validator("start", "end")
    @classmethod
    def _a_time_of_work(cls, value: datetime | None) -> datetime | None:
        if value is not None and not 2000 <= value.year <= 9000:
            raise ValueError("that is no time at which somebody worked")
        return value


@bp.route("api/v1/sessions", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def list_sessions(call: Call) -> Answer:
    """Sessions of work instructions, newest first."""
    return await _list(call, "session")


@bp.route("api/v1/calls", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def list_calls(call: Call) -> Answer:
    """Calls for help from afar, newest first."""
    return await _list(call, "call")


@bp.route("api/v1/sessions/{session_id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_session(call: Call) -> Answer:
    """One session: steps, captures, what the oven did meanwhile."""
    return await _one(call, call.route["session_id"], "session")


@bp.route("api/v1/calls/{call_id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_call(call: Call) -> Answer:
    """One call."""
    return await _one(call, call.route["call_id"], "call")


@bp.route("api/v1/sessions/{session_id}/captures/{capture_id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, content_types=("image/jpeg", "image/png", "video/mp4", "application/octet-stream"))
async def get_session_capture(call: Call) -> Answer:
    """A photo or film of a session, as it was copied."""
    work = call.services.work
    record = (await work.sessions.get(call.route["session_id"])).document
    capture, data = await work.captures.read(record, call.route["capture_id"])
    headers = {
        "Content-Disposition": f'attachment; filename="{capture["id"]}"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "private, max-age=86400",
    }
    return Answer(data, 200, headers, capture["contentType"])


@bp.route("api/v1/work-orders/{work_order_id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_work_order(call: Call) -> Answer:
    """Everything that is known of a work order: sessions, calls, tasks, batches, alerts, messages."""
    from shared.alerts.view import alert_line
    from shared.work.batches_view import batch_line
    from shared.work.sessions_view import record_line
    from shared.work.task_model import task_line

    # The host leaves an encoded slash as it is, since it would be one of the path.
    name = re.sub("%2f", "/", call.route["work_order_id"], flags=re.IGNORECASE)
    if len(name) > 255:
        raise InvalidInput("A work order's id has at most 255 characters.", field="work_order_id")
    order = await call.services.work.orders.get(name)
    now = call.services.clock.now()
    return Answer(
        {
            "id": order.id,
            "equipment": [{"id": machine, "name": called} for machine, called in order.machines.items()],
            "sessions": [record_line(one) for one in order.sessions],
            "calls": [record_line(one) for one in order.calls],
            "tasks": [task_line(one) for one in order.tasks],
            "batches": [batch_line(one) for one in order.batches],
            "alerts": [alert_line(one, now) for one in order.alerts],
            "messages": [_message(one) for one in order.messages],
            "truncated": list(order.truncated),
        }
    )


@bp.timer_trigger(schedule="45 * * * * *", arg_name="timer", run_on_startup=False, use_monitor=False)
@timer_worker
async def tell_sessions(past_due: bool, house: Services) -> None:
    """Every minute: tell of sessions and calls what a process that died left untold."""
    await house.work.sessions.tell()


async def _list(call: Call, kind: Kind) -> Answer:
    from shared.work.sessions import RecordQuestion
    from shared.work.sessions_view import record_line

    asked = call.params(RecordsQuery)
    if asked.start is not None and asked.end is not None and asked.start >= asked.end:
        raise InvalidInput("`from` must be before `to`.", field="from")
    question = RecordQuestion(
        kind=kind,
        work_order_id=asked.work_order_id,
        equipment_id=asked.equipment_id,
        batch_id=asked.batch_id,
        alert_id=asked.alert_id,
        state=asked.state,
        ended=asked.ended,
        source=asked.source,
        since=asked.start,
        until=asked.end,
    )
    page = await call.services.work.sessions.list(question, limit=asked.limit, continuation=asked.continuation)
    return Answer({f"{kind}s": [record_line(one) for one in page.records], "continuation": page.continuation})


async def _one(call: Call, record_id: str, kind: Kind) -> Answer:
    from shared.work.sessions_view import record_details

    stored = await call.services.work.sessions.get(record_id)
    if stored.document["kind"] != kind:
        raise NotFound(f"{record_id[:64]} is no {kind}; it is a {stored.document['kind']}.")
    told = await call.services.platforms.records.desk.of(record_id)
    body = record_details(stored.document, call.services.clock.now()) | {"records": [_told(one) for one in told]}
    return Answer(body, 200, {"ETag": f'"{stored.etag}"'})


def _told(update: Document) -> dict[str, Any]:
    """What became of it in a system of record, in short."""
    return {
        "connection": update["id"],
        "status": update["status"],
        "id": update["externalId"],
        "attempts": update["attempts"],
        "error": update["error"],
    }


def _message(message: InboundMessage) -> dict[str, Any]:
    return {
        "id": message.id,
        "source": message.source,
        "event": message.event,
        "received_at": iso(message.received_at),
        "verdict": message.verdict,
        "status": message.status,
        "url": f"/api/v1/inbox/{message.id}",
    }
