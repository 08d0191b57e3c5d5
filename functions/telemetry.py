"""What the machines say: live data, history, and the timer that sums up the hours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field

from functions.endpoint import Answer, Call, UtcTime, endpoint, timer_worker
from shared.access import Role
from shared.services import Services

if TYPE_CHECKING:
    from shared.telemetry.live import Live

bp = func.Blueprint()


class HistoryQuery(BaseModel):
    """Which part of the history, and how summed up."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    start: UtcTime | None = Field(
        None, description="Inclusive; without an offset it is UTC. Default: a day before end."
    )
    end: UtcTime | None = Field(None, description="Exclusive. Default: now.")
    limit: int | None = Field(None, ge=1, description="Default 500 readings or 1,000 buckets.")
    continuation: str | None = Field(None, max_length=4000)
    order: Literal["asc", "desc"] = Field("asc", description="asc: oldest first.")
    bucket: str | None = Field(None, description="30s to 1d: 30s, 5m, 1h, 1d.")
    signals: str | None = Field(None, max_length=4000, description="A comma list of signal keys; default: all.")


@bp.route("api/v1/equipment/{equipment_id}/realtime-data", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_realtime_data(call: Call) -> Answer:
    """What a machine said last, with its age and quality. Never a live poll; never an old value as a fresh one."""
    return Answer(await live_view(call.services, call.route["equipment_id"]))


async def live_view(house: Services, equipment_id: str) -> dict[str, Any]:
    """What a machine said last. Raises ``NotFound``."""
    from shared.telemetry.live import Live

    equipment = await house.equipment.known(equipment_id)
    latest = await house.readings.latest(equipment.id)
    live = Live.of(equipment, latest, house.clock.now())
    known = await house.health.status(equipment.id)
    body = live.view(equipment, _connection(live, known.status))
    if body["active_batch_id"] is None and (batch := await house.batches.active(equipment.id)) is not None:
        # The machine names none; somebody opened one for it.
        body |= {"active_batch_id": batch["batchId"], "active_batch_name": batch.get("product") or batch.get("program")}
    if (context := await house.contexts.view(equipment.id)) is not None:
        body["context"] = context  # what another system knows of it
    return body


@bp.route("api/v1/equipment/{equipment_id}/sensor-history", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_sensor_history(call: Call) -> Answer:
    """Readings by time, or summed up by bucket."""
    from shared.telemetry.history import HistoryQuestion, answer_history

    asked = call.params(HistoryQuery)
    house = call.services
    equipment = await house.equipment.known(call.route["equipment_id"])
    question = HistoryQuestion.of(
        equipment.id,
        now=house.clock.now(),
        start=asked.start,
        end=asked.end,
        limit=asked.limit,
        continuation=asked.continuation,
        newest_first=asked.order == "desc",
        bucket=asked.bucket,
        signals=asked.signals,
    )
    return Answer(await answer_history(house.readings, question))


@bp.timer_trigger(schedule="0 5 * * * *", arg_name="timer", run_on_startup=False, use_monitor=True)
@timer_worker
async def roll_up_hours(past_due: bool, house: Services) -> None:
    """Five past every hour: sum up the hours that are over; remove credentials that a crash left behind."""
    await house.readings.rollups.catch_up(await house.equipment.ids())
    await house.equipment.sweep_credentials()


def _connection(live: Live, known: str) -> str:
    """The reading knows better than what this process remembers of the connection; an old reading knows nothing."""
    from shared.collection.status import word_for
    from shared.telemetry.document import failed

    if live.reading is not None and live.believed:
        return word_for(live.reading.error_code) if failed(live.reading) else "connected"
    return "unknown" if known == "connected" else known
