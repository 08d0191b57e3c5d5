"""Telling subscribers: the delivery queue, the sweeper, `/api/v1/deliveries` and the health of `/api/v1/callbacks`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field

from functions.endpoint import Answer, Call, UtcTime, endpoint, queue_worker, timer_worker
from shared.access import Role
from shared.clock import iso
from shared.services import Services

if TYPE_CHECKING:
    from shared.callbacks.browse import DeliveryFilter
    from shared.callbacks.model import Callback
    from shared.storage import Document

bp = func.Blueprint()

MOST_PENDING_COUNTED = 1_000


class _Filter(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    callback_id: str | None = Field(None, pattern="^[0-9A-Za-z]{1,64}$")
    event_type: str | None = Field(None, max_length=100)
    since: UtcTime | None = Field(None, description="When it was made; inclusive.")
    until: UtcTime | None = Field(None, description="Exclusive.")

    def filter(self, status: Literal["pending", "confirmed", "discarded"] | None) -> DeliveryFilter:
        from shared.callbacks.browse import DeliveryFilter

        return DeliveryFilter(self.callback_id, status, self.event_type, self.since, self.until)


class DeliveryQuery(_Filter):
    """Which deliveries to list."""

    status: Literal["pending", "confirmed", "discarded"] | None = None
    limit: int = Field(100, ge=1, le=1000)
    continuation: str | None = Field(None, max_length=2000)


class ReplayRequest(_Filter):
    """Which deliveries to send again."""

    status: Literal["confirmed", "discarded"] = "discarded"
    limit: int = Field(100, ge=1, le=1000)


class CallbackQuery(BaseModel):
    """Which page of callbacks."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    limit: int = Field(100, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=1_000_000)


@bp.service_bus_queue_trigger(arg_name="msg", queue_name="callback-deliveries", connection="ServiceBusConnection")
@queue_worker
async def deliver_notification(body: bytes, delivery_count: int, house: Services) -> None:
    """Bring one delivery a step on."""
    await house.deliveries.deliver(body)


@bp.timer_trigger(schedule="*/30 * * * * *", arg_name="timer", run_on_startup=False, use_monitor=False)
@timer_worker
async def sweep_deliveries(past_due: bool, house: Services) -> None:
    """Every half minute: wake what is overdue, write how callbacks are doing, finish removals."""
    await house.deliveries.sweep()


