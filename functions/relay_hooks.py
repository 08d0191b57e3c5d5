"""What calls in on the plant's own network: `/local/hooks/{source}/{token}`."""

from __future__ import annotations

import azure.functions as func

from functions.endpoint import Answer, Call, endpoint

bp = func.Blueprint()

MAX_HOOK_BYTES = 262_144
"""As at the hub's own door."""


@bp.route("local/hooks/{source}/{token}", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(None, max_body_bytes=MAX_HOOK_BYTES)
async def receive_local_hook(call: Call) -> Answer:
    """Take a message: 202 when it is on this relay's disk, 200 when it waits there already. It works while the hub is
    away; the hub judges the signature, by the time at which it came in."""
    call.services.settings.require()
    inbound = call.services.plant.inbound
    accepted = await inbound.receive(call.route["source"], call.route["token"], call.raw, call.headers)
    status = "duplicate" if accepted.duplicate else "accepted"
    return Answer({"status": status, "id": accepted.id}, 200 if accepted.duplicate else 202)
