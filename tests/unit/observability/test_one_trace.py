"""From a webhook to the callback it leads to: one trace, over messages and stored documents, with OpenTelemetry or
without."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import pytest

from shared import tracing
from shared.clock import ManualClock
from shared.services import Services
from shared.storage import Query
from tests.api import Api, Drained
from tests.unit.callbacks.receiver import Receiver, receiving
from tests.unit.observability.conftest import Telemetry

Drain = Callable[..., Awaitable[Drained]]
Tick = Callable[..., Awaitable[None]]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
GIVEN = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


async def call_in(api: Api, receiver: Receiver, headers: dict[str, str]) -> str:
    """A callback is registered, a message comes in; the id of that message."""
    registered = await api.post(
        "/ffwebservices/api/v2/callbacks", json={"eventType": "EXTERNAL", "url": receiver.url + "/sink?sig=s3cret-sig"}
    )
    assert registered.status == 201, registered.body
    made = (await api.post("/api/v1/hook-sources", json={"id": "press"})).json()
    answer = await api.post(urlsplit(made["url"]).path, json={"pieces": 12}, headers={"webhook-id": "m-1", **headers})
    assert answer.status == 202, answer.body
    return str(answer.json()["id"])


def hexes(span: object) -> tuple[str, str]:
    context = span.get_span_context()  # type: ignore[attr-defined]
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


async def test_one_trace_from_the_webhook_to_the_callback(
    api: Api, receiver: Receiver, drain: Drain, telemetry: Telemetry
) -> None:
    inbox_id = await call_in(api, receiver, {"traceparent": GIVEN})
    assert (await drain()).failures == []
    (told,) = receiver.seen

    chain = [telemetry.span(name) for name in ("receive_hook", "handle_inbound", "deliver_notification", "notify")]
    assert {hexes(span)[0] for span in chain} == {TRACE}
    assert f"{chain[0].parent.span_id:016x}" == "00f067aa0ba902b7"  # type: ignore[union-attr]
    for earlier, later in itertools.pairwise(chain):
        assert later.parent is not None
        assert f"{later.parent.span_id:016x}" == hexes(earlier)[1], f"{later.name} is not part of {earlier.name}"
    assert told.headers["traceparent"] == f"00-{TRACE}-{hexes(chain[-1])[1]}-01"

    said = [dict(span.attributes or {}) for span in chain]
    assert said[0]["http.route"] == "/api/hooks/{source}/{token}"
    assert (said[0]["ovenbridge.inbox_id"], said[0]["ovenbridge.webhook_id"]) == (inbox_id, "m-1")
    assert said[1]["ovenbridge.inbox_id"] == inbox_id
    assert said[3]["ovenbridge.delivery_id"] == told.webhook_id
    assert str(said[3]["ovenbridge.event_id"]) in told.webhook_id
    assert (said[3]["ovenbridge.attempt"], said[3]["http.response.status_code"]) == (1, 200)
    assert {entry["ovenbridge.correlation_id"] for entry in said[:3]} == {TRACE}
    assert [span.kind.name for span in chain] == ["SERVER", "CONSUMER", "CONSUMER", "CLIENT"]


async def test_an_attempt_ten_minutes_later_belongs_to_its_cause(
    api: Api, receiver: Receiver, drain: Drain, tick: Tick, clock: ManualClock, house: Services, telemetry: Telemetry
) -> None:
    receiver.answer = 503
    await call_in(api, receiver, {"traceparent": GIVEN})
    await drain()
    # Its message is lost: the sweep finds the delivery, and has only what was stored with it.
    clock.advance(10)
    (lost,) = await house.receiver.receive("callback-deliveries", 1)
    await house.receiver.complete("callback-deliveries", lost)
    clock.advance(600)
    receiver.answer = 200
    await tick("sweep_deliveries")
    assert (await drain()).failures == []

    first, second = telemetry.spans("notify")
    assert {hexes(first)[0], hexes(second)[0]} == {TRACE}
    assert [dict(span.attributes or {})["ovenbridge.attempt"] for span in (first, second)] == [1, 2]
    assert [span.status.status_code.name for span in (first, second)] == ["ERROR", "UNSET"]
    assert first.status.description == "The receiver answered 503; only 2xx confirms a notification."


async def test_without_opentelemetry_the_context_of_the_caller_is_handed_on(
    api: Api, receiver: Receiver, drain: Drain
) -> None:
    tracing.use(None)
    await call_in(api, receiver, {"traceparent": GIVEN})
    await drain()
    assert receiver.seen[0].headers["traceparent"] == GIVEN
    assert receiver.seen[0].headers["x-correlation-id"] == TRACE


async def test_without_opentelemetry_a_correlation_id_is_a_trace(api: Api, receiver: Receiver, drain: Drain) -> None:
    tracing.use(None)
    await call_in(api, receiver, {})
    await drain()
    headers = receiver.seen[0].headers
    parent = tracing.parent_of(headers["traceparent"])
    assert parent is not None
    assert parent.trace_id == headers["x-correlation-id"]


async def test_without_a_context_the_trace_gives_the_correlation_id(
    api: Api, receiver: Receiver, drain: Drain, house: Services, telemetry: Telemetry
) -> None:
    await call_in(api, receiver, {})
    await drain()
    trace, _ = hexes(telemetry.span("receive_hook"))
    assert telemetry.span("receive_hook").parent is None
    assert hexes(telemetry.span("notify"))[0] == trace
    (delivery,) = (await house.store.query("deliveries", Query())).items
    assert delivery.document["correlationId"] == trace
    assert receiver.seen[0].headers["x-correlation-id"] == trace


async def test_an_event_told_of_later_stays_in_its_own_trace(house: Services, telemetry: Telemetry) -> None:
    """An alert's event may be published by a timer, long after the reading that raised it."""
    cause = "0af7651916cd43dd8448eb211c80319c"
    with tracing.span("watch_alerts"):
        assert tracing.carried(cause) == f"00-{cause}-{cause[:16]}-01"
        assert tracing.carried(None) != tracing.carried(cause)


