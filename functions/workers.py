"""What every queue and timer function has in common: where it came from, and failures told without secrets."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import azure.functions as func

from functions.invocation import Invocation, invoked
from shared.errors import OvenbridgeError
from shared.services import Services, services
from shared.tracing import Parent, parent_of

__all__ = ["named", "queue_worker", "timer_worker"]

log = logging.getLogger("ovenbridge.work")

QueueHandler = Callable[[bytes, int, Services], Awaitable[None]]


def queue_worker(handler: QueueHandler) -> Callable[..., Awaitable[None]]:
    """Make a Service Bus function of ``handler(body, delivery_count, services)``.

    Returning completes the message; an exception abandons it (the queue delivers again, then dead-letters).
    The binding must be called ``msg``.
    """
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
                await handler(msg.get_body(), msg.delivery_count or 1, services())

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
