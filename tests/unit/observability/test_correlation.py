"""One correlation id from the call that came in to the message that wakes the last delivery attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from shared.services import Services
from shared.storage import Query
from tests.api import Api, Drained


async def test_from_a_hook_to_the_delivery(api: Api, house: Services, drain: Callable[..., Awaitable[Drained]]) -> None:
    registered = await api.post(
        "/ffwebservices/api/v2/callbacks", json={"eventType": "EXTERNAL", "url": "http://127.0.0.1:9/sink"}
    )
    assert registered.status == 201, registered.body
    made = (await api.post("/api/v1/hook-sources", json={"id": "press"})).json()
    headers = {"x-correlation-id": "order-4711"}
    answer = await api.post(urlsplit(made["url"]).path, json={"pieces": 12}, headers=headers)
    assert answer.headers["x-correlation-id"] == "order-4711"

    await drain(queues=("inbound-events",))
    (event,) = (await house.store.query("events", Query())).items
    (delivery,) = (await house.store.query("deliveries", Query())).items
    (message,) = await house.receiver.receive("callback-deliveries", 10)
    inbox = (await api.get(f"/api/v1/inbox/{answer.json()['id']}")).json()
    assert inbox["correlation_id"] == "order-4711"
    assert event.document["correlationId"] == "order-4711"
    assert delivery.document["correlationId"] == "order-4711"
    assert message.correlation_id == "order-4711"
    await house.receiver.abandon("callback-deliveries", message)


async def test_from_a_change_to_its_audit_entry(api: Api) -> None:
    headers = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    await api.post("/api/v1/tokens", json={"name": "x", "roles": ["viewer"]}, headers=headers)
    (entry,) = (await api.get("/api/v1/audit")).json()["entries"]
    assert entry["correlation_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
