"""What every HTTP function and every queue or timer function has in common.

``endpoint`` turns a handler that takes a :class:`Call` into an Azure Functions HTTP handler: limits, correlation
id, who is calling, the body as a model, and every error as an RFC 9457 problem document.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import azure.functions as func
from pydantic import BaseModel, ValidationError

from shared import json_text
from shared.access import Caller, Role
from shared.errors import (
    FieldProblem,
    InvalidInput,
    LengthRequired,
    OvenbridgeError,
    PayloadTooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from shared.observability import bound, new_correlation_id
from shared.services import Services, services

__all__ = ["Answer", "Call", "Refusal", "endpoint", "problem", "queue_worker", "timer_worker"]

log = logging.getLogger("ovenbridge.http")

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler answers with. ``body`` becomes JSON unless it is bytes."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


Refusal = Callable[[OvenbridgeError], Answer]
"""How an error is said on a surface whose contract has a form of its own."""


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call, checked and with its caller known."""

    method: str
    route: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Lower-case names."""
    raw: bytes
    caller: Caller
    correlation_id: str
    services: Services

    def json(self) -> Any:
        """The body as JSON. Raises ``InvalidInput``, ``UnsupportedMediaType``."""
        kind = self.headers.get("content-type", "")
        if kind and "json" not in kind.lower():
            raise UnsupportedMediaType(
                f"This takes application/json, not {kind.split(';')[0][:80]}. Send `Content-Type: application/json`."
            )
        return json_text.load_foreign(self.raw)

    def body(self, model: type[Model]) -> Model:
        """The body as a model. Raises ``InvalidInput`` naming every field that is wrong."""
        return parse(model, self.json())

    def params(self, model: type[Model]) -> Model:
        """The query string as a model; platform keys (``code``, ``clientId``) are left out."""
        given = {k: v for k, v in self.query.items() if k not in ("code", "clientId")}
        return parse(model, given, where="query")

    @property
    def if_match(self) -> str | None:
        """The etag the caller expects, without quotes; ``None``: any."""
        value = self.headers.get("if-match", "").strip()
        if value in ("", "*"):
            return None
        return value.removeprefix("W/").strip('"')


def parse(model: type[Model], value: Any, *, where: str = "body") -> Model:
    """Validate. Raises ``InvalidInput`` with one problem per field, never with the rejected value."""
    if not isinstance(value, dict):
        raise InvalidInput("The body must be a JSON object.", field=where)
    try:
        return model.model_validate(value)
    except ValidationError as err:
        problems = [
            FieldProblem(".".join(str(part) for part in e["loc"]) or where, _sentence(e["type"], e["msg"]))
            for e in err.errors(include_url=False, include_input=False, include_context=False)
        ]
        first = problems[0]
        more = f" ({len(problems) - 1} more in `problems`)" if len(problems) > 1 else ""
        raise InvalidInput(f"{first.field}: {first.problem}{more}", problems=problems) from err


def _sentence(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "There is no such field; check its spelling or leave it out."
    if kind == "missing":
        return "This field is required."
    return message.removeprefix("Value error, ")


def problem(error: OvenbridgeError) -> Answer:
    """The error as a problem document (RFC 9457)."""
    body: dict[str, Any] = {
        "type": f"about:blank#{type(error).__name__}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
    }
    headers: dict[str, str] = {}
    if isinstance(error, InvalidInput) and error.problems:
        body["problems"] = [{"field": p.field, "problem": p.problem} for p in error.problems]
    if isinstance(error, TooManyRequests | Unavailable):
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return Answer(body, error.status, headers, "application/problem+json")


Handler = Callable[[Call], Awaitable[Answer]]
HttpFunction = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]


def endpoint(
    role: Role | None,
    *,
    refusal: Refusal = problem,
    key_checked: bool = False,
    max_body_bytes: int | None = None,
) -> Callable[[Handler], HttpFunction]:
    """Make an HTTP function of a handler.

    Args:
        role: what the caller must be allowed to; ``None``: anybody, for health and for calls that carry their own
            proof (hooks).
        refusal: how this surface says no.
        key_checked: the route has ``auth_level=FUNCTION``, so the host let only holders of a key through.
        max_body_bytes: another limit than the setting's.
    """

    def decorate(handler: Handler) -> HttpFunction:
        name = handler.__name__

        async def http_function(req: func.HttpRequest) -> func.HttpResponse:
            correlation = _correlation(req.headers)
            with bound(correlation, name):
                try:
                    call = await _admit(req, role, key_checked, max_body_bytes, correlation)
                    answer = await handler(call)
                except OvenbridgeError as error:
                    answer = refusal(error)
                    if error.status >= 500:
                        log.error("%s failed: %s", name, error.detail, exc_info=error)
                except Exception as error:
                    # The edge of the process: without this the host answers a bare 500 with an empty body.
                    log.exception("%s failed unexpectedly", name)
                    answer = refusal(_unexpected(error, correlation))
            return _respond(answer, correlation)

        http_function.__name__ = name
        http_function.__qualname__ = name
        http_function.__doc__ = handler.__doc__
        http_function.__module__ = handler.__module__
        return http_function

    return decorate


def _unexpected(error: Exception, correlation: str) -> OvenbridgeError:
    return OvenbridgeError(
        f"Something went wrong on our side ({type(error).__name__}). Nothing you sent is at fault as far as we know; "
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
    caller = await house.access.identify(req.headers, key_checked=key_checked)
    if role is not None:
        if caller is None:
            raise Unauthorized("Say who you are: `Authorization: Bearer <API token>`.")
        caller.require(role)
    return Call(
        method=req.method,
        route=req.route_params,
        query=req.params,
        headers=req.headers,
        raw=raw,
        caller=caller or NOBODY,
        correlation_id=correlation,
        services=house,
    )


NOBODY = Caller(id="anonymous", name="somebody unknown", roles=frozenset(), how="none")


def _correlation(headers: Mapping[str, str]) -> str:
    given = headers.get("x-correlation-id", "")
    if given and len(given) <= 128 and given.isascii() and given.replace("-", "").replace("_", "").isalnum():
        return str(given)
    parent = headers.get("traceparent", "").split("-")
    if len(parent) == 4 and len(parent[1]) == 32:
        return str(parent[1])
    return new_correlation_id()


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


QueueHandler = Callable[[bytes, int, Services], Awaitable[None]]


def queue_worker(handler: QueueHandler) -> Callable[[func.ServiceBusMessage], Awaitable[None]]:
    """Make a Service Bus function of ``handler(body, delivery_count, services)``.

    Returning completes the message; an exception abandons it (the queue delivers again, then dead-letters).
    The binding must be called ``msg``.
    """

    name = handler.__name__  # type: ignore[attr-defined]

    async def queue_function(msg: func.ServiceBusMessage) -> None:
        with bound(msg.correlation_id or new_correlation_id(), name):
            await handler(msg.get_body(), msg.delivery_count or 1, services())

    return _named(queue_function, handler)


TimerHandler = Callable[[bool, Services], Awaitable[None]]


def timer_worker(handler: TimerHandler) -> Callable[[func.TimerRequest], Awaitable[None]]:
    """Make a timer function of ``handler(past_due, services)``. The binding must be called ``timer``."""

    name = handler.__name__  # type: ignore[attr-defined]

    async def timer_function(timer: func.TimerRequest) -> None:
        with bound(new_correlation_id(), name):
            await handler(bool(timer.past_due), services())

    return _named(timer_function, handler)


Wrapped = TypeVar("Wrapped", bound=Callable[..., Any])


def _named(function: Wrapped, handler: Any) -> Wrapped:
    # Not functools.wraps: the worker would follow __wrapped__ to the handler's parameters and drop the function.
    function.__name__ = handler.__name__
    function.__qualname__ = handler.__name__
    function.__doc__ = inspect.getdoc(handler)
    function.__module__ = handler.__module__
    return function
