"""Callbacks in our own words: `/api/v1/callbacks`, signed as Standard Webhooks has it, and their secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import azure.functions as func

from functions.deliveries import MOST_PENDING_COUNTED, callback_health
from functions.endpoint import Answer, Call, endpoint
from shared.access import Role

if TYPE_CHECKING:
    from shared.callbacks.model import Callback

bp = func.Blueprint()


@bp.route("api/v1/callbacks", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def create_signed_callback(call: Call) -> Answer:
    """Register a callback whose notifications are signed as Standard Webhooks has it."""
    from shared.callbacks.forms import NewCallbackForm
    from shared.callbacks.signing import new_signing_secret, secret_key

    form = call.body(NewCallbackForm)
    secret = form.signing_secret or new_signing_secret()
    secret_key(secret)
    callback = await call.services.callbacks.create(form.wanted(secret), caller=call.caller)
    location = f"{call.services.settings.base_url}/api/v1/callbacks/{callback.id}"
    made = {} if form.signing_secret is not None else {"signing_secret": secret}
    return Answer({**await _shown(call, callback), **made}, 201, {"Location": location})


@bp.route("api/v1/callbacks/{callback_id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_callback_health(call: Call) -> Answer:
    """One callback and how it is doing. Its secrets are never shown."""
    return Answer(await _shown(call, await call.services.callbacks.get(call.route["callback_id"])))


@bp.route("api/v1/callbacks/{callback_id}", methods=["DELETE"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def remove_callback(call: Call) -> Answer:
    """Delete a callback; what waits for it is discarded with that reason."""
    await call.services.callbacks.delete(call.route["callback_id"], caller=call.caller)
    return Answer(status=204)


@bp.route("api/v1/callbacks/{callback_id}/secrets", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def rotate_callback_secret(call: Call) -> Answer:
    """Sign with another secret from now on; the one before signs too for a while, in the same header."""
    from shared.callbacks.forms import NewSecret

    asked = call.body(NewSecret) if call.raw else NewSecret()
    callback, secret = await call.services.callbacks.give_secret(
        call.route["callback_id"], asked.signing_secret, keep_old_seconds=asked.keep_old_seconds, caller=call.caller
    )
    made = {} if asked.signing_secret is not None else {"signing_secret": secret}
    return Answer({**await _shown(call, callback), **made})


async def _shown(call: Call, callback: Callback) -> dict[str, object]:
    return callback_health(callback, await call.services.callbacks.pending(callback.id, MOST_PENDING_COUNTED))
