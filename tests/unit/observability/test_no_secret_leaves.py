"""What is a secret on its way in, through or out is in no span, no metric and no log line that leaves the process."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import tracing
from shared.clock import ManualClock
from shared.errors import Unavailable
from shared.observability import fields
from tests.api import Api, Drained
from tests.unit.callbacks.receiver import Receiver, receiving
from tests.unit.observability.conftest import Telemetry

Drain = Callable[..., Awaitable[Drained]]
Tick = Callable[..., Awaitable[None]]

S = "hunter2Tr0ub4dor"

# Letters that are no part of ordinary sentences, so that finding one means that it leaked.
secrets = st.text(st.characters(codec="ascii", categories=("Lu", "Ll", "Nd")), min_size=12, max_size=40).map(
    lambda text: "Zq" + text
)
PLACES = (
    "https://x.logic.azure.com/workflows/1/triggers/manual/paths/invoke?api-version=1&sp=%2Frun&sv=1.0&sig={}",
    "https://app.azurewebsites.net/api/requests/line?code={}",
    "https://user:{}@10.0.0.5:8443/status",
    "https://ovenbridge.example.com/api/hooks/press/{}",
    "Authorization: Bearer {}",
    "Authorization: Basic {}",
    "x-functions-key: {}",
    "X-API-KEY: {}",
    '{{"password": "{}"}}',
    "{{'client_secret': '{}'}}",
    "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=a;SharedAccessKey={}=",
    "AccountEndpoint=https://x.documents.azure.com:443/;AccountKey={}==;",
    "Cookie: session={}",
    "grant_type=password&username=oven&password={}",
)


@given(secret=secrets, place=st.sampled_from(PLACES), around=st.text(max_size=30))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
def test_every_way_out_redacts(telemetry: Telemetry, secret: str, place: str, around: str) -> None:
    text = f"{around} {place.format(secret)}"
    log = logging.getLogger("ovenbridge.test")
    try:
        with tracing.span("outer", "client") as span:
            span.set({"url.full": text, "error": text})
            tracing.mark(where=text)
            tracing.note("happened", what=text)
            log.warning("It went wrong: %s", text, extra=fields(url=text, headers={"x-functions-key": secret}))
            raise Unavailable(text)
    except Unavailable as error:
        log.error("failed", exc_info=error)
    with (
        pytest.raises(RuntimeError),
        telemetry.tracer_provider.get_tracer("a library").start_as_current_span(
            "GET", attributes={"http.url": text}, record_exception=False, set_status_on_exception=False
        ),
    ):
        raise RuntimeError(text)
    assert secret not in telemetry.everything()
    telemetry.exporter.clear()
    telemetry.log_exporter.clear()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


async def test_a_day_in_the_house_with_secrets_everywhere(
    api: Api, receiver: Receiver, drain: Drain, tick: Tick, clock: ManualClock, telemetry: Telemetry
) -> None:
    """Keys in addresses and headers, credentials of machines and receivers, and a receiver that sends them all back."""
    api.headers |= {"x-functions-key": S, "cookie": f"session={S}"}

    async def post(path: str, body: object, status: int = 201) -> dict[str, object]:
        answer = await api.post(f"{path}?code={S}", json=body)
        assert answer.status == status, answer.body
        found: dict[str, object] = answer.json()
        return found

    target = receiver.url.replace("://", f"://user:{S}@") + f"/sink?sig={S}&code={S}"
    registered = await api.post("/ffwebservices/api/v2/callbacks", json={"eventType": "EXTERNAL", "url": target})
    assert registered.status in (201, 400), registered.body
    basic = {"username": "u", "password": S}
    body = {"eventType": "EXTERNAL", "url": receiver.url + f"/other?sig={S}", "basicAuth": basic}
    assert (await api.post("/ffwebservices/api/v2/callbacks", json=body)).status == 201
    made = await post("/api/v1/hook-sources", {"id": "press"})
    token = urlsplit(str(made["url"])).path.rsplit("/", 1)[-1]
    await post("/api/v1/equipment", {"id": "OVEN-1", "name": "Oven 1"})
    config = {
        "protocol": "rest_api",
        "endpoint": receiver.url,
        "credentials": {"username": "u", "password": S, "api_key": S},
        "additional_config": {"data_endpoint": "/now"},
        "supports_realtime": True,
        "poll_interval_seconds": 10,
    }
    await post("/api/v1/equipment/OVEN-1/iot-config", config, 200)

    def echo(said: object) -> web.Response:
        return web.json_response({"password": S, "url": target, "authorization": f"Bearer {S}"}, status=500)

    for answer in (200, echo):
        receiver.answer = answer
        hook = urlsplit(str(made["url"])).path
        taken = await api.post(hook, body=f'{{"password": "{S}", "x": "Bearer {S}"}}')
        assert taken.status == 202
        await api.post(f"/api/hooks/press/{S}", json={})
        clock.advance(10)
        await tick("plan_polls")
        clock.advance(5)
        await drain()
        await tick("sweep_deliveries")
        await tick("watch_alerts")

    assert receiver.seen, "nothing was sent"
    assert len(telemetry.spans("notify")) >= 2
    everything = telemetry.everything()
    assert "create_hook_source" in everything
    assert S not in everything
    assert token not in everything
    metrics = (await api.get("/api/v1/metrics", headers={"accept": "text/plain"})).body.decode()
    assert S not in metrics
