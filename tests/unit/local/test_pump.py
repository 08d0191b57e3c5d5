"""The pump of a queue function over the embedded queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, ClassVar

import azure.functions as func
import pytest

from local.functions import QueueFunction
from local.host_json import HostJson
from local.queues import Pump
from local.running import Running
from shared.clock import ManualClock
from shared.errors import Unavailable
from shared.messaging import Outgoing
from shared.services import Services
from shared.topology import topology

QUEUE = "relay-ingest"
SPEC = topology().queues[QUEUE]

Handler = Callable[[func.ServiceBusMessage], Awaitable[None]]


@asynccontextmanager
async def pumping(
    house: Services, handler: Handler, *, calls: int = 4, limit: float | None = None, receiver: Any = None
) -> AsyncIterator[Running]:
    """The pump runs; at the end it is stopped as the host stops it."""
    running = Running(limit)
    function = QueueFunction("take", handler, [], "msg", QUEUE, "ServiceBusConnection", many=False)
    pump = Pump(function, receiver or house.receiver, HostJson(max_concurrent_calls=calls), running)
    task = asyncio.create_task(pump.run())
    try:
        yield running
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await running.finish(0)


async def send(house: Services, *bodies: str) -> None:
    await house.queue.send(
        QUEUE, [Outgoing(b.encode(), f"m-{b}", correlation_id="c", properties={"n": "7"}) for b in bodies]
    )


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 - the state of a queue
            await asyncio.sleep(0.005)


async def is_empty(house: Services) -> bool:
    depth = await house.receiver.depth(QUEUE)
    return depth.active == depth.locked == 0


async def test_success_completes(house: Services) -> None:
    got: list[func.ServiceBusMessage] = []

    async def handler(msg: func.ServiceBusMessage) -> None:
        got.append(msg)

    async with pumping(house, handler):
        await send(house, "a", "b")
        await until(lambda: is_empty(house))
    assert sorted(m.get_body() for m in got) == [b"a", b"b"]
    first = min(got, key=lambda m: m.message_id)
    assert (first.message_id, first.delivery_count, first.correlation_id) == ("m-a", 1, "c")
    assert first.application_properties == first.user_properties == {"n": "7"}
    assert first.enqueued_time_utc == house.clock.now().replace(tzinfo=None)
    assert first.lock_token
    assert first.sequence_number


async def test_failure_comes_again_at_once_and_ends_with_the_dead_letters(house: Services) -> None:
    counts: list[int | None] = []

    async def handler(msg: func.ServiceBusMessage) -> None:
        counts.append(msg.delivery_count)
        raise RuntimeError("on purpose")

    async with pumping(house, handler):
        await send(house, "a")
        await until(lambda: is_empty(house))
    assert counts == list(range(1, SPEC.max_delivery_count + 1))
    assert [d.message.message_id for d in await house.receiver.dead_letters(QUEUE, 10)] == ["m-a"]


async def test_no_more_at_a_time_than_the_host_allows(house: Services) -> None:
    now = most = 0

    async def handler(msg: func.ServiceBusMessage) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1

    class Asked:
        limits: ClassVar[list[int]] = []

        def __getattr__(self, name: str) -> Any:
            return getattr(house.receiver, name)

        async def receive(self, queue: str, limit: int) -> Any:
            self.limits.append(limit)
            return await house.receiver.receive(queue, limit)

    async with pumping(house, handler, calls=3, receiver=Asked()):
        await send(house, *(str(i) for i in range(20)))
        await until(lambda: is_empty(house))
    assert most == 3
    assert set(Asked.limits) <= {1, 2, 3}


async def test_a_slow_message_does_not_hold_up_others(house: Services) -> None:
    done: list[bytes] = []
    release = asyncio.Event()

    async def handler(msg: func.ServiceBusMessage) -> None:
        if msg.get_body() == b"slow":
            await release.wait()
        done.append(msg.get_body())

    async with pumping(house, handler, calls=2):
        await send(house, "slow", *(str(i) for i in range(10)))

        async def others() -> bool:
            return len(done) == 10

        await until(others)
        assert b"slow" not in done
        release.set()
        await until(lambda: is_empty(house))


async def test_over_the_time_limit_it_is_ended_and_comes_again(house: Services) -> None:
    counts: list[int | None] = []

    async def handler(msg: func.ServiceBusMessage) -> None:
        counts.append(msg.delivery_count)
        if msg.delivery_count == 1:
            await asyncio.sleep(60)

    async with pumping(house, handler, limit=5) as running:
        await send(house, "a")

        async def begun() -> bool:
            return counts == [1]

        await until(begun)
        running.look(asyncio.get_running_loop().time() + 4)
        await asyncio.sleep(0)
        assert len(running) == 1
        running.look(asyncio.get_running_loop().time() + 6)
        await until(lambda: is_empty(house))
    assert counts == [1, 2]


async def test_the_lock_of_a_long_call_is_renewed(house: Services, clock: ManualClock) -> None:
    release, begun = asyncio.Event(), asyncio.Event()
    calls = 0

    async def handler(msg: func.ServiceBusMessage) -> None:
        nonlocal calls
        calls += 1
        begun.set()
        await release.wait()

    async with pumping(house, handler) as running:
        await send(house, "a")
        await begun.wait()
        started = asyncio.get_running_loop().time()
        for step in range(1, 5):
            clock.advance(SPEC.lock_seconds / 2 + 1)
            running.look(started + step * (SPEC.lock_seconds / 2 + 1))
            await asyncio.sleep(0.05)
        assert (await house.receiver.depth(QUEUE)).locked == 1
        release.set()
        await until(lambda: is_empty(house))
    assert calls == 1


async def test_stopping_gives_running_messages_back(house: Services) -> None:
    begun = asyncio.Event()

    async def handler(msg: func.ServiceBusMessage) -> None:
        begun.set()
        await asyncio.sleep(60)

    async with pumping(house, handler):
        await send(house, "a")
        await begun.wait()
    depth = await house.receiver.depth(QUEUE)
    assert (depth.active, depth.locked) == (1, 0)


async def test_it_goes_on_when_the_queue_was_away(house: Services, caplog: pytest.LogCaptureFixture) -> None:
    got: list[bytes] = []

    class Flaky:
        tries = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(house.receiver, name)

        async def receive(self, queue: str, limit: int) -> Any:
            self.tries += 1
            if self.tries == 1:
                raise Unavailable("The disk is full.")
            return await house.receiver.receive(queue, limit)

    async def handler(msg: func.ServiceBusMessage) -> None:
        got.append(msg.get_body())

    async with pumping(house, handler, receiver=Flaky()):
        await send(house, "a")
        await until(lambda: is_empty(house))
    assert got == [b"a"]
    assert "The disk is full." in caplog.text
