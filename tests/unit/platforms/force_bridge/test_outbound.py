"""What FORCE Bridge is told: tickets once, events with retries, whatever dies in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.events import Event
from shared.events.catalogue import ALERT_RAISED, MACHINE, TICKET_REQUESTED
from shared.platforms.force_bridge.services import ForceBridgeRoom
from shared.services import Services
from shared.storage import Document, Query
from tests.api import Drained
from tests.platforms.force_bridge import FakeForceBridge
from tests.unit.platforms.force_bridge.conftest import Connect

Drain = Callable[..., Awaitable[Drained]]
QUEUES = ("platform-calls",)
WORKPLACE = "C0E399EE92C946FBA0B38E5002B51C91"
TICKET = Event(
    id="TICKET1",
    type=TICKET_REQUESTED,
    timestamp=datetime(2026, 11, 21, 9, 59, tzinfo=UTC),
    object_type=MACHINE,
    object_id="OVEN-1",
    data={
        "ticket_id": "TICKET1",
        "alert_id": "OVEN-1:none",
        "title": "Oven 1 is cold",
        "description": "Look at the burner.",
        "priority": "urgent",
        "url": "http://127.0.0.1:7071/api/v1/alerts/1",
    },
)
RAISED = Event(
    "E1", ALERT_RAISED, TICKET.timestamp, MACHINE, "OVEN-1", data={"alert_id": "A", "message": "It is cold."}
)
OPTIONS: dict[str, Any] = {
    "workplaces": {WORKPLACE: "OVEN-1"},
    "tickets": {"ticket_class_id": "mechanics"},
    "publish": ["ALERT_RAISED"],
}


async def calls(house: Services) -> list[Document]:
    return [one.document for one in (await house.store.query("platformCalls", Query(limit=100))).items]


async def test_a_ticket(connect: Connect, force: FakeForceBridge, house: Services, drain: Drain) -> None:
    await connect(**OPTIONS)
    for _ in range(3):
        await house.events.publish(TICKET)
    assert (await drain(queues=QUEUES)).failures == []
    (ticket,) = force.tickets
    assert ticket == ticket | {
        "title": "Oven 1 is cold",
        "priority": "HIGH",
        "ticketStateId": "NEW",
        "ticketClassId": "mechanics",
        "workplaceId": WORKPLACE,
    }
    assert ticket["description"].startswith("Look at the burner.")
    assert "TICKET1" in ticket["description"]
    (call,) = await calls(house)
    assert (call["status"], call["outcome"], call["ticket"]) == (
        "done",
        "Ticket 1 was opened at plant-1.",
        ticket["id"],
    )
    assert force.events == []


async def test_an_event(connect: Connect, force: FakeForceBridge, house: Services, drain: Drain) -> None:
    await connect(**OPTIONS)
    await house.events.publish(RAISED)
    await house.events.publish(RAISED)
    await drain(queues=QUEUES)
    assert force.events == [
        {
            "eventType": "EXTERNAL",
            "eventName": "ALERT_RAISED",
            "timestamp": "2026-11-21T09:59:00.000Z",
            "objectId": WORKPLACE,
            "objectType": "WORKPLACE",
            "data": {"eventId": "E1", "alert_id": "A", "message": "It is cold."},
        }
    ]


async def test_nothing_is_planned_that_nobody_wants(
    connect: Connect, force: FakeForceBridge, house: Services, drain: Drain
) -> None:
    await connect()
    await house.events.publish(TICKET)
    await house.events.publish(RAISED)
    assert await calls(house) == []


async def test_one_that_is_away_is_told_later(
    connect: Connect, force: FakeForceBridge, house: Services, drain: Drain, clock: ManualClock
) -> None:
    await connect(**OPTIONS)
    force.trouble = ["token", 500, 502]
    await house.events.publish(RAISED)
    await drain(queues=QUEUES)
    (call,) = await calls(house)
    assert (call["status"], "500" in call["outcome"]) == ("pending", True)
    for _ in range(3):
        clock.advance(60)
        await drain(queues=QUEUES)
    assert len(force.events) == 1
    assert (await calls(house))[0]["attempts"] == 3


async def test_what_is_refused_is_not_repeated(
    connect: Connect, force: FakeForceBridge, house: Services, drain: Drain, clock: ManualClock
) -> None:
    await connect(**OPTIONS)
    force.trouble = ["token", 400]
    await house.events.publish(TICKET)
    await drain(queues=QUEUES)
    clock.advance(3_600)
    await house.platforms.force_bridge.outbound.sweep()
    await drain(queues=QUEUES)
    (call,) = await calls(house)
    assert (call["status"], force.count("POST tickets")) == ("failed", 1)
    assert "Test error" in call["outcome"]


async def test_it_is_given_up_after_a_day(
    connect: Connect, force: FakeForceBridge, house: Services, drain: Drain, clock: ManualClock
) -> None:
    await connect(**OPTIONS)
    force.trouble = [500] * 200
    await house.events.publish(RAISED)
    for _ in range(60):
        await drain(queues=QUEUES)
        clock.advance(1_800)
    (call,) = await calls(house)
    assert call["status"] == "failed"
    assert call["outcome"].startswith("Given up after a day.")


async def test_a_lost_answer_makes_no_second_ticket(
    connect: Connect, force: FakeForceBridge, house: Services, drain: Drain, clock: ManualClock
) -> None:
    await connect(**OPTIONS)
    force.trouble = ["token", "lost"]
    await house.events.publish(TICKET)
    await drain(queues=QUEUES)
    clock.advance(60)
    await drain(queues=QUEUES)
    assert len(force.tickets) == force.count("POST tickets") == 1
    assert (await calls(house))[0]["status"] == "done"


@pytest.mark.parametrize("dies_at", ["before", "after"])
async def test_a_process_that_dies_makes_one_ticket(
    connect: Connect,
    force: FakeForceBridge,
    house: Services,
    drain: Drain,
    clock: ManualClock,
    dies_at: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before the POST, or after it and before its outcome was written down."""
    await connect(**OPTIONS)
    first = ForceBridgeRoom(house).outbound

    async def dies(*_: Any) -> Any:
        raise asyncio.CancelledError

    monkeypatch.setattr(first, "_try" if dies_at == "before" else "_end", dies)
    await house.events.publish(TICKET)
    (message,) = await house.receiver.receive("platform-calls", 1)
    with pytest.raises(asyncio.CancelledError):
        await first.handle(message.body)
    await house.receiver.abandon("platform-calls", message)
    assert len(force.tickets) == (0 if dies_at == "before" else 1)
    await drain(queues=QUEUES)
    assert len(force.tickets) == (0 if dies_at == "before" else 1), "its lease is not over"
    clock.advance(151)
    await drain(queues=QUEUES)
    assert len(force.tickets) == 1
    assert (await calls(house))[0]["status"] == "done"


async def test_a_message_that_got_lost_is_swept_up(
    connect: Connect, force: FakeForceBridge, house: Services, drain: Drain, clock: ManualClock, tick: Any
) -> None:
    await connect(**OPTIONS)
    await house.events.publish(RAISED)
    (message,) = await house.receiver.receive("platform-calls", 1)
    await house.receiver.complete("platform-calls", message)
    clock.advance(61)
    await tick("sweep_platform_calls")
    await drain(queues=QUEUES)
    assert len(force.events) == 1


async def test_a_connection_that_is_gone(
    connect: Connect, force: FakeForceBridge, house: Services, drain: Drain, api: Any
) -> None:
    await connect(**OPTIONS)
    await house.events.publish(RAISED)
    assert (await api.delete("/api/v1/connections/plant-1")).status == 204
    assert (await drain(queues=QUEUES)).failures == []
    assert (await calls(house))[0]["status"] == "failed"
