"""What every queue promises to those who send and to the host that receives."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.errors import InvalidInput, Unavailable
from shared.messaging import Outgoing, Received
from shared.topology import topology
from tests.contract.backends import WholeQueue
from tests.wire.service_bus.real import MOMENT

Q = "callback-deliveries"
SPEC = topology().queues[Q]
POLLS = "poll-batches"


def message(n: int | str, **more: Any) -> Outgoing:
    return Outgoing(f"body {n}".encode(), f"m{n}", **more)


async def take(queue: WholeQueue, limit: int = 100, name: str = Q) -> list[Received]:
    """What can be received within a moment."""
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(queue.receive(name, limit), MOMENT)
    return []


@contextlib.asynccontextmanager
async def waiting(queue: WholeQueue, limit: int = 1) -> AsyncIterator[asyncio.Task[list[Received]]]:
    """A receiver that waits."""
    task = asyncio.create_task(queue.receive(Q, limit))
    await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def bodies(received: list[Received]) -> list[str]:
    return [r.body.decode() for r in received]


async def test_a_queue_can_be_checked_by_name(queue: WholeQueue) -> None:
    await queue.check_queue(Q)
    with pytest.raises(InvalidInput, match="There is no queue nonsense"):
        await queue.check_queue("nonsense")
    with pytest.raises((InvalidInput, Unavailable), match="There is no queue relay-hall-9-commands"):
        await queue.check_queue("relay-hall-9-commands")


# Sending and receiving -----------------------------------------------------------------------------------------------


async def test_what_was_sent_is_received_whole(queue: WholeQueue, clock: ManualClock) -> None:
    properties = {"traceparent": "00-abc", "ä": "ü"}
    await queue.send(Q, [Outgoing(b"\x00\xff", "id 1", correlation_id="c", properties=properties)])
    (received,) = await queue.receive(Q, 10)
    assert (received.body, received.message_id, received.correlation_id) == (b"\x00\xff", "id 1", "c")
    assert dict(received.properties) == properties
    assert received.delivery_count == 1
    assert received.enqueued_at == clock.now()
    await queue.complete(Q, received)
    assert await take(queue) == []


async def test_oldest_first_and_no_more_than_asked_for(queue: WholeQueue) -> None:
    await queue.send(Q, [message(n) for n in range(5)])
    await queue.send(Q, [message(n) for n in range(5, 10)])
    first = await queue.receive(Q, 3)
    second = await queue.receive(Q, 100)
    assert bodies([*first, *second]) == [f"body {n}" for n in range(10)]
    numbers = [r.sequence_number for r in [*first, *second]]
    assert numbers == sorted(set(numbers))


async def test_queues_do_not_mix(queue: WholeQueue) -> None:
    await queue.send(Q, [message(1)])
    await queue.send(POLLS, [message(1)])
    assert len(await take(queue)) == 1
    assert len(await take(queue, name=POLLS)) == 1


async def test_nothing_sent_is_nothing(queue: WholeQueue) -> None:
    await queue.send(Q, [])
    assert await take(queue) == []


async def test_a_waiting_receiver_is_woken(queue: WholeQueue) -> None:
    async with waiting(queue) as one, waiting(queue) as two:
        await queue.send(Q, [message(1), message(2)])
        got = await asyncio.wait_for(asyncio.gather(one, two), 2)
        assert sorted(bodies([*got[0], *got[1]])) == ["body 1", "body 2"]


async def test_every_message_goes_to_one_receiver(queue: WholeQueue) -> None:
    seen: list[str] = []
    all_done = asyncio.Event()

    async def work() -> None:
        while True:
            for received in await queue.receive(Q, 7):
                seen.append(received.message_id)
                await queue.complete(Q, received)
                if len(seen) >= 300:
                    all_done.set()

    workers = [asyncio.create_task(work()) for _ in range(8)]
    await asyncio.gather(*(queue.send(Q, [message(f"{n}.{k}") for k in range(5)]) for n in range(60)))
    await asyncio.wait_for(all_done.wait(), 20)
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    assert sorted(seen) == sorted(f"m{n}.{k}" for n in range(60) for k in range(5))


@pytest.mark.parametrize(
    "bad",
    [
        Outgoing(b"x" * (200 * 1024 + 1), "big"),
        Outgoing(b"x", ""),
        Outgoing(b"x", "x" * 129),
        Outgoing("text", "m"),  # type: ignore[arg-type]
    ],
    ids=["too large", "no id", "long id", "text"],
)
async def test_send_is_all_or_none(queue: WholeQueue, bad: Outgoing) -> None:
    with pytest.raises(InvalidInput):
        await queue.send(Q, [message(1), bad, message(2)])
    assert await take(queue) == []
    await queue.send(Q, [message(1), Outgoing(b"x" * 200 * 1024, "x" * 128), message(2)])
    assert len(await take(queue)) == 3


async def test_an_unknown_queue_is_refused(queue: WholeQueue) -> None:
    async def receive() -> Any:
        return await queue.receive("nothing", 1)

    for attempt in (
        queue.send("nothing", [message(1)]),
        receive(),
        queue.depth("nothing"),
        queue.dead_letters("nothing", 1),
        queue.redrive("nothing", 1),
    ):
        with pytest.raises(InvalidInput):
            await attempt
    with pytest.raises(InvalidInput):
        await queue.receive(Q, 0)


async def test_the_check_says_yes(queue: WholeQueue) -> None:
    await queue.check()
    assert await take(queue) == []


# Scheduling ----------------------------------------------------------------------------------------------------------


async def test_a_scheduled_message_comes_at_its_time(queue: WholeQueue, clock: ManualClock) -> None:
    at = clock.now() + timedelta(seconds=10)
    await queue.send(Q, [message("late", at=at), message("now")])
    assert bodies(await take(queue)) == ["body now"]
    clock.advance(9.999)
    assert await take(queue) == []
    clock.advance(0.001)
    (received,) = await take(queue)
    assert (received.body, received.enqueued_at) == (b"body late", at)


async def test_scheduled_messages_come_in_the_order_of_their_times(queue: WholeQueue, clock: ManualClock) -> None:
    offsets = [30, 10, 20, 0, 40]
    await queue.send(Q, [message(s, at=clock.now() + timedelta(seconds=s)) for s in offsets])
    clock.advance(30)
    assert bodies(await take(queue)) == ["body 0", "body 10", "body 20", "body 30"]


async def test_a_waiting_receiver_notices_the_time(queue: WholeQueue, clock: ManualClock) -> None:
    await queue.send(Q, [message(1, at=clock.now() + timedelta(hours=1))])
    async with waiting(queue) as receiver:
        clock.advance(3600)
        assert bodies(await asyncio.wait_for(receiver, 2)) == ["body 1"]


async def test_a_time_in_the_past_or_without_zone(queue: WholeQueue, clock: ManualClock) -> None:
    await queue.send(Q, [message("past", at=datetime(2000, 1, 1, tzinfo=UTC))])
    await queue.send(Q, [message("naive", at=datetime(2026, 11, 21, 10, 0, 5))])
    assert bodies(await take(queue)) == ["body past"]
    clock.advance(5)
    assert bodies(await take(queue)) == ["body naive"]


# Duplicates ----------------------------------------------------------------------------------------------------------


async def test_an_id_seen_within_the_window_is_dropped(queue: WholeQueue, clock: ManualClock) -> None:
    await queue.send(Q, [message(1), message(1), message(2)])
    await queue.send(Q, [message(1)])
    received = await take(queue)
    assert bodies(received) == ["body 1", "body 2"]
    for one in received:
        await queue.complete(Q, one)
    clock.advance(SPEC.duplicate_window_seconds - 1)
    await queue.send(Q, [message(1), message(3)])
    assert bodies(await take(queue)) == ["body 3"], "also after it was completed; the new one is not lost beside it"
    clock.advance(1)
    await queue.send(Q, [message(1)])
    assert "body 1" in bodies(await take(queue))


async def test_a_scheduled_id_counts_from_when_it_was_sent(queue: WholeQueue, clock: ManualClock) -> None:
    await queue.send(Q, [message(1, at=clock.now() + timedelta(seconds=100))])
    await queue.send(Q, [message(1)])
    assert await take(queue) == []
    clock.advance(100)
    assert len(await take(queue)) == 1


async def test_of_many_sends_of_one_id_one_arrives(queue: WholeQueue) -> None:
    await asyncio.gather(*(queue.send(Q, [message("same"), message(n)]) for n in range(40)))
    ids = [r.message_id for r in await take(queue, 1000)]
    assert sorted(ids) == sorted(["msame", *(f"m{n}" for n in range(40))])


# Locks ---------------------------------------------------------------------------------------------------------------


async def test_a_locked_message_is_nobody_elses(queue: WholeQueue, clock: ManualClock) -> None:
    await queue.send(Q, [message(1)])
    assert len(await take(queue)) == 1
    clock.advance(SPEC.lock_seconds - 0.001)
    assert await take(queue) == []


async def test_a_lost_lock_makes_it_due_again(queue: WholeQueue, clock: ManualClock) -> None:
    await queue.send(Q, [message(1)])
    (first,) = await take(queue)
    async with waiting(queue) as receiver:
        clock.advance(SPEC.lock_seconds)
        (second,) = await asyncio.wait_for(receiver, 2)
    assert (second.message_id, second.delivery_count) == (first.message_id, 2)
    assert second.lock_token != first.lock_token
    await queue.complete(Q, first)
    await queue.abandon(Q, first)
    await queue.dead_letter(Q, first, "late")
    await queue.renew(Q, first)
    assert (await queue.depth(Q)).locked == 1, "who lost the lock has no say"
    await queue.complete(Q, second)
    clock.advance(SPEC.lock_seconds * 2)
    assert await take(queue) == []


async def test_a_lock_can_be_renewed(queue: WholeQueue, clock: ManualClock) -> None:
    await queue.send(Q, [message(1)])
    (received,) = await take(queue)
    for _ in range(5):
        clock.advance(SPEC.lock_seconds * 0.9)
        await queue.renew(Q, received)
    assert await take(queue) == []
    await queue.complete(Q, received)
    clock.advance(SPEC.lock_seconds)
    assert await take(queue) == []


async def test_completing_twice_is_no_error(queue: WholeQueue) -> None:
    await queue.send(Q, [message(1), message(2)])
    one, two = await take(queue)
    await asyncio.gather(queue.complete(Q, one), queue.complete(Q, one))
    await queue.complete(Q, one)
    depth = await queue.depth(Q)
    assert (depth.locked, depth.active) == (1, 0)
    await queue.complete(Q, two)
    assert (await queue.depth(Q)).locked == 0


# Failing -------------------------------------------------------------------------------------------------------------


async def test_an_abandoned_message_comes_again_at_its_old_place(queue: WholeQueue) -> None:
    await queue.send(Q, [message(1), message(2), message(3)])
    (first,) = await queue.receive(Q, 1)
    await queue.abandon(Q, first)
    received = await take(queue)
    assert [(r.message_id, r.delivery_count) for r in received] == [("m1", 2), ("m2", 1), ("m3", 1)]


async def test_abandoning_wakes_a_receiver(queue: WholeQueue) -> None:
    await queue.send(Q, [message(1)])
    (received,) = await take(queue)
    async with waiting(queue) as receiver:
        await queue.abandon(Q, received)
        assert len(await asyncio.wait_for(receiver, 2)) == 1


@pytest.mark.parametrize("by", ["abandon", "lost lock"])
async def test_after_the_last_delivery_it_is_given_up(queue: WholeQueue, clock: ManualClock, by: str) -> None:
    properties = {"k": "v"}
    await queue.send(Q, [Outgoing(b"poison", "p", correlation_id="c", properties=properties)])
    for delivery in range(1, SPEC.max_delivery_count + 1):
        (received,) = await take(queue)
        assert received.delivery_count == delivery
        if by == "abandon":
            await queue.abandon(Q, received)
        else:
            clock.advance(SPEC.lock_seconds)
    assert await take(queue) == []
    (dead,) = await queue.dead_letters(Q, 10)
    assert dead.reason == "MaxDeliveryCountExceeded"
    assert dead.dead_lettered_at in (clock.now(), None), "None: the queue gave it up itself and keeps no time"
    assert (dead.message.body, dead.message.message_id, dead.message.correlation_id) == (b"poison", "p", "c")
    assert dict(dead.message.properties) == properties
    assert dead.message.delivery_count == SPEC.max_delivery_count
    depth = await queue.depth(Q)
    assert (depth.dead_lettered, depth.active, depth.locked) == (1, 0, 0)


async def test_given_up_with_a_reason_and_sent_again(queue: WholeQueue, clock: ManualClock) -> None:
    sent = clock.now()
    await queue.send(Q, [message(n) for n in range(3)])
    for n, received in enumerate(await take(queue)):
        clock.advance(1)
        await queue.dead_letter(Q, received, f"because {n}")
    dead = await queue.dead_letters(Q, 2)
    assert [d.dead_lettered_at for d in dead] == [sent + timedelta(seconds=1), sent + timedelta(seconds=2)]
    assert [(d.reason, d.message.message_id, d.message.delivery_count) for d in dead] == [
        ("because 0", "m0", 1),
        ("because 1", "m1", 1),
    ]
    assert await queue.redrive(Q, 2) == 2
    again = await take(queue)
    assert bodies(again) == ["body 0", "body 1"]
    assert [r.delivery_count for r in again] == [1, 1]
    assert not {r.message_id for r in again} & {"m0", "m1"}, "under fresh ids"
    assert [d.reason for d in await queue.dead_letters(Q, 10)] == ["because 2"]
    assert await queue.redrive(Q, 10) == 1
    assert await queue.redrive(Q, 10) == 0


# Messages that grow too old ------------------------------------------------------------------------------------------


async def test_too_old_is_given_up_where_the_queue_keeps_it(queue: WholeQueue, clock: ManualClock) -> None:
    await queue.send(Q, [message(1)])
    clock.advance(SPEC.ttl_seconds - 0.001)
    (received,) = await take(queue)
    await queue.abandon(Q, received)
    clock.advance(0.001)
    assert await take(queue) == []
    (dead,) = await queue.dead_letters(Q, 10)
    assert (dead.reason, dead.message.message_id) == ("TTLExpiredException", "m1")


async def test_too_old_is_dropped_where_the_queue_drops_it(queue: WholeQueue, clock: ManualClock) -> None:
    await queue.send(POLLS, [message(1), message(2, at=clock.now() + timedelta(seconds=30))])
    clock.advance(topology().queues[POLLS].ttl_seconds)
    assert (await queue.depth(POLLS)).active == 1, "a scheduled one lives from its time on"
    assert bodies(await take(queue, name=POLLS)) == ["body 2"]
    assert await queue.dead_letters(POLLS, 10) == []


async def test_a_locked_message_may_be_finished_although_it_is_too_old(queue: WholeQueue, clock: ManualClock) -> None:
    await queue.send(Q, [message(1)])
    clock.advance(SPEC.ttl_seconds - 1)
    (received,) = await take(queue)
    clock.advance(10)
    await queue.complete(Q, received)
    assert await queue.dead_letters(Q, 10) == []


# Depth ---------------------------------------------------------------------------------------------------------------


async def test_depth_counts_what_waits(queue: WholeQueue, clock: ManualClock) -> None:
    empty = await queue.depth(Q)
    assert (empty.active, empty.scheduled, empty.locked, empty.dead_lettered) == (0, 0, 0, 0)
    assert empty.oldest_active is None
    sent = clock.now()
    await queue.send(Q, [message(n) for n in range(5)])
    await queue.send(Q, [message(f"s{n}", at=sent + timedelta(seconds=60)) for n in range(3)])
    clock.advance(10)
    one, two = await queue.receive(Q, 2)
    await queue.dead_letter(Q, one, "no")
    depth = await queue.depth(Q)
    assert (depth.active, depth.scheduled, depth.locked, depth.dead_lettered) == (3, 3, 1, 1)
    assert depth.oldest_active == sent
    clock.advance(50)
    await queue.complete(Q, two)
    depth = await queue.depth(Q)
    assert (depth.active, depth.scheduled, depth.locked) == (6, 0, 0)


# Callers that leave --------------------------------------------------------------------------------------------------


async def test_a_cancelled_receiver_takes_nothing_with_it(queue: WholeQueue) -> None:
    for n in range(30):
        async with waiting(queue) as receiver:
            send = asyncio.create_task(queue.send(Q, [message(n)]))
            for _ in range(n % 6):
                await asyncio.sleep(0.0005)
            receiver.cancel()
            await send
            outcome = (await asyncio.gather(receiver, return_exceptions=True))[0]
            got = outcome if isinstance(outcome, list) else await asyncio.wait_for(queue.receive(Q, 1), 2)
            assert [(r.message_id, r.delivery_count) for r in got] == [(f"m{n}", 1)]
            await queue.complete(Q, got[0])


async def test_a_receiver_that_leaves_hands_its_wake_on(queue: WholeQueue) -> None:
    async with waiting(queue) as leaving, waiting(queue) as staying:
        await queue.send(Q, [message(1)])
        leaving.cancel()
        done, _ = await asyncio.wait({leaving, staying}, timeout=2)
        results = [t.result() for t in done if not t.cancelled()]
        if not results:
            results = [await asyncio.wait_for(staying, 2)]
        assert [len(r) for r in results] == [1]


async def test_a_cancelled_sender_harms_nobody(queue: WholeQueue) -> None:
    tasks = [asyncio.create_task(queue.send(Q, [message(n)])) for n in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await queue.send(Q, [message("after")])
    ids = {r.message_id for r in await take(queue)}
    assert {f"m{n}" for n in range(1, 20, 2)} | {"mafter"} <= ids
