"""The import of what no webhook brought: its timer, how it stands, and running it now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import azure.functions as func
from pydantic import BaseModel, ConfigDict

from functions.endpoint import Answer, Call, endpoint, timer_worker
from shared.access import Role
from shared.errors import Conflict
from shared.services import Services

if TYPE_CHECKING:
    from shared.storage import Document

bp = func.Blueprint()


class Nothing(BaseModel):
    """A body that says nothing."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


@bp.timer_trigger(schedule="15 */10 * * * *", arg_name="timer", run_on_startup=False, use_monitor=True)
@timer_worker
async def import_sessions(past_due: bool, house: Services) -> None:
    """Every ten minutes: go on with imports that are under way, begin those that are due."""
    await house.platforms.scope_ar.importing.run_due()


@bp.route("api/v1/connections/{connection_id}/import", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_connection_import(call: Call) -> Answer:
    """How the import over a connection stands: up to when it is complete, how many no webhook had brought."""
    connection_id = await _checked(call)
    return Answer(_shown(connection_id, await call.services.platforms.scope_ar.importing.mark(connection_id)))


@bp.route("api/v1/connections/{connection_id}/import", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR)
async def run_connection_import(call: Call) -> Answer:
    """Import now: go on with the walk, or begin one; bounded in pages, so repeat it until `complete` is true."""
    if call.raw.strip():
        call.body(Nothing)
    connection_id = await _checked(call)
    importing = call.services.platforms.scope_ar.importing
    done = await importing.run(connection_id)
    return Answer(_shown(connection_id, await importing.mark(connection_id)) | {"complete": done.whole})


async def _checked(call: Call) -> str:
    connection = await call.services.platforms.connections.get(call.route["connection_id"])
    if connection.platform != "scope_ar":
        raise Conflict(f"{connection.id} is a connection to {connection.platform}; nothing is imported over it.")
    return connection.id


def _shown(connection_id: str, mark: Document) -> dict[str, Any]:
    missed = mark.get("missed", {})
    return {
        "connection": connection_id,
        "walking": mark.get("kind") is not None,
        "started_at": mark.get("startedAt"),
        "complete_until": mark.get("startedAt") if mark.get("kind") is None else None,
        "last_complete_at": mark.get("completeAt"),
        "last_run_at": mark.get("lastRunAt"),
        "last_run": mark.get("lastRun"),
        "missed": {"session": missed.get("session", 0), "call": missed.get("call", 0)},
        "last_missed_at": mark.get("lastMissedAt"),
        "completed": mark.get("completed", 0),
        "error": mark.get("error"),
        "problems": mark.get("problems", []),
    }
