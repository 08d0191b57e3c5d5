"""Calling the functions of an app: what the Functions worker does with a trigger's data."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import azure.functions as func
from azure.functions.servicebus import ServiceBusMessage
from azure.functions.timer import TimerRequest

from shared.messaging import Received

__all__ = ["as_coroutine", "queue_message", "timer_request"]


def as_coroutine(handler: Callable[..., Any]) -> Callable[[Any], Awaitable[Any]]:
    """The handler to await: an async one as it is, a sync one in a thread (as the worker does)."""
    if inspect.iscoroutinefunction(handler):
        return handler

    async def in_thread(value: Any) -> Any:
        return await asyncio.to_thread(handler, value)

    return in_thread


def queue_message(received: Received) -> func.ServiceBusMessage:
    """A received message as the function gets it. ``enqueued_time_utc`` is naive, as the extension sends it."""
    properties = dict(received.properties)
    return ServiceBusMessage(
        body=received.body,
        message_id=received.message_id,
        correlation_id=received.correlation_id,
        delivery_count=received.delivery_count,
        enqueued_time_utc=received.enqueued_at.replace(tzinfo=None),
        lock_token=received.lock_token,
        sequence_number=received.sequence_number,
        application_properties=properties,
        user_properties=dict(properties),
    )


def timer_request(*, past_due: bool, status: Mapping[str, datetime] | None = None) -> TimerRequest:
    """What a timer function gets. ``status`` has ``Last``, ``Next`` and ``LastUpdated`` when the schedule is kept."""
    said = {name: moment.isoformat() for name, moment in (status or {}).items()}
    return TimerRequest(past_due=past_due, schedule_status=said, schedule={"AdjustForDST": True})
