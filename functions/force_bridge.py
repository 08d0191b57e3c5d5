"""Callbacks and events for FORCE Bridge clients: `/ffwebservices/api/v2/...`, unchanged.

The chapter's examples and the clients in the wild spell the prefix in several ways; the same handlers serve them all.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field

from functions.endpoint import Answer, Call, Handler, endpoint
from functions.problems import problem
from shared.access import Role
from shared.errors import InvalidInput, OvenbridgeError
from shared.platforms.force_bridge.links import BASE

bp = func.Blueprint()

PREFIXES = (BASE.strip("/"), "ffwebservice/api/v2", "api/v2", "ffwebservice/api/v1", "ffwebservices/api/v3")
"""The last one is what newer clients ask; callbacks and events are the same there."""

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def refusal(error: OvenbridgeError) -> Answer:
    """FORCE Bridge's `code`, `message`, `status`, and beside them the fields of a problem document."""
    from shared.platforms.force_bridge.answers import error_code

    answer = problem(error)
    said = {"code": error_code(type(error)), "message": error.detail, **answer.body}
    return Answer(said, answer.status, answer.headers, answer.content_type)


def served(path: str, method: str, role: Role) -> Callable[[Handler], Handler]:
    """Serve a handler under every prefix: one function each, as the host wants it."""

    def register(handler: Handler) -> Handler:
        for number, prefix in enumerate(PREFIXES):
            function = endpoint(role, refusal=refusal)(handler)
            route = bp.route(f"{prefix}/{path}", methods=[method], auth_level=func.AuthLevel.ANONYMOUS)
            bp.function_name(f"force_{handler.__name__}{f'_{number + 1}' if number else ''}")(route(function))
        return handler

    return register


class PageQuery(BaseModel):
    """Which page of the list."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    limit: int = Field(100, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=1_000_000)


@served("callbacks", "POST", Role.ENGINEER)
async def create_callback(call: Call) -> Answer:
    """Register a callback; from this answer on it is told."""
    from shared.platforms.force_bridge.answers import callback_answer
    from shared.platforms.force_bridge.registration import Registration

    wanted = call.body(Registration).wanted()
    callback = await call.services.callbacks.create(wanted, caller=call.caller)
    answer = callback_answer(callback, call.services.settings.base_url)
    return Answer(answer, 201, {"Location": answer["_links"]["self"]["href"]})


@served("callbacks", "GET", Role.VIEWER)
async def list_callbacks(call: Call) -> Answer:
    """All callbacks, oldest first, by limit and offset."""
    from shared.platforms.force_bridge.answers import page_answer

    query = call.params(PageQuery)
    # Its own kind alone: a client that deletes what it does not know would take flows and others their callbacks.
    page = await call.services.callbacks.list(offset=query.offset, limit=query.limit, dialect="force")
    base_url = call.services.settings.base_url
    return Answer(page_answer(page.items, base_url, query.offset, query.limit, page.total))


@served("callbacks/{callback_id}", "GET", Role.VIEWER)
async def get_callback(call: Call) -> Answer:
    """One callback. Its credentials are never shown."""
    from shared.platforms.force_bridge.answers import callback_answer

    callback = await call.services.callbacks.get(call.route["callback_id"])
    return Answer(callback_answer(callback, call.services.settings.base_url))


@served("callbacks/{callback_id}", "DELETE", Role.ENGINEER)
async def delete_callback(call: Call) -> Answer:
    """Delete a callback; what waits for it is discarded with that reason."""
    await call.services.callbacks.delete(call.route["callback_id"], caller=call.caller)
    return Answer(status=204)


@served("events", "POST", Role.OPERATOR)
async def send_event(call: Call) -> Answer:
    """Tell of an EXTERNAL event. Answered, with an empty body, when it is on disk with its deliveries."""
    from shared.platforms.force_bridge.event import ExternalEvent, event_id

    sent = call.body(ExternalEvent)
    event = sent.event(event_id(call.caller.id, _idempotency_key(call)), call.services.clock.now(), call.correlation_id)
    callbacks = await call.services.events.publish(event)
    return Answer(status=204, headers={"X-Event-Id": event.id, "X-Callback-Count": str(callbacks)})


def _idempotency_key(call: Call) -> str | None:
    key = call.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidInput(
            "The header idempotency-key has 1 to 255 visible ASCII characters.", field="header idempotency-key"
        )
    return key
