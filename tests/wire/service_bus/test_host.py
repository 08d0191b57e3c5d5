"""The local host over Service Bus: `python -m local`, with ``ServiceBusConnection`` set, pumps its queue functions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from local.functions import QueueFunction, load
from local.host_json import HostJson, read_host_json
from local.queues import Pump
from local.running import Running
from shared.clock import SystemClock
from shared.messaging import Outgoing
from shared.topology import topology
from tests.faults.host_process import HostProcess, running
from tests.unit.callbacks.receiver import Receiver, receiving
from tests.wire.service_bus import ServiceBusServer
from tests.wire.service_bus.backend import adapter

BASE = "/ffwebservices/api/v2"
Q = "callback-deliveries"
POLLS = "poll-batches"


@pytest.fixture
def server() -> Iterator[ServiceBusServer]:
    with ServiceBusServer() as up:
        yield up


def test_queue_functions_take_one_message_over_the_one_connection() -> None:
    functions = [f for f in load("function_app", read_host_json().route_prefix) if isinstance(f, QueueFunction)]
    assert {f.queue for f in functions} <= set(topology().queues)
    assert len(functions) >= 3
    for function in functions:
        assert not function.many, f"{function.name}: cardinality one, or a batch would share one lock and one fate"
        assert function.connection == "ServiceBusConnection"


async def _register(host: HostProcess, receiver: Receiver) -> None:
    status, said = await host.call(
        "POST", f"{BASE}/callbacks", json={"eventType": "EXTERNAL", "url": f"{receiver.url}/c"}
    )
    assert status == 201, said


async def _publish(host: HostProcess, numbers: range) -> None:
    for n in numbers:
        status, said = await host.call(
            "POST",
            f"{BASE}/events",
            json={"eventType": "EXTERNAL", "data": {"n": n}},
            headers={"idempotency-key": f"n{n}"},
        )
        assert status == 204, said


async def _arrived(receiver: Receiver, numbers: set[int]) -> None:
    async with asyncio.timeout(20):
        while {n.json()["properties"]["data"]["n"] for n in receiver.seen} < numbers:
            receiver.arrived.clear()
            await receiver.arrived.wait()


async def _settled(server: ServiceBusServer) -> None:
    async with asyncio.timeout(10):
        while server.depth(Q, "all"):  # noqa: ASYNC110 - the server lives in another thread
            await asyncio.sleep(0.05)


@pytest.mark.process
async def test_an_event_goes_through_the_queue_to_the_subscriber(server: ServiceBusServer, tmp_path: Path) -> None:
    env = {"ServiceBusConnection": server.connection_string, "DELIVERY_RETRY_SECONDS": "1"}
    async with receiving() as receiver, running(tmp_path, env=env) as host:
        await _register(host, receiver)
        await _publish(host, range(5))
        await _arrived(receiver, set(range(5)))
        server.cut()  # every connection of the host breaks; nobody starts it again
        await _publish(host, range(5, 8))
        await _arrived(receiver, set(range(8)))
        receiver.answer = 503
        await _publish(host, range(8, 9))
        async with asyncio.timeout(10):
            while not server.depth(Q, "scheduled"):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.02)
        receiver.answer = 200
        await _settled(server)
        code, seconds = await host.end()
        assert (code, seconds < 10) == (0, True)
    assert server.messages("deliver", Q) >= 10
    assert server.depth(Q, "dead_lettered") == 0
    assert len({n.webhook_id for n in receiver.seen}) == 9
    async with asyncio.timeout(5):
        while server.connections:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)


# The pump itself ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _pumping(server: ServiceBusServer, handler: object, most: int = 8) -> AsyncIterator[None]:
    queue = adapter(server, SystemClock())
    function = QueueFunction("take", handler, [], "msg", POLLS, "ServiceBusConnection", False)  # type: ignore[arg-type]
    host = HostJson(max_concurrent_calls=most)
    pump = Pump(function, queue, host, Running(None))
    task = asyncio.create_task(pump.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await queue.close()


async def test_the_pump_completes_retries_and_gives_up(server: ServiceBusServer) -> None:
    tries: dict[str, int] = {}

    async def take(msg: object) -> None:
        body = msg.get_body().decode()  # type: ignore[attr-defined]
        tries[body] = tries.get(body, 0) + 1
        if body == "poison":
            raise RuntimeError("no")
        if body == "once more" and tries[body] == 1:
            raise RuntimeError("not yet")

    most = topology().queues[POLLS].max_delivery_count
    sender = adapter(server, SystemClock())
    try:
        async with _pumping(server, take):
            await sender.send(POLLS, [Outgoing(b, b.decode()) for b in (b"fine", b"poison", b"once more")])
            async with asyncio.timeout(10):
                while server.depth(POLLS, "all"):  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.02)
    finally:
        await sender.close()
    assert tries == {"fine": 1, "poison": most, "once more": 2}
    assert server.message_ids(POLLS, dead=True) == ["poison"]


async def test_many_messages_each_once(server: ServiceBusServer) -> None:
    seen: list[str] = []

    async def take(msg: object) -> None:
        await asyncio.sleep(0.005)
        seen.append(msg.get_body().decode())  # type: ignore[attr-defined]

    sender = adapter(server, SystemClock())
    try:
        await sender.send(POLLS, [Outgoing(str(n).encode(), f"n{n}") for n in range(300)])
        async with _pumping(server, take, most=64):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(20):
                    while server.depth(POLLS, "all"):  # noqa: ASYNC110 - as above
                        await asyncio.sleep(0.05)
    finally:
        await sender.close()
    assert sorted(seen, key=int) == [str(n) for n in range(300)]
