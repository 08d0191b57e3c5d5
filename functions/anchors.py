"""Anchors of the audit log: the timers that write and check them, and `/api/v1/audit/anchors`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field

from functions.endpoint import Answer, Call, endpoint, timer_worker
from shared.access import Role
from shared.services import Services

if TYPE_CHECKING:
    from shared.audit.anchor import Anchor, Seal
    from shared.audit.shelf import Unreadable

bp = func.Blueprint()


# Not on the hour: other timers begin there. A run that was missed or failed is made good by the next.
@bp.timer_trigger(schedule="0 7 * * * *", arg_name="timer", run_on_startup=False, use_monitor=True)
@timer_worker
async def anchor_audit(past_due: bool, house: Services) -> None:
    """Every hour: note where the streams of the audit log stand; in the first of a day (UTC) seal the day before."""
    await house.anchoring.anchor()
    await house.anchoring.seal()


@bp.timer_trigger(schedule="0 37 1 * * *", arg_name="timer", run_on_startup=False, use_monitor=True)
@timer_worker
async def check_audit(past_due: bool, house: Services) -> None:
    """Every night: verify what moved in the audit log lately, and a share of the rest."""
    await house.audit_proof.check_daily()


class AnchorsQuery(BaseModel):
    """Which anchors."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    kind: Literal["anchor", "seal"] = Field("anchor", description="Hourly anchors, or the daily seals over them.")
    heads: bool = Field(False, description="With all that they hold.")
    limit: int = Field(24, ge=1, le=100)
    continuation: int | None = Field(None, ge=1, le=999_999_999)


@bp.route("api/v1/audit/anchors", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.AUDITOR)
async def list_audit_anchors(call: Call) -> Answer:
    """Anchors or seals, newest first, with the hash of each: note some elsewhere."""
    from shared.audit.shelf import Unreadable

    query = call.params(AnchorsQuery)
    proof = call.services.audit_proof
    page: list[Anchor | Seal | Unreadable] = []
    if query.kind == "seal":
        seals, more = await proof.seals(below=query.continuation, limit=query.limit)
        page.extend(seals)
    else:
        anchors, more = await proof.anchors(below=query.continuation, limit=query.limit)
        page.extend(anchors)
    told = [
        _damaged(item, query.kind) if isinstance(item, Unreadable) else _told(item, heads=query.heads) for item in page
    ]
    return Answer({"anchors": told, "continuation": more})


def _told(item: Anchor | Seal, *, heads: bool) -> dict[str, Any]:
    from shared.audit.anchor import Seal

    body: dict[str, Any] = {
        "kind": item.kind,
        "number": item.number,
        "name": item.name,
        "at": item.at,
        "sha256": item.sha256,
        "previous_sha256": item.previous,
        "streams": len({head.stream for head in item.heads}),
        "problem": None,
    }
    if isinstance(item, Seal):
        body["anchors"] = {"count": len(item.anchors), "through": item.through}
    if heads:
        body["heads"] = [head.model_dump() for head in item.heads]
    return body


def _damaged(item: Unreadable, kind: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "number": item.number,
        "name": f"{kind}-{item.number:09d}.json",
        "at": None,
        "sha256": item.sha256 or None,
        "previous_sha256": None,
        "streams": None,
        "problem": f"It was changed after it was written: {item.problem}.",
    }
