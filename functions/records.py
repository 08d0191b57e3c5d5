"""Systems of record: the queue that keeps them informed, the sweeper, and what became of each session and call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field

from functions.endpoint import Answer, Call, endpoint, queue_worker, timer_worker
from shared.access import Role
from shared.errors import Conflict
from shared.services import Services

if TYPE_CHECKING:
    from shared.storage import Document

bp = func.Blueprint()

Status = Literal["waiting", "sending", "recorded", "skipped", "failed", "unknown"]


class UpdatesQuery(BaseModel):
    """Which updates."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    status: Status = "failed"
    connection: str | None = Field(None, pattern="^[a-z0-9][a-z0-9-]{0,62}$")
    limit: int = Field(100, ge=1, le=1000)
    continuation: str | None = Field(None, max_length=4000)


class ReplayRecord(BaseModel):
    """How to tell it again."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    anew: bool = Field(
        False, description="Forget that it was told. Where records are created, that creates another one."
    )


class SettleRecord(BaseModel):
    """Somebody looked in the system: it is there."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    external_id: str | None = Field(None, min_length=1, max_length=255, description="What the system calls it.")


class ReplayUpdates(BaseModel):
    """Which ones to tell again: after credentials or a mapping were put right."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    connection: str = Field(pattern="^[a-z0-9][a-z0-9-]{0,62}$")
    status: Literal["failed", "skipped"] = "failed"
    limit: int = Field(100, ge=1, le=500)


@bp.service_bus_queue_trigger(arg_name="msg", queue_name="record-updates", connection="ServiceBusConnection")
@queue_worker
async def update_record(body: bytes, delivery_count: int, house: Services) -> None:
    """Bring one update of a system of record a step on."""
    await house.platforms.records.keeping.work(body)


@bp.timer_trigger(schedule="20 * * * * *", arg_name="timer", run_on_startup=False, use_monitor=False)
@timer_worker
async def sweep_record_updates(past_due: bool, house: Services) -> None:
    """Every minute: wake what lost its message."""
    await house.platforms.records.keeping.sweep()


@bp.route("api/v1/sessions/{record_id}/records", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_session_records(call: Call) -> Answer:
    """What became of a session in every system of record."""
    return await _records(call)


@bp.route("api/v1/calls/{record_id}/records", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_call_records(call: Call) -> Answer:
    """What became of a call in every system of record."""
    return await _records(call)


async def _records(call: Call) -> Answer:
    record_id = call.route["record_id"]
    await call.services.work.sessions.get(record_id)
    found = await call.services.platforms.records.desk.of(record_id)
    return Answer({"records": [shown_update(update) for update in found]})


@bp.route(
    "api/v1/sessions/{record_id}/records/{connection_id}/replay",
    methods=["POST"],
    auth_level=func.AuthLevel.ANONYMOUS,
)
@endpoint(Role.OPERATOR)
async def replay_session_record(call: Call) -> Answer:
    """Tell a system of record of this session (again)."""
    return await _replay(call)


@bp.route(
    "api/v1/calls/{record_id}/records/{connection_id}/replay", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS
)
@endpoint(Role.OPERATOR)
async def replay_call_record(call: Call) -> Answer:
    """Tell a system of record of this call (again)."""
    return await _replay(call)


async def _replay(call: Call) -> Answer:
    wanted = call.body(ReplayRecord) if call.raw.strip() else ReplayRecord()
    update = await call.services.platforms.records.desk.replay(
        call.route["record_id"], call.route["connection_id"], caller=call.caller, anew=wanted.anew
    )
    return Answer(shown_update(update), 202)


@bp.route(
    "api/v1/sessions/{record_id}/records/{connection_id}/settle",
    methods=["POST"],
    auth_level=func.AuthLevel.ANONYMOUS,
)
@endpoint(Role.OPERATOR)
async def settle_session_record(call: Call) -> Answer:
    """Say by hand that a system has this session: where nobody could know whether a call had its effect."""
    return await _settle(call)


@bp.route(
    "api/v1/calls/{record_id}/records/{connection_id}/settle", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS
)
@endpoint(Role.OPERATOR)
async def settle_call_record(call: Call) -> Answer:
    """Say by hand that a system has this call: where nobody could know whether telling it had its effect."""
    return await _settle(call)


async def _settle(call: Call) -> Answer:
    wanted = call.body(SettleRecord) if call.raw.strip() else SettleRecord(external_id=None)
    update = await call.services.platforms.records.desk.settle(
        call.route["record_id"], call.route["connection_id"], external_id=wanted.external_id, caller=call.caller
    )
    return Answer(shown_update(update))


@bp.route("api/v1/record-updates", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def list_record_updates(call: Call) -> Answer:
    """What systems of record were not told of (or what stands in another status), of one connection or of all."""
    asked = call.params(UpdatesQuery)
    page = await call.services.platforms.records.desk.standing(
        asked.status, asked.connection, limit=asked.limit, continuation=asked.continuation
    )
    return Answer({"updates": [shown_update(item.document) for item in page.items], "continuation": page.continuation})


@bp.route("api/v1/record-updates/replay", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR, refuses=(404,))
async def replay_record_updates(call: Call) -> Answer:
    """Tell a system of everything again that failed there, at most ``limit`` a call."""
    wanted = call.body(ReplayUpdates)
    desk = call.services.platforms.records.desk
    await call.services.platforms.connections.get(wanted.connection)
    page = await desk.standing(wanted.status, wanted.connection, limit=wanted.limit, continuation=None)
    replayed = skipped = 0
    for item in page.items:
        try:
            await desk.replay(item.document["recordId"], wanted.connection, caller=call.caller)
            replayed += 1
        except Conflict:
            skipped += 1
    return Answer({"replayed": replayed, "skipped": skipped, "more": page.continuation is not None}, 202)


def shown_update(update: Document) -> dict[str, Any]:
    """An update as the API tells it."""
    return {
        "record_id": update["recordId"],
        "kind": update["kind"],
        "connection": update["id"],
        "platform": update["platform"],
        "status": update["status"],
        "id": update["externalId"],
        "work_order_id": update.get("workOrderId"),
        "attempts": update["attempts"],
        "error": update["error"],
        "next_attempt_at": update.get("wakeAt") if update["status"] == "waiting" else None,
        "recorded_at": update.get("recordedAt"),
        "changed_at": update["changedAt"],
        "history": [
            {
                "number": line["n"],
                "at": line["at"],
                "result": line["result"],
                "status_code": line["status"],
                "detail": line["detail"],
                "duration_ms": line["ms"],
            }
            for line in update["history"]
        ],
    }
