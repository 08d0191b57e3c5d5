"""Is the app alive, and can it work: `/api/health` and `/api/health/ready`."""

from __future__ import annotations

import azure.functions as func

from functions.endpoint import Answer, Call, endpoint
from shared.version import VERSION

bp = func.Blueprint()


@bp.route("api/health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(None)
async def health(call: Call) -> Answer:
    """Is the process alive? Answers without touching any backend."""
    return Answer({"status": "ok", "version": VERSION})


@bp.route("api/health/ready", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(None)
async def health_ready(call: Call) -> Answer:
    """Can it work? 503 while the store, the queue or the vault cannot be used, with what to do about it."""
    found = await call.services.readiness.check()
    if found["status"] == "ready":
        return Answer(found)
    return Answer(found, 503, {"Retry-After": "5"})
