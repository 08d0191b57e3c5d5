"""What every HTTP function has in common.

``endpoint`` turns a handler that takes a :class:`Call` into an Azure Functions HTTP handler: limits, correlation
id, who is calling, the body as a model, and every error as an RFC 9457 problem document.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping

import azure.functions as func
from pydantic import BaseModel

from functions.call import NOBODY, Answer, Call, UtcTime, parse
from functions.invocation import invoked, route_of
from functions.problems import Refusal, problem
from functions.surface import Surface, describe
from functions.workers import named, queue_worker, timer_worker
from shared import json_text
from shared.access import Role
from shared.errors import LengthRequired, OvenbridgeError, PayloadTooLarge, RelaySilent, Unauthorized, Unavailable
from shared.observability import protect_logs
from shared.services import services
from shared.tracing import parent_of

__all__ = [
    "NOBODY",
    "Answer",
    "Call",
    "Refusal",
    "UtcTime",
    "endpoint",
    "parse",
    "problem",
    "queue_worker",
    "timer_worker",
]

log = logging.getLogger("ovenbridge.http")

# Every function app imports this module: before it serves anything, its logs are safe to write.
protect_logs()

Handler = Callable[[Call], Awaitable[Answer]]
HttpFunction = Callable[..., Awaitable[func.HttpResponse]]


def endpoint(
    role: Role | None,
    *,
    refusal: Refusal = problem,
    key_checked: bool = False,
    max_body_bytes: int | None = None,
    answers: Mapping[int, type[BaseModel]] | None = None,
    content_types: tuple[str, ...] = (),
    refuses: tuple[int, ...] = (),
) -> Callable[[Handler], HttpFunction]:
    """Make an HTTP function of a handler.

    Args:
        role: what the caller must be allowed to; ``None``: anybody, for health and for calls that carry their own
            proof (hooks); nobody is asked who they are, and ``Call.caller`` is ``NOBODY``.
        refusal: how this surface says no.
        key_checked: the route has ``auth_level=FUNCTION``, so the host let only holders of a key through.
        max_body_bytes: another limit than the setting's.
        answers: the promised form of its answers by status, for the description of the API.
        content_types: of its good answers, where they are not JSON alone.
        refuses: statuses of refusals that only some functions have, such as 504.
    """

    def decorate(handler: Handler) -> HttpFunction:
        name = handler.__name__

        async def http_function(req: func.HttpRequest, context: func.Context | None = None) -> func.HttpResponse:
            given = parent_of(req.headers.get("traceparent"), req.headers.get("tracestate"))
            with invoked(name, "http", context, given=given, correlation=_correlation(req.headers)) as work:
                if work.span.recording:
                    work.span.set(
                        {"http.request.method": req.method, "http.route": route_of(req.url, req.route_params) or "?"}
                    )
                try:
                    call = await _admit(req, role, key_checked, max_body_bytes, work.correlation)
                    response = _respond(await handler(call), work.correlation)
                except OvenbridgeError as error:
                    _note(name, error)
                    response = _respond(refusal(error), work.correlation)
                except Exception:
                    # The edge of the process: without this the host answers a bare 500 with an empty body.
                    log.exception("%s failed unexpectedly", name)
                    response = _respond(refusal(_unexpected(work.correlation)), work.correlation)
                work.answered(response.status_code)
                return response

        function = named(http_function, handler)
        said = None if role is None else role.name.lower()
        describe(function, Surface(handler, said, answers or {}, content_types, refuses))
        return function

    return decorate


def _note(name: str, error: OvenbridgeError) -> None:
    if isinstance(error, Unavailable | RelaySilent):
        log.warning("%s: %s", name, error.detail)
    elif error.status >= 500:
        log.error("%s failed: %s", name, error.detail, exc_info=error)
    elif error.status in (401, 403, 429):
        log.warning("%s refused a caller: %s", name, error.detail)
    else:
        log.info("%s refused: %s", name, error.detail)


def _unexpected(correlation: str) -> OvenbridgeError:
    return OvenbridgeError(
        "Something went wrong on our side. Nothing you sent is at fault as far as we know; "
        f"quote the correlation id {correlation} when you report it."
    )


async def _admit(
    req: func.HttpRequest, role: Role | None, key_checked: bool, limit: int | None, correlation: str
) -> Call:
    house = services()
    raw = req.get_body()
    allowed = limit if limit is not None else house.settings.max_body_bytes
    if len(raw) > allowed:
        raise PayloadTooLarge(f"The body has {len(raw):,} bytes; at most {allowed:,} are taken.")
    if not raw and "chunked" in req.headers.get("transfer-encoding", "").lower():
        raise LengthRequired(
            "The body arrived empty because it was sent chunked, which the Functions host does not pass on. "
            "Send it with a Content-Length header."
        )
    caller = NOBODY
    if role is not None:
        house.settings.require()
        known = await house.access.identify(req.headers, key_checked=key_checked)
        if known is None:
            raise Unauthorized("Say who you are: send the header `Authorization: Bearer <API token>`.")
        known.require(role)
        caller = known
    return Call(
        method=req.method,
        route=req.route_params,
        query=req.params,
        headers=req.headers,
        raw=raw,
        caller=caller,
        correlation_id=correlation,
        services=house,
    )


_CORRELATION = re.compile(r"[A-Za-z0-9_-]{1,128}")


def _correlation(headers: Mapping[str, str]) -> str | None:
    given = headers.get("x-correlation-id")
    return given if given and _CORRELATION.fullmatch(given) else None


def _respond(answer: Answer, correlation: str) -> func.HttpResponse:
    if answer.body is None:
        data = b""
    elif isinstance(answer.body, bytes):
        data = answer.body
    elif isinstance(answer.body, BaseModel):
        data = answer.body.model_dump_json(exclude_none=True).encode()
    else:
        data = json_text.dump(answer.body)
    headers = {"X-Correlation-Id": correlation, "Cache-Control": "no-store", **answer.headers}
    return func.HttpResponse(data, status_code=answer.status, headers=headers, mimetype=answer.content_type)
