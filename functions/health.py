"""Is the app alive, and can it work: `/api/health` and `/api/health/ready`."""

from __future__ import annotations

import asyncio

import azure.functions as func

from functions.endpoint import Answer, Call, endpoint
from shared.access import Role
from shared.errors import OvenbridgeError
from shared.version import VERSION

bp = func.Blueprint()

IDENTIFY_SECONDS = 3.0
"""Tokens stand in the store, which may be what is broken."""


@bp.route("api/health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(None)
async def health(call: Call) -> Answer:
    """Is the process alive? Answers without touching any backend."""
    return Answer({"status": "ok", "version": VERSION})


@bp.route("api/health/ready", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(None)
async def health_ready(call: Call) -> Answer:
    """Can it work? 503 while the settings, the store, the queue or the vault cannot be used, with what to do about it.

    Anybody sees which it is and what to do, in words that name settings and roles. Names of accounts and machines, and
    which credentials expire soon, are for who may look into the app, and for everybody on a loopback host.
    """
    details = await may_see_details(call)
    found = await call.services.readiness.check(details=details)
    if found["status"] == "ready":
        return Answer(found)
    return Answer(found, 503, {"Retry-After": "5"})


async def may_see_details(call: Call) -> bool:
    try:
        async with asyncio.timeout(IDENTIFY_SECONDS):
            caller = await call.services.access.identify(call.headers, key_checked=False)
    except (OvenbridgeError, TimeoutError):
        # Whoever watches the app with a token that has expired still learns whether it works.
        return False
    return caller is not None and caller.may(Role.VIEWER)
