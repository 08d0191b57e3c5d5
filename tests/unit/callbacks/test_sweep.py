"""The sweep wakes what lost its message, and nothing else."""

from __future__ import annotations

from datetime import timedelta

from shared.callbacks.document import CONTAINER, QUEUE, new_delivery
from shared.clock import iso
from shared.events import Event
from tests.unit.callbacks.conftest import Stage


async def _lose_messages(stage: Stage) -> None:
    """What waits in the queue is gone: given up there, or never sent."""
    while (await stage.house.receiver.depth(QUEUE)).active:
        for received in await stage.house.receiver.receive(QUEUE, 100):
            await stage.house.receiver.complete(QUEUE, received)


async def test_what_lost_its_message_is_woken_after_a_minute(stage: Stage) -> None:
    callback = await stage.register()
    await stage.publish()
    await _lose_messages(stage)
    stage.clock.advance(59)
    assert await stage.house.deliveries.sweep() == 0
    stage.clock.advance(2)
    assert await stage.house.deliveries.sweep() == 1
    assert await stage.house.deliveries.sweep() == 0, "woken once, not at every sweep"
    await stage.settle()
    assert len(stage.receiver.seen) == 1
    assert (await stage.only(callback))["status"] == "confirmed"


async def test_it_is_woken_again_when_that_message_is_lost_too(stage: Stage) -> None:
    await stage.register()
    await stage.publish()
    for _ in range(3):
        await _lose_messages(stage)
        stage.clock.advance(61)
        assert await stage.house.deliveries.sweep() == 1
    await stage.settle()
    assert len(stage.receiver.seen) == 1


async def test_a_lost_retry_is_woken(stage: Stage) -> None:
    callback = await stage.register()
    stage.receiver.answer = 500
    await stage.publish()
    await stage.settle()
    stage.clock.advance(10.1)
    await _lose_messages(stage)
    stage.clock.advance(61)
    stage.receiver.answer = 200
    assert await stage.house.deliveries.sweep() == 1
    await stage.settle()
    assert [t["n"] for t in (await stage.only(callback))["attempts"]] == [1, 2]


async def test_a_long_line_is_not_doubled(stage: Stage) -> None:
    """Everything is late because much is to be done: what is not later than that has its message still."""
    await stage.register()
    for _ in range(20):
        await stage.publish()
    stage.clock.advance(300)
    for received in await stage.house.receiver.receive(QUEUE, 16):
        await stage.house.deliveries.deliver(received.body)
        await stage.house.receiver.complete(QUEUE, received)
    assert await stage.house.deliveries.sweep() == 0
    assert (await stage.house.receiver.depth(QUEUE)).active == 4


async def test_more_than_a_page(stage: Stage) -> None:
    callback = await stage.register()
    moment = stage.clock.now() - timedelta(seconds=100)
    for n in range(250):
        event = Event(id=f"L{n}", type="EXTERNAL", timestamp=moment).to_document()
        await stage.house.store.create(CONTAINER, new_delivery(callback.id, event, iso(moment)))
    assert await stage.house.deliveries.sweep() == 250
    await stage.settle()
    assert len(stage.receiver.ids()) == 250
    assert len(stage.receiver.seen) == 250


async def test_deliveries_of_a_callback_that_is_gone_end_with_a_reason(stage: Stage) -> None:
    """Left by a process that died while another one deleted the callback."""
    moment = stage.clock.now() - timedelta(seconds=100)
    event = Event(id="L", type="EXTERNAL", timestamp=moment).to_document()
    await stage.house.store.create(CONTAINER, new_delivery("F" * 32, event, iso(moment)))
    assert await stage.house.deliveries.sweep() == 1
    await stage.settle()
    document = (await stage.house.store.read(CONTAINER, ("F" * 32,), "d:L")).document
    assert document["discardReason"] == "callback_deleted"
