"""API tokens: `/api/v1/tokens`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field, field_validator

from functions.endpoint import Answer, Call, UtcTime, endpoint
from shared.access import Role
from shared.clock import iso

if TYPE_CHECKING:
    from shared.access.tokens import ApiToken

bp = func.Blueprint()


class NewToken(BaseModel):
    """A token that is wanted."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    name: str = Field(min_length=1, max_length=100, description="For people who read the audit log.")
    roles: list[Role] = Field(min_length=1, max_length=len(Role))
    expires_at: UtcTime | None = Field(None, description="Without an offset it is UTC; absent: never.")

    @field_validator("name")
    @classmethod
    def _readable(cls, value: str) -> str:
        if not value.strip() or not value.isprintable():
            raise ValueError("write a name that people can read, e.g. `line 2 dashboard`")
        return value.strip()


class TokenQuery(BaseModel):
    """Which page of the list."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    limit: int = Field(100, ge=1, le=1000)
    continuation: str | None = Field(None, max_length=2000)


@bp.route("api/v1/tokens", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ADMIN)
async def create_token(call: Call) -> Answer:
    """Create an API token. The answer shows it once; afterwards only its hash is known."""
    wanted = call.body(NewToken)
    token, shown_once = await call.services.access.tokens.create(
        name=wanted.name, roles=wanted.roles, expires_at=wanted.expires_at, caller=call.caller
    )
    return Answer({**_metadata(token, call.services.clock.now()), "token": shown_once}, 201)


@bp.route("api/v1/tokens", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ADMIN)
async def list_tokens(call: Call) -> Answer:
    """All tokens, revoked and expired ones included, without their secrets."""
    query = call.params(TokenQuery)
    tokens, continuation = await call.services.access.tokens.list(limit=query.limit, continuation=query.continuation)
    now = call.services.clock.now()
    return Answer({"tokens": [_metadata(token, now) for token in tokens], "continuation": continuation})


@bp.route("api/v1/tokens/{token_id:length(16)}", methods=["DELETE"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ADMIN)
async def revoke_token(call: Call) -> Answer:
    """Revoke a token. It stays in the list, and in the audit log."""
    await call.services.access.revoke(call.route["token_id"], caller=call.caller)
    return Answer(status=204)


def _metadata(token: ApiToken, now: datetime) -> dict[str, Any]:
    status = "active" if token.usable(now) else "revoked" if token.revoked_at is not None else "expired"
    return {
        "id": token.id,
        "name": token.name,
        "roles": sorted(role.value for role in token.roles),
        "status": status,
        "created_at": iso(token.created_at),
        "created_by": token.created_by,
        "expires_at": iso(token.expires_at) if token.expires_at else None,
        "revoked_at": iso(token.revoked_at) if token.revoked_at else None,
        "last_used_at": iso(token.last_used_at) if token.last_used_at else None,
    }
