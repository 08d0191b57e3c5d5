"""The equipment registry: `/api/v1/equipment[/{id}]`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field

from functions.endpoint import Answer, Call, endpoint, parse
from shared.access import Role
from shared.clock import iso

if TYPE_CHECKING:
    from shared.collection.status import ConnectionStatus
    from shared.equipment import Equipment

bp = func.Blueprint()

Form = TypeVar("Form", bound=BaseModel)


class EquipmentQuery(BaseModel):
    """Which machines."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    site: str | None = Field(None, max_length=200)
    iot_enabled: bool | None = None
    connection_status: Literal["connected", "disconnected", "error", "unknown"] | None = None
    search: str | None = Field(None, min_length=1, max_length=200, description="Part of name, id or serial number.")
    limit: int = Field(100, ge=1, le=1000)
    continuation: str | None = Field(None, max_length=4000)


@bp.route("api/v1/equipment", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def create_equipment(call: Call) -> Answer:
    """Register a machine."""
    from shared.equipment import NewEquipment

    new = _form(call, NewEquipment)
    equipment, etag = await call.services.equipment.create(new, call.caller)
    return await _answer(call, equipment, etag, status=201)


@bp.route("api/v1/equipment", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def list_equipment(call: Call) -> Answer:
    """Machines, in no particular order."""
    from shared.collection.status import ConnectionStatus
    from shared.equipment import EquipmentFilter

    never_read = ConnectionStatus()
    asked = call.params(EquipmentQuery)
    house = call.services
    statuses = await house.health.statuses()
    wanted = EquipmentFilter(site=asked.site, iot_enabled=asked.iot_enabled, search=asked.search)
    if (word := asked.connection_status) is not None:
        wanted = EquipmentFilter(
            site=asked.site,
            iot_enabled=asked.iot_enabled,
            search=asked.search,
            accepts=lambda i: statuses.get(i, never_read).status == word,
        )
    page = await house.equipment.list(wanted, limit=asked.limit, continuation=asked.continuation)
    machines = [equipment_body(machine, statuses.get(machine.id, never_read)) for machine in page.equipment]
    return Answer({"equipment": machines, "continuation": page.continuation})


# Called `read_` so that it stands behind `list_iot_alerts` in the alphabet: the host takes the first route that fits.
@bp.route("api/v1/equipment/{equipment_id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def read_equipment(call: Call) -> Answer:
    """One machine. With `If-None-Match`: 304 while its configuration and connection status are the same."""
    equipment, etag = await call.services.equipment.get(call.route["equipment_id"])
    return await _answer(call, equipment, etag)


@bp.route("api/v1/equipment/{equipment_id}", methods=["PATCH"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def change_equipment(call: Call) -> Answer:
    """Change some fields: what is left out stays, `null` puts the default back, `iot_config` is merged."""
    from shared.equipment import EquipmentChange

    change = _form(call, EquipmentChange)
    equipment, etag = await call.services.equipment.change(
        call.route["equipment_id"], change, call.caller, etag=expected_etag(call)
    )
    return await _answer(call, equipment, etag)


@bp.route("api/v1/equipment/{equipment_id}", methods=["PUT"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def put_equipment(call: Call) -> Answer:
    """Register under this id, or replace what is there; the same call twice is the same as once."""
    from shared.equipment import NewEquipment
    from shared.equipment.forms import refuse_read_only

    equipment_id = call.route["equipment_id"]
    body = call.json()
    refuse_read_only(body)
    new = parse(NewEquipment, {"id": equipment_id, **body} if isinstance(body, dict) else body)
    saved = await call.services.equipment.put(
        equipment_id,
        new,
        call.caller,
        etag=expected_etag(call),
        only_new=call.headers.get("if-none-match", "").strip() == "*",
    )
    return await _answer(call, saved.equipment, saved.etag, status=201 if saved.created else 200)


@bp.route("api/v1/equipment/{equipment_id}", methods=["DELETE"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def delete_equipment(call: Call) -> Answer:
    """Remove a machine and its credentials. Its readings stay until they expire, its alerts and rules stay."""
    equipment_id = call.route["equipment_id"]
    await call.services.equipment.delete(equipment_id, call.caller, etag=expected_etag(call))
    await call.services.health.remove(equipment_id)
    return Answer(status=204)


def equipment_body(equipment: Equipment, status: ConnectionStatus) -> dict[str, Any]:
    """The machine as the API shows it: the guide's fields, never its credentials."""
    from shared.equipment.changes import shown

    return {
        **shown(equipment),
        "iot_connection_status": status.status,
        "iot_connection_since": iso(status.since) if status.since is not None else None,
        "iot_last_connected": iso(status.last_connected) if status.last_connected is not None else None,
        "iot_last_error": status.last_error,
    }


def expected_etag(call: Call) -> str | None:
    """The stored etag that the caller expects; ``None``: any. See :func:`_tag`."""
    given = call.if_match
    return given if given is None else given.rpartition(".")[0] or given


def _tag(etag: str, status: ConnectionStatus) -> str:
    """The stored etag, and a word for the connection status: both are in the answer. ``iot_last_connected`` moves with
    every poll and is left out; live data is not what this resource is for."""
    said = f"{status.status}|{status.since}|{status.last_error}"
    return f"{etag}.{hashlib.sha256(said.encode()).hexdigest()[:8]}"


async def _answer(call: Call, equipment: Equipment, etag: str, *, status: int = 200) -> Answer:
    connection = await call.services.health.status(equipment.id)
    tag = _tag(etag, connection)
    headers = {"ETag": f'"{tag}"'}
    if call.method == "GET" and tag in _tags(call.headers.get("if-none-match", "")):
        return Answer(status=304, headers=headers)
    if status == 201:
        headers["Location"] = f"{call.services.settings.base_url}/api/v1/equipment/{equipment.id}"
    return Answer(equipment_body(equipment, connection), status, headers)


def _tags(header: str) -> set[str]:
    return {part.strip().removeprefix("W/").strip('"') for part in header.split(",") if part.strip()}


def _form(call: Call, model: type[Form]) -> Form:
    from shared.equipment.forms import refuse_read_only

    body = call.json()
    refuse_read_only(body)
    return parse(model, body)
