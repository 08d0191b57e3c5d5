"""Batches: `/api/v1/batches[/{id}[/realtime-tracking]]`, imports of an oven's batches, and the timer that imports."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field, field_validator

from functions.endpoint import Answer, Call, UtcTime, endpoint, timer_worker
from shared.access import Role
from shared.clock import iso, parse_iso
from shared.errors import Conflict, InvalidInput, NotFound
from shared.services import Services

if TYPE_CHECKING:
    from shared.storage import Document, Stored
    from shared.work.batches_import import ImportStatus

bp = func.Blueprint()

ALERTS_SHOWN = 100
ALERTS_LOOK_BACK = timedelta(days=1)
"""An alert that was raised so long before a batch and still held is one of the batch, too."""


class BatchQuery(BaseModel):
    """Which batches, by the time they began."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    equipment_id: str | None = Field(None, pattern=r"^[A-Za-z0-9_-]{1,64}$")
    start: UtcTime | None = Field(None, alias="from", description="Begun at or after. Default: a week before the end.")
    end: UtcTime | None = Field(None, alias="to", description="Begun before. Default: no end.")
    status: Literal["running", "completed", "aborted"] | None = None
    limit: int = Field(100, ge=1, le=1000)
    continuation: str | None = Field(None, max_length=4000)

    @field_validator("start", "end")
    @classmethod
    def _a_time_of_baking(cls, value: datetime | None) -> datetime | None:
        if value is not None and not 2000 <= value.year <= 9000:
            raise ValueError("that is no time at which a batch was baked")
        return value


class Nothing(BaseModel):
    """A body that says nothing."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


@bp.route("api/v1/batches", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def list_batches(call: Call) -> Answer:
    """Batches by the time they began, newest first; of one oven, or of all."""
    from shared.work.batches import BatchQuestion
    from shared.work.batches_view import batch_line

    asked = call.params(BatchQuery)
    house = call.services
    # An imported batch may be ahead of our clock by its device's.
    end = asked.end or house.clock.now() + timedelta(days=1)
    start = asked.start or (asked.end or house.clock.now()) - timedelta(days=7)
    if start >= end:
        raise InvalidInput("`from` must be before `to`.", field="from")
    question = BatchQuestion(start, end, asked.equipment_id, asked.status)
    page = await house.batches.list(question, limit=asked.limit, continuation=asked.continuation)
    if asked.equipment_id is not None and not page.batches:
        await house.equipment.known(asked.equipment_id)  # 404 for an oven that never was; records outlive their oven
    return Answer({"batches": [batch_line(batch) for batch in page.batches], "continuation": page.continuation})


@bp.route("api/v1/batches", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR)
async def open_batch(call: Call) -> Answer:
    """Open a batch, by hand or by an MES. With an id of the caller's the same call twice opens one."""
    from shared.work.batches_forms import NewBatch

    stored, new = await call.services.batches.open(call.body(NewBatch), call.caller)
    return await _answer(call, stored, status=201 if new else 200)


