"""Connections to platforms: `/api/v1/connections`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field, field_validator

from functions.endpoint import Answer, Call, endpoint
from shared.access import Role
from shared.clock import iso
from shared.errors import InvalidInput

if TYPE_CHECKING:
    from datetime import datetime

    from shared.platforms.connections import PlatformConnection

bp = func.Blueprint()


class WantedConnection(BaseModel):
    """A connection to make."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    id: str = Field(pattern="^[a-z0-9][a-z0-9-]{0,62}$")
    platform: str = Field(pattern="^[a-z0-9_]{1,40}$")
    name: str = Field("", max_length=100)
    options: dict[str, Any] = Field(default_factory=dict, max_length=50, description="Of its platform.")
    credentials: dict[str, str] = Field(default_factory=dict, max_length=20, repr=False)

    @field_validator("name")
    @classmethod
    def _readable(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("write a name that people can read")
        return value.strip()


class ChangedConnection(BaseModel):
    """What shall be other than it is; what is absent stays."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    name: str | None = Field(None, min_length=1, max_length=100)
    options: dict[str, Any] | None = Field(None, max_length=50, description="Whole.")
    credentials: dict[str, str] | None = Field(None, max_length=20, repr=False, description="All of them, anew.")
    enabled: bool | None = None


class ConnectionsQuery(BaseModel):
    """Which ones."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    platform: str | None = Field(None, pattern="^[a-z0-9_]{1,40}$")


@bp.route("api/v1/connections", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def create_connection(call: Call) -> Answer:
    """Make a connection; its credentials go to the vault at once."""
    from shared.platforms.connections import NewConnection

    wanted = call.body(WantedConnection)
    new = NewConnection(wanted.id, wanted.platform, wanted.name or wanted.id, wanted.options, wanted.credentials)
    made = await call.services.platforms.connections.create(new, caller=call.caller)
    location = f"{call.services.settings.base_url}/api/v1/connections/{made.id}"
    return Answer(_shown(made), 201, {"Location": location})


@bp.route("api/v1/connections", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def list_connections(call: Call) -> Answer:
    """All connections, without their secrets."""
    found = await call.services.platforms.connections.list(call.params(ConnectionsQuery).platform)
    return Answer({"connections": [_shown(one) for one in found]})


@bp.route("api/v1/connections/{connection_id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_connection(call: Call) -> Answer:
    """One connection, without its secrets."""
    return Answer(_shown(await call.services.platforms.connections.get(call.route["connection_id"])))


@bp.route("api/v1/connections/{connection_id}", methods=["PATCH"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def change_connection(call: Call) -> Answer:
    """Change a connection. Another address needs its credentials anew."""
    wanted = call.body(ChangedConnection)
    if not wanted.model_fields_set:
        raise InvalidInput("Name at least one field to change.")
    changed = await call.services.platforms.connections.change(
        call.route["connection_id"],
        caller=call.caller,
        name=wanted.name,
        options=wanted.options,
        credentials=wanted.credentials,
        enabled=wanted.enabled,
    )
    return Answer(_shown(changed))


@bp.route("api/v1/connections/{connection_id}", methods=["DELETE"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def delete_connection(call: Call) -> Answer:
    """Forget a connection with its credentials."""
    await call.services.platforms.connections.delete(call.route["connection_id"], caller=call.caller)
    return Answer(status=204)


@bp.route("api/v1/connections/{connection_id}/test", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR)
async def try_connection(call: Call) -> Answer:
    """Ask the platform something harmless, now."""
    outcome = await call.services.platforms.connections.test(call.route["connection_id"])
    said: dict[str, Any] = {
        "success": outcome.success,
        "message": outcome.sentence,
        "response_time_ms": outcome.response_ms,
        "details": dict(outcome.details),
    }
    return Answer(said)


def _shown(found: PlatformConnection) -> dict[str, Any]:
    return {
        "id": found.id,
        "platform": found.platform,
        "name": found.name,
        "options": dict(found.options),
        "address": found.address,
        "credentials_set": found.credential_ref is not None,
        "enabled": found.enabled,
        "created_at": iso(found.created_at),
        "changed_at": iso(found.changed_at),
        "changed_by": found.changed_by,
        "last_ok_at": _time(found.last_ok_at),
        "last_error": found.last_error,
        "last_error_at": _time(found.last_error_at),
    }


def _time(value: datetime | None) -> str | None:
    return iso(value) if value else None
