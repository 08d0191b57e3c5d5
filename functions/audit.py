"""Who changed what: `/api/v1/audit`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field

from functions.endpoint import Answer, Call, UtcTime, endpoint
from shared.access import Role
from shared.clock import iso
from shared.errors import InvalidInput

if TYPE_CHECKING:
    from shared.audit import AuditEntry, Verification

bp = func.Blueprint()

VERIFY_SECONDS = 60.0
"""How long one call goes on verifying; then it answers with a continuation."""

_STREAM = r"^[A-Za-z0-9][A-Za-z0-9:._@-]{0,199}$"


class AuditQuery(BaseModel):
    """Which entries."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    stream: str | None = Field(None, pattern=_STREAM)
    actor: str | None = Field(None, max_length=200, description="The actor's id, e.g. `token:0123456789abcdef`.")
    action: str | None = Field(None, max_length=100)
    since: UtcTime | None = Field(None, description="Inclusive; without an offset it is UTC.")
    until: UtcTime | None = Field(None, description="Exclusive.")
    limit: int = Field(100, ge=1, le=1000)
    continuation: str | None = Field(None, max_length=1000)


class VerifyQuery(BaseModel):
    """Which chain, and what was noted of it."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    stream: str | None = Field(None, pattern=_STREAM)
    seq: int | None = Field(None, ge=1, description="Number of an entry that was noted earlier.")
    hash: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="Its hash as noted.")
    continuation: str | None = Field(None, pattern=_STREAM)


@bp.route("api/v1/audit", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.AUDITOR)
async def list_audit(call: Call) -> Answer:
    """Audit entries, newest first."""
    from shared.audit import AuditFilter

    query = call.params(AuditQuery)
    page = await call.services.audit.entries(
        AuditFilter(actor=query.actor, action=query.action, since=query.since, until=query.until),
        stream=query.stream,
        limit=query.limit,
        continuation=query.continuation,
    )
    return Answer({"entries": [_entry(entry) for entry in page.entries], "continuation": page.continuation})


@bp.route("api/v1/audit/verify", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.AUDITOR)
async def verify_audit(call: Call) -> Answer:
    """Recompute the chain of one stream, or of all: is every entry as it was written, and none missing?"""
    query = call.params(VerifyQuery)
    noted = _noted(query)
    if query.stream is not None:
        found = await call.services.audit.verify(query.stream, noted=noted)
        return Answer({"intact": found.intact, "streams": 1, "entries": found.entries, "results": [_result(found)]})
    return Answer(await _verify_all(call, query.continuation))


async def _verify_all(call: Call, after: str | None) -> dict[str, Any]:
    audit = call.services.audit
    until = time.monotonic() + VERIFY_SECONDS
    streams = [stream for stream in await audit.streams() if after is None or stream > after]
    checked = entries = 0
    broken: list[Verification] = []
    for stream in streams:
        found = await audit.verify(stream)
        checked += 1
        entries += found.entries
        if not found.intact:
            broken.append(found)
        if time.monotonic() > until:
            break
    return {
        "intact": not broken,
        "streams": checked,
        "entries": entries,
        "results": [_result(found) for found in broken],
        "continuation": streams[checked - 1] if checked < len(streams) else None,
    }


def _noted(query: VerifyQuery) -> tuple[int, str] | None:
    if query.seq is None and query.hash is None:
        return None
    if query.stream is None or query.seq is None or query.hash is None:
        missing = "stream" if query.stream is None else "seq" if query.seq is None else "hash"
        raise InvalidInput("To check against a note, give `stream`, `seq` and `hash` together.", field=missing)
    return query.seq, query.hash


def _result(found: Verification) -> dict[str, Any]:
    broken = found.first_break
    return {
        "stream": found.stream,
        "intact": found.intact,
        "entries": found.entries,
        "head": {"seq": found.head_seq, "hash": found.head_hash},
        "first_break": {"seq": broken.seq, "kind": broken.kind, "detail": broken.detail} if broken else None,
    }


def _entry(entry: AuditEntry) -> dict[str, Any]:
    return {
        "stream": entry.stream,
        "seq": entry.seq,
        "at": iso(entry.at),
        "actor": dict(entry.actor),
        "action": entry.action,
        "target": entry.target,
        "before": entry.before,
        "after": entry.after,
        "correlation_id": entry.correlation_id,
        "hash": entry.hash,
    }
