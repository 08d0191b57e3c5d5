"""Work records for BI and service desks: exports, the files of each day, service levels of calls."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field, field_validator

from functions.endpoint import Answer, Call, UtcTime, endpoint, timer_worker
from shared.access import Role
from shared.clock import iso
from shared.errors import InvalidInput
from shared.services import Services

if TYPE_CHECKING:
    from shared.tables import Format

bp = func.Blueprint()

LONGEST = timedelta(days=366)
FILES = ("text/csv", "application/x-ndjson", "application/vnd.apache.parquet")


class _Span(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    start: UtcTime = Field(alias="from", description="At or after.")
    end: UtcTime = Field(alias="to", description="Before; at most 366 days later.")

    @field_validator("start", "end")
    @classmethod
    def _a_time_of_work(cls, value: datetime) -> datetime:
        if not 2000 <= value.year <= 9000:
            raise ValueError("that is no time at which somebody worked")
        return value

    def check(self) -> None:
        if self.start >= self.end:
            raise InvalidInput("`from` must be before `to`.", field="from")
        if self.end - self.start > LONGEST:
            raise InvalidInput("At most 366 days at a time: ask for less.", field="to")


class ExportQuery(_Span):
    """Which records, and as what."""

    format: Literal["csv", "jsonl", "parquet"] = "csv"
    by: Literal["started", "changed"] = Field(
        "started", description="Which time counts. changed: what is new since the last export."
    )
    kind: Literal["session", "call"] | None = None
    limit: int = Field(5_000, ge=1, le=10_000)
    continuation: str | None = Field(None, max_length=2000, description="Of the part before.")


class LevelsQuery(_Span):
    """Of which calls."""

    group_by: Literal["job_type", "work_order_id", "equipment_id", "site", "connection", "day"] = "job_type"


class NoQuery(BaseModel):
    """Nothing is asked for in the query."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class FilesQuery(BaseModel):
    """Which files."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    month: str | None = Field(None, pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$", description="e.g. 2026-11.")


class FileQuery(BaseModel):
    """Which file of a day."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    format: Literal["csv", "parquet"] = "parquet"


@bp.route("api/v1/sessions/export", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, content_types=FILES)
async def export_sessions(call: Call) -> Answer:
    """Sessions and calls as CSV, JSON lines or Parquet. More than `limit`: the header `Link` has the next part."""
    from shared.tables import CONTENT_TYPES

    asked = call.params(ExportQuery)
    asked.check()
    form: Format = asked.format
    part = await call.services.work.exports.page(
        asked.start,
        asked.end,
        form,
        by=asked.by,
        kind=asked.kind,
        limit=asked.limit,
        continuation=asked.continuation,
    )
    name = f"sessions-{asked.start:%Y-%m-%d}-{asked.end:%Y-%m-%d}.{form}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Rows": str(part.rows)}
    if part.continuation is not None:
        again = {
            "from": iso(asked.start),
            "to": iso(asked.end),
            "format": form,
            "by": asked.by,
            "limit": str(asked.limit),
            "continuation": part.continuation,
        } | ({"kind": asked.kind} if asked.kind else {})
        headers["X-Continuation"] = part.continuation
        base = call.services.settings.base_url
        headers["Link"] = f'<{base}/api/v1/sessions/export?{urlencode(again)}>; rel="next"'
    return Answer(part.data, 200, headers, CONTENT_TYPES[form])


@bp.timer_trigger(schedule="0 20 3 * * *", arg_name="timer", run_on_startup=False, use_monitor=True)
@timer_worker
async def keep_session_files(past_due: bool, house: Services) -> None:
    """Every night: write the files of the days that are over, as Parquet and CSV."""
    await house.work.exports.keep_days()


@bp.route("api/v1/exports", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def list_export_files(call: Call) -> Answer:
    """The files of each day, by name; BI tools read them in the storage account, or one by one here."""
    names = await call.services.work.exports.files(call.params(FilesQuery).month)
    return Answer({"files": names})


@bp.route("api/v1/exports/sessions/{day}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, content_types=FILES)
async def get_export_file(call: Call) -> Answer:
    """The file of one day, e.g. `2026-11-20`."""
    from shared.tables import CONTENT_TYPES

    form = call.params(FileQuery).format
    try:
        day = date.fromisoformat(call.route["day"])
    except ValueError:
        raise InvalidInput("A day is written 2026-11-20.", field="day") from None
    data = await call.services.work.exports.file(day, form)
    headers = {"Content-Disposition": f'attachment; filename="sessions-{day.isoformat()}.{form}"'}
    return Answer(data, 200, headers, CONTENT_TYPES[form])


@bp.route("api/v1/calls/service-levels", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def calls_service_levels(call: Call) -> Answer:
    """How long calls took to be answered and resolved, and whether their targets were met, by group."""
    asked = call.params(LevelsQuery)
    asked.check()
    whole, groups = await call.services.work.service_levels.figures(asked.start, asked.end, asked.group_by)
    return Answer(
        {
            "from": iso(asked.start),
            "to": iso(asked.end),
            "group_by": asked.group_by,
            "total": _figures(asdict(whole)),
            "groups": [{asked.group_by: group.key} | _figures(asdict(group)) for group in groups],
        }
    )


@bp.route("api/v1/calls/service-levels/targets", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def calls_service_targets(call: Call) -> Answer:
    """The targets."""
    call.params(NoQuery)
    return Answer((await call.services.work.service_levels.targets()).model_dump(mode="json"))


@bp.route("api/v1/calls/service-levels/targets", methods=["PUT"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def calls_set_service_targets(call: Call) -> Answer:
    """Set the targets by job type, all of them anew; figures of the past are judged by them, too."""
    from shared.work.service_levels import ServiceTargets

    kept = await call.services.work.service_levels.keep(call.body(ServiceTargets), caller=call.caller)
    return Answer(kept.model_dump(mode="json"))


def _figures(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "key"}