async def test_a_poll_and_its_failures_are_in_the_span_of_the_batch(
    api: Api, drain: Drain, tick: Tick, telemetry: Telemetry, clock: ManualClock
) -> None:
    made = await api.post("/api/v1/equipment", json={"id": "OVEN-1", "name": "Oven 1"})
    assert made.status == 201, made.body
    config = {
        "protocol": "rest_api",
        "endpoint": "http://127.0.0.1:9",
        "additional_config": {"data_endpoint": "/now"},
        "supports_realtime": True,
        "poll_interval_seconds": 10,
    }
    configured = await api.post("/api/v1/equipment/OVEN-1/iot-config", json=config)
    assert configured.status == 200, configured.body
    clock.advance(10)
    await tick("plan_polls")
    clock.advance(5)
    await drain(queues=("poll-batches",))
    batches = [dict(span.attributes or {}) for span in telemetry.spans("read_poll_batch")]
    assert [entry["ovenbridge.polls"] for entry in batches][:1] == [1]
    (noted, *_) = [event for span in telemetry.spans("read_poll_batch") for event in span.events]
    assert (noted.name, dict(noted.attributes or {})["ovenbridge.equipment_id"]) == ("not read", "OVEN-1")
    ((words, count), *_) = telemetry.points("poll.duration")
    assert dict(words) == {"protocol": "rest_api", "vendor": "rest_api", "outcome": "cannot_connect"}
    assert count >= 1


async def test_a_failing_call_is_a_failed_span_without_the_error_s_text(api: Api, telemetry: Telemetry) -> None:
    refused = await api.post("/api/v1/equipment", json={"nonsense": 1})
    assert refused.status == 400
    span = telemetry.span("create_equipment")
    assert dict(span.attributes or {})["http.response.status_code"] == 400
    assert span.status.status_code.name == "UNSET", "the caller's fault is not ours"
    assert span.events == ()
