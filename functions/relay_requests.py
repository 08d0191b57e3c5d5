"""The local external request: a worker's page asks the relay in the plant for values.

A page may ask when its origin is listed in ``RELAY_CORS_ORIGINS``: pages can send no key that their readers could not
read. Whoever is no page sends an API token. A preflight carries no credentials and is answered before anybody is asked
who they are.
"""

from __future__ import annotations

from urllib.parse import quote

import azure.functions as func

from functions.endpoint import NOBODY, Answer, Call, endpoint, problem
from shared.access import Role
from shared.errors import Forbidden, OvenbridgeError, Unauthorized

bp = func.Blueprint()

PREFLIGHT_SECONDS = "600"


@bp.route("local/requests/{profile}", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(None)
async def answer_local_request(call: Call) -> Answer:
    """Answer in the form of the profile, from the relay's own last readings; works while the hub is away."""
    allowed = _cors(call)
    try:
        await _admit(call)
        # Whatever content type a device claims: it is JSON, or it is refused as none.
        reply = await call.services.local_requests.answer(call.route["profile"], call.raw)
    except OvenbridgeError as error:
        # A page reads an answer without these headers as a network failure, and could not show why.
        refused = problem(error)
        return Answer(refused.body, refused.status, {**refused.headers, **allowed}, refused.content_type)
    unanswered = {"X-Unanswered": ",".join(quote(tag) for tag in reply.unanswered)} if reply.unanswered else {}
    return Answer(reply.body, headers={**allowed, **unanswered})


@bp.route("local/requests/{profile}", methods=["OPTIONS"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(None)
async def preflight_local_request(call: Call) -> Answer:
    """What a browser asks before it lets a page ask."""
    allowed = _cors(call)
    if "Access-Control-Allow-Origin" not in allowed:
        return Answer(status=403, headers=allowed)
    headers = {
        **allowed,
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "Authorization, Content-Type",
        "Access-Control-Max-Age": PREFLIGHT_SECONDS,
    }
    if call.headers.get("access-control-request-private-network", "").lower() == "true":
        headers["Access-Control-Allow-Private-Network"] = "true"
    return Answer(status=204, headers=headers)


def _cors(call: Call) -> dict[str, str]:
    """Caches must keep the answers to different pages apart, also where one of them was refused."""
    origin = call.headers.get("origin")
    if origin is None or origin not in _pages(call):
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "X-Unanswered, X-Correlation-Id",
    }


def _pages(call: Call) -> frozenset[str]:
    """Origins that may ask. An empty one is none, whatever the setting looks like: it would let everybody in."""
    return frozenset(call.services.settings.relay_cors_origins.split(",")) - {""}


async def _admit(call: Call) -> None:
    call.services.settings.require()
    origin = call.headers.get("origin")
    if origin is not None:
        if origin not in _pages(call):
            raise Forbidden("Pages of this origin may not ask this relay: add it to RELAY_CORS_ORIGINS.")
        return
    caller = await call.services.access.identify(call.headers, key_checked=False)
    if caller is None or caller is NOBODY:
        raise Unauthorized(
            "Say who you are: send the header `Authorization: Bearer <API token of this relay>`, or ask from a page "
            "whose origin is in RELAY_CORS_ORIGINS."
        )
    caller.require(Role.VIEWER)
