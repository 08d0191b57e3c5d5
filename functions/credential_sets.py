"""Credentials that many machines share: `/api/v1/credential-sets`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field, field_validator

from functions.endpoint import Answer, Call, endpoint
from shared.access import Role
from shared.clock import iso
from shared.errors import InvalidInput

if TYPE_CHECKING:
    from shared.equipment.shared_credentials import SharedCredentials, SharedSet

bp = func.Blueprint()


class WantedSet(BaseModel):
    """A set as it shall be."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    name: str = Field("", max_length=100)
    protocol: str = Field("rest_api", max_length=40, description="Of the machines that use it.")
    endpoint: str = Field(min_length=1, max_length=2000, description="The address it may be sent to.")
    port: int | None = Field(None, ge=1, le=65_535)
    credentials: dict[str, Any] = Field(min_length=1, max_length=30, description="As a machine's own would be written.")

    @field_validator("name")
    @classmethod
    def _readable(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("write a name that people can read")
        return value.strip()


@bp.route("api/v1/credential-sets/{set_id}", methods=["PUT"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def put_credential_set(call: Call) -> Answer:
    """Make a set, or give it new values: every machine that names it has them within ten minutes."""
    import re

    from shared.equipment.shared_credentials import ID, NewSharedCredentials

    wanted = call.body(WantedSet)
    set_id = call.route["set_id"]
    if re.fullmatch(ID, set_id) is None:
        raise InvalidInput("The id is lower-case letters, digits and hyphens, such as vendor-madrid.", field="id")
    new = NewSharedCredentials(
        id=set_id,
        name=wanted.name or set_id,
        protocol=wanted.protocol,
        endpoint=wanted.endpoint,
        port=wanted.port,
        values=wanted.credentials,
    )
    saved, created = await _sets(call).put(new, call.caller)
    return Answer(_shown(saved), 201 if created else 200)


@bp.route("api/v1/credential-sets", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def list_credential_sets(call: Call) -> Answer:
    """All sets, never their values."""
    call.params(NoQuery)
    return Answer({"credential_sets": [_shown(one) for one in await _sets(call).list()]})


@bp.route("api/v1/credential-sets/{set_id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_credential_set(call: Call) -> Answer:
    """One set with the machines that use it, never its values."""
    sets = _sets(call)
    found = await sets.get(call.route["set_id"])
    return Answer({**_shown(found), "used_by": await sets.users(found.id)})


@bp.route("api/v1/credential-sets/{set_id}", methods=["DELETE"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def delete_credential_set(call: Call) -> Answer:
    """Forget a set that no machine uses."""
    await _sets(call).delete(call.route["set_id"], call.caller)
    return Answer(status=204)


class NoQuery(BaseModel):
    """There is nothing to ask for."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


def _sets(call: Call) -> SharedCredentials:
    return call.services.equipment.shared_credentials


def _shown(found: SharedSet) -> dict[str, Any]:
    return {
        "id": found.id,
        "name": found.name,
        "address": found.address,
        "created_at": iso(found.created_at),
        "changed_at": iso(found.changed_at),
        "changed_by": found.changed_by,
    }