@bp.route("api/v1/deliveries", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def list_deliveries(call: Call) -> Answer:
    """Deliveries, newest first for one callback."""
    query = call.params(DeliveryQuery)
    page = await call.services.deliveries.browse.list(
        query.filter(query.status), limit=query.limit, continuation=query.continuation
    )
    return Answer({"deliveries": [_delivery(item.document) for item in page.items], "continuation": page.continuation})


@bp.route("api/v1/deliveries/{delivery_id:minlength(34)}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def get_delivery(call: Call) -> Answer:
    """One delivery by its ``webhook-id``, with its event and every attempt."""
    document = await call.services.deliveries.browse.get(call.route["delivery_id"])
    return Answer({**_delivery(document), "event": _event(document)})


@bp.route("api/v1/deliveries/{delivery_id:minlength(34)}/replay", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR)
async def replay_delivery(call: Call) -> Answer:
    """Send one delivery again: the same ``webhook-id``, a fresh series of attempts."""
    document = await call.services.deliveries.browse.replay(call.route["delivery_id"], caller=call.caller)
    return Answer(_delivery(document), 202)


@bp.route("api/v1/deliveries/replay", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR)
async def replay_deliveries(call: Call) -> Answer:
    """Send many again, by filter (discarded ones when no status is given), at most ``limit`` a call."""
    wanted = call.body(ReplayRequest)
    done = await call.services.deliveries.browse.replay_many(
        wanted.filter(wanted.status), limit=wanted.limit, caller=call.caller
    )
    return Answer({"replayed": done.replayed, "skipped": done.skipped, "more": done.more}, 202)


@bp.route("api/v1/callbacks", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER)
async def list_callback_health(call: Call) -> Answer:
    """How every callback is doing."""
    query = call.params(CallbackQuery)
    callbacks = call.services.callbacks
    page = await callbacks.list(offset=query.offset, limit=query.limit)
    shown = [callback_health(c, await callbacks.pending(c.id, MOST_PENDING_COUNTED)) for c in page.items]
    return Answer({"callbacks": shown, "total": page.total})


@bp.route("api/v1/callbacks/{callback_id}/test", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def test_callback(call: Call) -> Answer:
    """Send a TEST notification to this callback alone."""
    sent = await call.services.callbacks.test(call.route["callback_id"], caller=call.caller)
    where = f"{call.services.settings.base_url}/api/v1/deliveries/{sent}"
    return Answer({"delivery_id": sent}, 202, {"Location": where})


@bp.route("api/v1/callbacks/{callback_id}/enable", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER)
async def enable_callback(call: Call) -> Answer:
    """Tell a disabled callback again."""
    callback = await call.services.callbacks.enable(call.route["callback_id"], caller=call.caller)
    return Answer(callback_health(callback, await call.services.callbacks.pending(callback.id, MOST_PENDING_COUNTED)))


def callback_health(callback: Callback, pending: int) -> dict[str, Any]:
    """A callback without its secrets, and how it is doing."""
    from shared.callbacks.standing import status_of

    return {
        "id": callback.id,
        "status": status_of(callback),
        "event_type": callback.event_type,
        "event_name": callback.event_name,
        "object_ids": list(callback.object_filter),
        "severities": sorted(callback.severities),
        "sites": sorted(callback.sites),
        "dialect": callback.dialect,
        "label": callback.about.get("label"),
        "url": callback.url,
        "authentication": callback.authentication,
        "deliver_via": callback.deliver_via,
        "max_retries": callback.max_retries,
        "max_unconfirmed": callback.max_unconfirmed,
        "created_at": iso(callback.created_at),
        "last_triggered_at": _time(callback.last_triggered_at),
        "last_successful_at": _time(callback.last_successful_at),
        "failing_since": _time(callback.failing_since),
        "disabled_at": _time(callback.disabled_at),
        "disabled_reason": callback.disabled_reason,
        "pending": pending,
        "pending_is_more": pending >= MOST_PENDING_COUNTED,
    }


def _time(moment: datetime | None) -> str | None:
    return iso(moment) if moment else None


def _delivery(document: Document) -> dict[str, Any]:
    from shared.callbacks.document import CONFIRMED, OPEN, delivery_id

    status = document["status"]
    return {
        "id": delivery_id(document["callbackId"], document["id"]),
        "callback_id": document["callbackId"],
        "event_id": document["id"][2:],
        "event_type": document["eventType"],
        "status": "pending" if status in OPEN else status,
        "created_at": document["createdAt"],
        "next_attempt_at": document.get("nextAttemptAt"),
        "done_at": document["attempts"][-1]["at"] if status == CONFIRMED else document.get("doneAt"),
        "discard_reason": document.get("discardReason"),
        "discard_detail": document.get("discardDetail"),
        "replayed_at": document.get("replayedAt"),
        "correlation_id": document.get("correlationId"),
        "attempts": [_attempt(tried) for tried in document["attempts"]],
    }


def _attempt(tried: dict[str, Any]) -> dict[str, Any]:
    return {
        "number": tried["n"],
        "at": tried["at"],
        "duration_ms": tried.get("ms"),
        "via": tried.get("via"),
        "status_code": tried.get("status"),
        "reason": tried.get("reason"),
        "detail": tried.get("detail"),
        "answer": tried.get("answer"),
    }


def _event(document: Document) -> dict[str, Any]:
    event = document["event"]
    return {
        "type": event["type"],
        "timestamp": event["ts"],
        "object_type": event["objectType"],
        "object_id": event.get("objectId"),
        "name": event.get("name"),
        "data": event["data"],
    }
