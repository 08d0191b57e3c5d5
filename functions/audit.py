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
    from shared.audit import AuditEntry, Break, Verification
    from shared.audit.evidence import Evidence
    from shared.audit.proof import AuditProof

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
    """Recompute the chain of one stream, or of all, and hold it against the anchors: is every entry as it was written,
    and none missing?"""
    query = call.params(VerifyQuery)
    noted = _noted(query)
    proof = call.services.audit_proof
    if query.stream is None:
        return Answer(await _verify_all(proof, query.continuation))
    evidence = await proof.evidence(wanted=lambda stream: stream == query.stream, opened=lambda _seal: False)
    found = await proof.verify(query.stream, noted=noted, evidence=evidence)
    return Answer(
        {
            "intact": found.intact and evidence.first_break is None,
            "streams": 1,
            "entries": found.entries,
            "results": [_result(found)],
            "anchors": _anchors(evidence),
        }
    )


async def _verify_all(proof: AuditProof, after: str | None) -> dict[str, Any]:
    until = time.monotonic() + VERIFY_SECONDS
    evidence = await proof.evidence(wanted=lambda stream: after is None or stream > after, opened=lambda _seal: False)
    streams = [stream for stream in await proof.streams(evidence) if after is None or stream > after]
    checked = entries = 0
    told: list[Verification] = []
    for stream in streams:
        found = await proof.verify(stream, evidence=evidence)
        checked += 1
        entries += found.entries
        if not found.intact or found.doubt is not None:
            told.append(found)
        if time.monotonic() > until:
            break
    return {
        "intact": all(found.intact for found in told) and evidence.first_break is None,
        "streams": checked,
        "entries": entries,
        "results": [_result(found) for found in told],
        "anchors": _anchors(evidence),
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
    """Field names are part of the contract: docs/audit.md."""
    anchored = found.anchored
    return {
        "stream": found.stream,
        "intact": found.intact,
        "entries": found.entries,
        "head": {"seq": found.head_seq, "hash": found.head_hash},
        "anchored": {
            "since": anchored.since,
            "anchors": anchored.anchors,
            "seq": anchored.seq,
            "at": anchored.at,
            "anchor": anchored.anchor,
        }
        if anchored
        else None,
        "first_break": _break(found.first_break),
        "doubt": _break(found.doubt),
    }


def _break(found: Break | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"seq": found.seq, "kind": found.kind, "detail": found.detail, "anchor": found.anchor}


def _anchors(evidence: Evidence) -> dict[str, Any]:
    return {
        "count": evidence.anchors,
        "seals": evidence.seals,
        "newest_at": evidence.newest,
        "intact": evidence.first_break is None,
        "first_break": _break(evidence.first_break),
        "doubt": _break(evidence.doubt),
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
