"""Reading devices: the timer that plans, the queue that reads, the hourly summary, the connection log."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field

from functions.endpoint import Answer, Call, UtcTime, endpoint, queue_worker, timer_worker
from shared.access import Role
from shared.clock import iso
from shared.errors import InvalidInput
from shared.services import Services

if TYPE_CHECKING:
    from shared.collection.connection_log import LogEntry

bp = func.Blueprint()


@bp.timer_trigger(schedule="*/5 * * * * *", arg_name="timer", run_on_startup=False, use_monitor=False)
@timer_worker
async def plan_polls(past_due: bool, house: Services) -> None:
    """Every five seconds: send messages for the devices that are due in the next five."""
    await house.polling.plan(house.clock.now())


@bp.service_bus_queue_trigger(arg_name="msg", queue_name="poll-batches", connection="ServiceBusConnection")
@queue_worker
async def read_poll_batch(body: bytes, delivery_count: int, house: Services) -> None:
    """Read the devices of one message."""
    await house.polling.read_batch(body, delivery_count=delivery_count)


@bp.timer_trigger(schedule="0 3 * * * *", arg_name="timer", run_on_startup=False, use_monitor=True)
@timer_worker
async def summarise_connections(past_due: bool, house: Services) -> None:
    """Every hour: one line per machine in its connection log; tell what a process that died left untold."""
    await house.ingest.tell()
    # A run that was missed means that the host was away: sum up what it did before, too.
    await house.connection_summary.write(house.clock.now(), hours=24 if past_due else 1)


class LogQuery(BaseModel):
    """What part of the connection log."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    start: UtcTime | None = None
    """Inclusive; one day before ``end`` when left out."""
    end: UtcTime | None = None
    """Exclusive; now when left out."""
    limit: int = Field(100, ge=1, le=1000)
    continuation: str | None = None


@bp.route("api/v1/equipment/{equipment_id}/connection-log", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_connection_log(call: Call) -> Answer:
    """Connections won and lost, failed polls, tests and hourly summaries, newest first."""
    asked = call.params(LogQuery)
    equipment_id = call.route["equipment_id"]
    await call.services.equipment.get(equipment_id)  # 404 for a machine that is not there
    end = asked.end or call.services.clock.now() + timedelta(milliseconds=1)
    start = asked.start or end - timedelta(days=1)
    if start >= end:
        raise InvalidInput("`start` must be before `end`.", field="start")
    page = await call.services.health.log(equipment_id, start, end, asked.limit, asked.continuation)
    return Answer(
        {
            "equipment_id": equipment_id,
            "events": [_entry(entry) for entry in page.entries],
            "continuation": page.continuation,
        }
    )


def _entry(entry: LogEntry) -> dict[str, Any]:
    """The guide's fields, each present, so that a table needs no cases."""
    body: dict[str, Any] = {
        "event_type": entry.event_type,
        "event_time": iso(entry.event_time),
        "connection_status": entry.connection_status,
        "error_message": entry.error_message,
        "error_code": entry.error_code,
        "response_time_ms": entry.response_time_ms,
        "data_points_received": entry.data_points_received,
    }
    if entry.summary is not None:
        body["summary"] = entry.summary
    return body
