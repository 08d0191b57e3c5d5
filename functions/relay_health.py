"""Is the relay alive, and can it work: the same addresses as the hub's, and what only a relay knows beside it."""

from __future__ import annotations

import azure.functions as func

from functions.endpoint import Answer, Call, endpoint
from functions.health import may_see_details
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
    """Can it work? 503 while it cannot read or store. A hub that is away is a warning: the relay goes on without it.

    Anybody sees what to do; sentences that name addresses and machines are for who may look into the app.
    """
    details = await may_see_details(call)
    found = await call.services.readiness.check(details=details)
    troubles = await call.services.plant.troubles() if call.services.settings.problem == "" else []
    shown = details or call.services.settings.serves_loopback
    said = [trouble.problem if shown else trouble.advice for trouble in troubles if not trouble.blocking]
    check = {"status": "ok"}
    for trouble in troubles:
        if trouble.blocking:
            found["status"] = "not_ready"
            check = {"status": "unavailable", "advice": trouble.advice}
            if shown:
                check["problem"] = trouble.problem
            break
    found["checks"]["relay"] = check
    if said:
        found["warnings"] = [*found.get("warnings", []), *said]
    if found["status"] == "ready":
        return Answer(found)
    return Answer(found, 503, {"Retry-After": "5"})
