"""For flows: `/api/v1/flows/...`, `/api/v1/events/poll`. Subscriptions, polling, lists to choose from, what flows ask.

Everything here is flat and typed, because its readers choose fields from a list. An error has, beside the problem
document, the `error` that flows look for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import azure.functions as func

from functions.endpoint import Answer, Call, endpoint
from functions.problems import problem
from functions.telemetry import live_view
from shared.access import Role
from shared.clock import iso
from shared.errors import InvalidInput, OvenbridgeError
from shared.events import Event
from shared.events.catalogue import CATALOGUE, EXTERNAL, MACHINE, NONE, TEST
from shared.ids import digest_id, new_id
from shared.platforms.power_automate.answers import (
    AlertRuleList,
    EventTold,
    EventTypeList,
    HistoryPage,
    OvenList,
    PolledAnswer,
    SignalList,
    SignalRow,
    SubscriptionList,
    SubscriptionRow,
    TestSent,
)

if TYPE_CHECKING:
    from shared.callbacks.model import Callback
    from shared.platforms.power_automate.forms import PollAsked
    from shared.platforms.power_automate.triggers import Trigger

bp = func.Blueprint()

POLL_AGAIN_SECONDS = 60
AT_ONCE_SECONDS = 1
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def refusal(error: OvenbridgeError) -> Answer:
    """A problem document with the `error` of flows: code, message, details."""
    answer = problem(error)
    body = answer.body
    said = {"code": body["type"].rpartition(":")[2], "message": body["detail"], "details": body.get("problems", [])}
    return Answer({**body, "error": said}, answer.status, answer.headers, answer.content_type)


# Subscriptions -------------------------------------------------------------------------------------------------------


@bp.route("api/v1/flows/subscriptions/{trigger}", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER, refusal=refusal, answers={201: SubscriptionRow})
async def subscribe_flow(call: Call) -> Answer:
    """Start a flow whenever this happens; `Location` names the subscription, DELETE there ends it."""
    return await _subscribe(call, call.route["trigger"])


@bp.route("api/v1/flows/subscriptions", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER, refusal=refusal, answers={201: SubscriptionRow})
async def subscribe_flow_to_anything(call: Call) -> Answer:
    """Start a flow whenever anything happens, or events of one type."""
    return await _subscribe(call, "any")


@bp.route("api/v1/flows/subscriptions", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, refusal=refusal, answers={200: SubscriptionList})
async def list_flow_subscriptions(call: Call) -> Answer:
    """Flows that are started by what happens, oldest first, and how they are doing."""
    from shared.platforms.power_automate.forms import PageAsked

    asked = call.params(PageAsked)
    flows = call.services.platforms.power_automate.subscriptions
    found, total = await flows.list(offset=asked.offset, limit=asked.limit)
    return Answer({"subscriptions": [_subscription(callback) for callback in found], "total": total})


@bp.route("api/v1/flows/subscriptions/{subscription_id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, refusal=refusal, answers={200: SubscriptionRow})
async def get_flow_subscription(call: Call) -> Answer:
    """One subscription. The address of its flow is never shown."""
    flows = call.services.platforms.power_automate.subscriptions
    return Answer(_subscription(await flows.get(call.route["subscription_id"])))


@bp.route("api/v1/flows/subscriptions/{subscription_id}", methods=["DELETE"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER, refusal=refusal)
async def unsubscribe_flow(call: Call) -> Answer:
    """End a subscription; one that is gone is no error."""
    flows = call.services.platforms.power_automate.subscriptions
    await flows.unsubscribe(call.route["subscription_id"], call.caller)
    return Answer(status=204)


@bp.route("api/v1/flows/subscriptions/{subscription_id}/test", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.ENGINEER, refusal=refusal, answers={202: TestSent})
async def test_flow_subscription(call: Call) -> Answer:
    """Start one flow with a test notification; nothing happened, and its field `is_test` says so."""
    flows = call.services.platforms.power_automate.subscriptions
    sent = await flows.test(call.route["subscription_id"], call.caller)
    where = f"{call.services.settings.base_url}/api/v1/deliveries/{sent}"
    return Answer({"delivery_id": sent}, 202, {"Location": where})


async def _subscribe(call: Call, key: str) -> Answer:
    from shared.platforms.power_automate.forms import Subscribe
    from shared.platforms.power_automate.subscriptions import Flow, trigger_of

    trigger = trigger_of(key)
    flow = Flow(_line(call.headers.get("x-ms-workflow-name")), _line(call.headers.get("x-ms-environment-id")))
    flows = call.services.platforms.power_automate.subscriptions
    name, callback = await flows.subscribe(trigger, call.body(Subscribe), flow, call.caller)
    location = f"{call.services.settings.base_url}/api/v1/flows/subscriptions/{name}"
    return Answer(_subscription(callback), 201, {"Location": location})


def _line(text: str | None) -> str | None:
    return "".join(c for c in text if c.isprintable())[:200] or None if text else None


def _subscription(callback: Callback) -> dict[str, Any]:
    from shared.callbacks.standing import status_of
    from shared.platforms.power_automate.subscriptions import subscription_id
    from shared.platforms.power_automate.triggers import ANYTHING, TRIGGERS

    about = callback.about
    summary = TRIGGERS.get(about["trigger"], ANYTHING).summary
    times = (callback.created_at, callback.last_triggered_at, callback.last_successful_at)
    created, triggered, successful = (None if moment is None else iso(moment) for moment in times)
    return {
        "subscription_id": subscription_id(callback),
        "trigger": about["trigger"],
        "label": f"{about.get('label') or callback.origin}: {summary}",
        "status": status_of(callback),
        "flow": about.get("label"),
        "environment": about.get("environment"),
        "origin": callback.origin,
        "equipment_id": next(iter(callback.object_filter), None),
        "minimum_severity": about.get("minimumSeverity"),
        "site": next(iter(callback.sites), None),
        "created_at": created,
        "last_triggered_at": triggered,
        "last_successful_at": successful,
        "disabled_reason": callback.disabled_reason,
    }


# Polling -------------------------------------------------------------------------------------------------------------


@bp.route("api/v1/events/poll", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, refusal=refusal, answers={200: PolledAnswer, 202: PolledAnswer})
async def poll_events(call: Call) -> Answer:
    """What happened since the last call; 202 where nothing is new. The first call only says where things stand."""
    return await _poll(call, "any")


@bp.route("api/v1/events/poll/{trigger}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, refusal=refusal, answers={200: PolledAnswer, 202: PolledAnswer})
async def poll_events_of_trigger(call: Call) -> Answer:
    """The same for one trigger, with its fields."""
    return await _poll(call, call.route["trigger"])


async def _poll(call: Call, key: str) -> Answer:
    from shared.platforms.power_automate.forms import PollAsked
    from shared.platforms.power_automate.polling import wants
    from shared.platforms.power_automate.subscriptions import severities_from, trigger_of

    trigger = trigger_of(key)
    asked = call.params(PollAsked)
    wanted = wants(
        event_type=trigger.event_type or asked.event_type,
        equipment_id=asked.equipment_id,
        severities=severities_from(asked.minimum_severity),
        site=asked.site,
    )
    polled = await call.services.platforms.power_automate.poll.after(asked.cursor, wanted, asked.limit)
    items = [trigger.body(event) for event in polled.events]
    if asked.form == "cursor":
        return Answer({"items": items, "cursor": polled.cursor})
    headers = {
        "Location": _next_address(call, trigger, asked, polled.cursor),
        "Retry-After": str(AT_ONCE_SECONDS if polled.more else POLL_AGAIN_SECONDS),
    }
    return Answer(items, 200, headers) if items else Answer([], 202, headers)


def _next_address(call: Call, trigger: Trigger, asked: PollAsked, cursor: str) -> str:
    path = "/api/v1/events/poll" + ("" if trigger.event_type is None else f"/{trigger.key}")
    given = asked.model_dump(exclude_defaults=True, mode="json") | {"cursor": cursor}
    return f"{call.services.settings.base_url}{path}?{urlencode(given)}"


# Lists to choose from ------------------------------------------------------------------------------------------------


@bp.route("api/v1/flows/ovens", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, refusal=refusal, answers={200: OvenList})
async def list_ovens_for_flows(call: Call) -> Answer:
    """Ovens by name, with their connection."""
    from shared.collection.status import ConnectionStatus
    from shared.equipment import EquipmentFilter
    from shared.platforms.power_automate.forms import OvensAsked

    asked = call.params(OvensAsked)
    statuses = await call.services.health.statuses()
    wanted = EquipmentFilter(site=asked.site, search=asked.search)
    page = await call.services.equipment.list(wanted, limit=asked.limit, continuation=asked.continuation)
    ovens = []
    for oven in page.equipment:
        status = statuses.get(oven.id) or ConnectionStatus()
        ovens.append(
            {
                "equipment_id": oven.id,
                "name": oven.name,
                "label": f"{oven.name} ({oven.site})" if oven.site else oven.name,
                "site": oven.site,
                "manufacturer": oven.manufacturer,
                "model": oven.model,
                "connection_status": status.status,
                "last_connected_at": None if status.last_connected is None else iso(status.last_connected),
                "last_error": status.last_error,
            }
        )
    ovens.sort(key=lambda oven: str(oven["label"]).casefold())
    return Answer({"ovens": ovens, "continuation": page.continuation})


@bp.route("api/v1/flows/ovens/{equipment_id}/signals", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, refusal=refusal, answers={200: SignalList})
async def list_signals_for_flows(call: Call) -> Answer:
    """What an oven measures, with the values of its last reading."""
    from shared.platforms.power_automate.answers import signal_row

    live = await live_view(call.services, call.route["equipment_id"])
    return Answer({"signals": [signal_row(live, signal) for signal in sorted(live["signals"])]})


@bp.route("api/v1/flows/ovens/{equipment_id}/value", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, refusal=refusal, answers={200: SignalRow})
async def get_value_for_flows(call: Call) -> Answer:
    """One measured value with its quality and its age."""
    from shared.platforms.power_automate.answers import signal_row
    from shared.platforms.power_automate.forms import SignalAsked

    asked = call.params(SignalAsked)
    live = await live_view(call.services, call.route["equipment_id"])
    if asked.signal not in live["signals"]:
        known = ", ".join(sorted(live["signals"])[:20]) or "nothing yet, for it was not read lately"
        raise InvalidInput(
            f"signal: this oven does not measure {asked.signal[:80]}; it measures {known}.", field="signal"
        )
    return Answer(signal_row(live, asked.signal))


@bp.route("api/v1/flows/ovens/{equipment_id}/history", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, refusal=refusal, answers={200: HistoryPage})
async def get_history_for_flows(call: Call) -> Answer:
    """The history of one signal, summed up by stretches of time."""
    from shared.platforms.power_automate.forms import HistoryAsked
    from shared.telemetry.history import HistoryQuestion, answer_history

    asked = call.params(HistoryAsked)
    equipment = await call.services.equipment.known(call.route["equipment_id"])
    question = HistoryQuestion.of(
        equipment.id,
        now=call.services.clock.now(),
        start=asked.start,
        end=asked.end,
        limit=asked.limit,
        continuation=asked.continuation,
        bucket=asked.bucket,
        signals=asked.signal,
    )
    found = await answer_history(call.services.readings, question)
    nothing = {"min": None, "max": None, "avg": None, "count": 0, "bad_count": 0}
    rows = []
    for row in found["readings"]:
        stats = row["signals"].get(asked.signal, nothing)
        rows.append(
            {
                "start": row["reading_time"],
                "average": stats["avg"],
                "minimum": stats["min"],
                "maximum": stats["max"],
                "count": stats["count"],
                "bad_count": stats["bad_count"] + row["failed_reads"],
            }
        )
    said = {"equipment_id": equipment.id, "signal": asked.signal, "bucket": asked.bucket}
    return Answer({**said, "rows": rows, "continuation": found["continuation"]})


@bp.route("api/v1/flows/alert-rules", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, refusal=refusal, answers={200: AlertRuleList}, refuses=(404,))
async def list_alert_rules_for_flows(call: Call) -> Answer:
    """The alert rules that count for an oven."""
    from shared.platforms.power_automate.forms import RulesAsked

    asked = call.params(RulesAsked)
    oven = await call.services.equipment.known(asked.equipment_id)
    rules = [
        {
            "rule_id": f"{found.scope}:{found.rule.id}",
            "name": found.rule.name or found.rule.id,
            "kind": found.rule.kind.value,
            "signal": found.rule.signal,
            "severity": found.rule.severity.value,
            "enabled": found.rule.enabled,
        }
        for found in await call.services.alert_rules.effective(oven)
    ]
    return Answer({"rules": rules})


@bp.route("api/v1/flows/event-types", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, refusal=refusal, answers={200: EventTypeList})
async def list_event_types_for_flows(call: Call) -> Answer:
    """The types of events that a flow can be started by."""
    from shared.platforms.power_automate.forms import PageAsked

    call.params(PageAsked)
    types = [{"event_type": t.name, "meaning": t.meaning} for t in CATALOGUE.values() if t.name != TEST]
    return Answer({"event_types": types})


@bp.route("api/v1/flows/triggers/{trigger}/schema", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.VIEWER, refusal=refusal)
async def get_trigger_schema(call: Call) -> Answer:
    """The JSON schema of what a trigger sends, for flows with the plain HTTP trigger."""
    from shared.platforms.power_automate.subscriptions import trigger_of

    return Answer(trigger_of(call.route["trigger"]).schema())


# Acts ----------------------------------------------------------------------------------------------------------------


@bp.route("api/v1/flows/events", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@endpoint(Role.OPERATOR, refusal=refusal, answers={201: EventTold}, refuses=(404,))
async def raise_event_from_flow(call: Call) -> Answer:
    """Tell whoever subscribed that something happened; with an Idempotency-Key sending it again tells it once."""
    from shared.platforms.power_automate.forms import NewEvent

    said = call.body(NewEvent)
    key = call.headers.get("idempotency-key")
    if key is not None and _KEY.fullmatch(key) is None:
        raise InvalidInput(
            "The header Idempotency-Key has 1 to 255 visible ASCII characters.", field="header Idempotency-Key"
        )
    oven = None if said.equipment_id is None else await call.services.equipment.known(said.equipment_id)
    event = Event(
        id=new_id() if key is None else digest_id("flow", call.caller.id, key).upper(),
        type=EXTERNAL,
        timestamp=call.services.clock.now(),
        object_type=NONE if oven is None else MACHINE,
        object_id=None if oven is None else oven.id,
        name=said.name,
        data={
            **(said.data or {}),
            "message": said.message,
            "equipment_id": None if oven is None else oven.id,
            "equipment_name": None if oven is None else oven.name,
        },
        severity=said.severity,
        site=said.site or (None if oven is None else oven.site),
        correlation_id=call.correlation_id,
    )
    targets = await call.services.events.publish(event)
    return Answer({"event_id": event.id, "targets": targets}, 201)
