"""What every queue and timer function has in common: where it came from, and failures told without secrets."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import azure.functions as func

from functions.invocation import Invocation, invoked
from shared.errors import OvenbridgeError
from shared.services import Services, services
from shared.tracing import Parent, parent_of

__all__ = ["Arrived", "message_worker", "named", "queue_worker", "timer_worker"]

log = logging.getLogger("ovenbridge.work")

QueueHandler = Callable[[bytes, int, Services], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message, for a function that needs to know more of it than its body."""

    body: bytes
    message_id: str
    properties: Mapping[str, str]
    enqueued_at: datetime | None
    delivery_count: int = 1
    """1 at the first delivery."""


MessageHandler = Callable[[Arrived, Services], Awaitable[None]]


def queue_worker(handler: QueueHandler) -> Callable[..., Awaitable[None]]:
    """Make a Service Bus function of ``handler(body, delivery_count, services)``.

    Returning completes the message; an exception abandons it (the queue delivers again, then dead-letters).
    The binding must be called ``msg``.
    """

    async def body_and_count(msg: func.ServiceBusMessage, house: Services) -> None:
        await handler(msg.get_body(), msg.delivery_count or 1, house)

    return _queue_function(handler, body_and_count)


def message_worker(handler: MessageHandler) -> Callable[..., Awaitable[None]]:
    """:func:`queue_worker` for ``handler(arrived, services)``."""

    async def whole(msg: func.ServiceBusMessage, house: Services) -> None:
        said = {str(k): str(v) for k, v in (msg.application_properties or {}).items()}
        at = msg.enqueued_time_utc
        if at is not None:
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        arrived = Arrived(msg.get_body(), msg.message_id or "", said, at, msg.delivery_count or 1)
        await handler(arrived, house)

    return _queue_function(handler, whole)


def _queue_function(
    handler: Callable[..., Any], call_handler: Callable[[func.ServiceBusMessage, Services], Awaitable[None]]
) -> Callable[..., Awaitable[None]]:
    name = handler.__name__

    async def queue_function(msg: func.ServiceBusMessage, context: func.Context | None = None) -> None:
        given = _sent_with(msg)
        with invoked(name, "pubsub", context, given=given, correlation=msg.correlation_id or None) as call:
            if call.span.recording:
                call.span.set(
                    {
                        "messaging.system": "servicebus",
                        "messaging.message.id": msg.message_id or "",
                        "messaging.servicebus.message.delivery_count": msg.delivery_count or 1,
                    }
                )
            with _failures_told(name, call):
                await call_handler(msg, services())

    return named(queue_function, handler)


TimerHandler = Callable[[bool, Services], Awaitable[None]]


def timer_worker(handler: TimerHandler) -> Callable[..., Awaitable[None]]:
    """Make a timer function of ``handler(past_due, services)``. The binding must be called ``timer``."""
    name = handler.__name__

    async def timer_function(timer: func.TimerRequest, context: func.Context | None = None) -> None:
        with invoked(name, "timer", context) as call, _failures_told(name, call):
            await handler(bool(timer.past_due), services())

    return named(timer_function, handler)


def _sent_with(msg: func.ServiceBusMessage) -> Parent | None:
    """The trace that the message's sender was in."""
    said = msg.application_properties
    if not said:
        return None
    state = said.get("tracestate")
    for name in ("traceparent", "Diagnostic-Id"):
        if isinstance(value := said.get(name), str) and (parent := parent_of(value, state)) is not None:
            return parent
    return None


@contextmanager
def _failures_told(name: str, call: Invocation) -> Iterator[None]:
    """Log a failure in full through our own redaction, and let only its sentence go on to the host.

    The host writes what escapes into its logs as it is, with all causes: an HTTP client's error text holds URLs.
    """
    try:
        yield
    except OvenbridgeError as error:
        log.warning("%s failed: %s", name, error.detail, exc_info=error)
        error.__cause__ = error.__context__ = None
        raise
    except Exception as error:
        log.exception("%s failed unexpectedly", name)
        raise OvenbridgeError(
            f"{name} failed unexpectedly ({type(error).__name__}); the log has the details."
        ) from None
    else:
        call.outcome = "ok"


Wrapped = TypeVar("Wrapped", bound=Callable[..., Any])


def named(function: Wrapped, handler: Callable[..., Any]) -> Wrapped:
    # Not functools.wraps: the worker would follow __wrapped__ to the handler's parameters and drop the function.
    function.__name__ = handler.__name__
    function.__qualname__ = handler.__name__
    function.__doc__ = inspect.getdoc(handler)
    function.__module__ = handler.__module__
    # The worker gives `context` by its name, and drops the whole app when its annotation is not the class itself.
    function.__annotations__.pop("context", None)
    return function