@bp.route("api/v1/batches/{batch_id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_batch(call: Call) -> Answer:
    """Everything about one batch, the alerts of its oven during it included."""
    return await _answer(call, await call.services.batches.get(call.route["batch_id"]))


@bp.route("api/v1/batches/{batch_id}", methods=["PATCH"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR)
async def change_batch(call: Call) -> Answer:
    """Close a batch (`status` completed or aborted), or change its product, program, note, work order or steps."""
    from shared.work.batches_forms import BatchChange

    form = call.body(BatchChange)
    stored = await call.services.batches.change(call.route["batch_id"], form, call.caller, etag=call.if_match)
    return await _answer(call, stored)


@bp.route("api/v1/batches/{batch_id}/realtime-tracking", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_batch_tracking(call: Call) -> Answer:
    """What the oven of a batch says now, and what it said since the batch began; never a live poll."""
    from shared.work.batches_tracking import Tracking

    house = call.services
    batch = (await house.batches.get(call.route["batch_id"])).document
    try:
        machine = await house.equipment.known(batch["equipmentId"])
    except NotFound:
        raise Conflict(
            f"The oven of this batch ({batch['equipmentId']}) is no longer registered, so there is nothing to track; "
            "the record of the batch is at GET /api/v1/batches/{id}."
        ) from None
    status = await house.health.status(machine.id)
    body = await Tracking(house.readings, house.clock).view(batch, machine, status.status)
    return Answer({**body, "alerts": await _alerts(call, batch)})


# Imports -------------------------------------------------------------------------------------------------------------


@bp.route("api/v1/equipment/{equipment_id}/batch-import", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_batch_import(call: Call) -> Answer:
    """How the import of an oven's batches stands, complete up to when, failing since when and why."""
    equipment_id = call.route["equipment_id"]
    return Answer(_import_body(equipment_id, await call.services.work.batch_import.status(equipment_id)))


@bp.route("api/v1/equipment/{equipment_id}/batch-import", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR)
async def import_batches_now(call: Call) -> Answer:
    """Import now, not when it is due; an account that asked to be left alone is left alone."""
    if call.raw.strip():
        call.body(Nothing)
    equipment_id = call.route["equipment_id"]
    status = await call.services.work.batch_import.run_for(equipment_id)
    if not status.configured:
        raise Conflict(f"The batches of {equipment_id} are not imported. {status.reason}")
    return Answer(_import_body(equipment_id, status))


@bp.timer_trigger(schedule="30 */10 * * * *", arg_name="timer", run_on_startup=False, use_monitor=True)
@timer_worker
async def import_batches(past_due: bool, house: Services) -> None:
    """Every ten minutes: tell what a process that died left untold; import the batches that are due."""
    await house.work.batch_import.run()


# Bodies --------------------------------------------------------------------------------------------------------------


async def _answer(call: Call, stored: Stored, *, status: int = 200) -> Answer:
    from shared.work.batches_view import batch_details

    batch = stored.document
    headers = {"ETag": f'"{stored.etag}"'}
    if status == 201:
        headers["Location"] = f"{call.services.settings.base_url}/api/v1/batches/{batch['batchId']}"
    body = batch_details(batch, call.services.clock.now())
    return Answer({**body, "alerts": await _alerts(call, batch)}, status, headers)


async def _alerts(call: Call, batch: Document) -> list[dict[str, Any]]:
    """Alerts of the oven that held at some time during the batch, newest first; at most a hundred."""
    from shared.alerts.handling import AlertFilter
    from shared.alerts.view import alert_line

    now = call.services.clock.now()
    started = parse_iso(batch["startedAt"])
    last = batch.get("endedAt") or (iso(now) if batch["status"] == "running" else batch["startedAt"])
    # Bounded on both sides: of a batch of last year nobody pages through all alerts since.
    asked = AlertFilter(
        statuses=(), equipment_id=batch["equipmentId"], since=started - ALERTS_LOOK_BACK, until=parse_iso(last)
    )
    found: list[dict[str, Any]] = []
    continuation: str | None = None
    for _ in range(20):
        page = await call.services.alerts.list(asked, limit=200, continuation=continuation)
        for alert in page.alerts:
            over = alert.get("resolvedAt")
            if alert["triggeredAt"] <= last and (over is None or over >= batch["startedAt"]):
                found.append(alert_line(alert, now))
        continuation = page.continuation
        if continuation is None or len(found) >= ALERTS_SHOWN:
            break
    return found[:ALERTS_SHOWN]


def _import_body(equipment_id: str, status: ImportStatus) -> dict[str, Any]:
    state = status.state
    return {
        "equipment_id": equipment_id,
        "configured": status.configured,
        "reason": status.reason,
        "device_serial": status.serial,
        "complete_until": None if status.complete_until is None else iso(status.complete_until),
        "next_attempt_at": None if status.next_attempt is None else iso(status.next_attempt),
        "last_attempt_at": None if state is None or state.last_attempt is None else iso(state.last_attempt),
        "failing_since": None if state is None or state.failing_since is None else iso(state.failing_since),
        "failures": 0 if state is None else state.failures,
        "error": None if state is None else state.error,
        "error_code": None if state is None else state.error_code,
        "last_run": None if state is None else dict(state.counts),
        "unreadable": [] if state is None else [dict(one) for one in state.unreadable],
        "devices_without_oven": [] if state is None else list(state.elsewhere),
    }
