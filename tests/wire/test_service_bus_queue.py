"""Our queue over Service Bus when things go wrong: what is lost, what is said, what comes right without a restart."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from shared.clock import SystemClock
from shared.errors import InvalidInput, OvenbridgeError, Unavailable
from shared.messaging import Outgoing, Received
from shared.messaging import service_bus_intake as intake_module
from shared.messaging import service_bus_sender as sender_module
from shared.messaging.service_bus import ServiceBusQueue
from shared.metrics import QUEUE_SENDS
from shared.topology import topology
from tests.wire.service_bus import ServiceBusServer
from tests.wire.service_bus.backend import adapter
from tests.wire.service_bus.faults import Action

Q = "callback-deliveries"
POLLS = "poll-batches"

Build = Callable[..., ServiceBusQueue]


@pytest.fixture
def server() -> Iterator[ServiceBusServer]:
    with ServiceBusServer() as running:
        yield running


@pytest.fixture
async def build(server: ServiceBusServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Build]:
    """Adapters over the server, closed at the end. Their patience is short, and so is the pause of a throttled one."""
    monkeypatch.setattr(sender_module, "BUSY_PAUSE_SECONDS", 0.1)
    built: list[ServiceBusQueue] = []

    def make(**options: object) -> ServiceBusQueue:
        built.append(adapter(server, SystemClock(), **{"patience_seconds": 4.0, **options}))
        return built[-1]

    yield make
    await asyncio.gather(*(queue.close() for queue in built))


@pytest.fixture
async def queue(build: Build) -> ServiceBusQueue:
    """One whose sender is open."""
    made = build()
    await made.send(Q, [message("warm")])
    (received,) = await one(made)
    await made.complete(Q, received)
    return made


def message(n: int | str, body: bytes = b"body") -> Outgoing:
    return Outgoing(body, f"m{n}")


async def one(queue: ServiceBusQueue, name: str = Q) -> list[Received]:
    return await asyncio.wait_for(queue.receive(name, 1), 8)


async def problem(queue: ServiceBusQueue, *messages: Outgoing) -> OvenbridgeError:
    with pytest.raises(OvenbridgeError) as caught:
        await queue.send(Q, messages or [message(1)])
    return caught.value


# Sending: answers that get lost ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "condition"),
    [("cut", ""), ("detach", "amqp:link:detach-forced"), ("refuse", "com.microsoft:server-busy")],
    ids=["cut", "detached", "busy"],
)
async def test_a_send_that_fails_is_done_again(
    server: ServiceBusServer, queue: ServiceBusQueue, action: Action, condition: str
) -> None:
    server.fail(action, "send", condition=condition)
    await queue.send(Q, [message(1), message(2)])
    assert server.message_ids(Q) == ["m1", "m2"]


@pytest.mark.parametrize("cut", [True, False], ids=["and the connection is cut", "and nothing else happens"])
async def test_a_lost_answer_loses_and_doubles_nothing(
    server: ServiceBusServer, queue: ServiceBusQueue, cut: bool
) -> None:
    fault = server.fail("lose answer", "send", seconds=-1.0 if cut else 0.0)
    await queue.send(Q, [message(n) for n in range(3)])
    assert fault.struck == 1
    assert server.calls("send", Q) == 3, "the first one of all, the one without an answer, and once more"
    assert server.message_ids(Q) == ["m0", "m1", "m2"], "each once, by its id"


async def test_a_rejection_that_hangs_the_sdk_does_not_hang_us(
    server: ServiceBusServer, queue: ServiceBusQueue
) -> None:
    server.omit_info()
    server.fail("refuse", "send")
    server.forget_operations()
    began = time.monotonic()
    await queue.send(Q, [message(1)])
    assert time.monotonic() - began < 4
    assert server.message_ids(Q) == ["m1"]
    assert server.calls("attach", Q) == 1, "the link that hung was given up and the message sent over another"


async def test_our_patience_ends(server: ServiceBusServer, queue: ServiceBusQueue) -> None:
    server.omit_info()
    server.fail("refuse", "send", times=None)
    began = time.monotonic()
    error = await problem(queue)
    assert isinstance(error, Unavailable)
    assert time.monotonic() - began < 7
    assert "did not answer in time" in error.detail
    server.clear_faults()
    await queue.send(Q, [message(1)])
    assert server.message_ids(Q) == ["m1"]


async def test_throttled_for_long_is_told_with_when_to_come_again(
    server: ServiceBusServer, queue: ServiceBusQueue
) -> None:
    fault = server.fail("refuse", "send", times=None)
    error = await problem(queue)
    assert isinstance(error, Unavailable)
    assert error.retry_after >= 2
    assert "throttles" in error.detail
    assert 5 < fault.struck < 60, "tried again, and not without a pause"


async def test_a_limit_of_sends_is_waited_out(server: ServiceBusServer, queue: ServiceBusQueue) -> None:
    server.limit_sends(20)
    for group in range(3):
        await queue.send(Q, [message(f"{group}.{n}") for n in range(15)])
    assert len(server.message_ids(Q)) == 45
    assert [o for o in server.operations if o.kind == "send" and o.refused]


async def test_idle_connections_that_died_are_no_error(server: ServiceBusServer, queue: ServiceBusQueue) -> None:
    for n in range(3):
        server.cut()
        await queue.send(Q, [message(n)])
    assert server.message_ids(Q) == ["m0", "m1", "m2"]


async def test_the_service_goes_and_comes_back(server: ServiceBusServer, queue: ServiceBusQueue) -> None:
    server.stop()
    error = await problem(queue)
    assert "cannot be reached" in error.detail
    assert "SERVICE_BUS_TRANSPORT=websockets" in error.detail
    server.start()
    await queue.send(Q, [message(1)])
    assert server.message_ids(Q) == ["m1"]


async def test_callers_behind_one_that_fails_get_a_try_of_their_own(
    server: ServiceBusServer, queue: ServiceBusQueue
) -> None:
    server.stop()
    first = asyncio.create_task(problem(queue))
    await asyncio.sleep(3.5)
    late = asyncio.create_task(queue.send(Q, [message("late")]))
    await first
    server.start()
    await late
    assert server.message_ids(Q) == ["mlate"]


# Sending: many at once ------------------------------------------------------------------------------------------------


async def test_what_waits_goes_as_one_batch(server: ServiceBusServer, queue: ServiceBusQueue) -> None:
    server.forget_operations()
    counted: list[tuple[float, dict[str, str]]] = []
    with _listening(counted):
        await asyncio.gather(*(queue.send(Q, [message(n)]) for n in range(100)))
    assert sorted(server.message_ids(Q)) == sorted(f"m{n}" for n in range(100))
    assert server.calls("send", Q) <= 3
    assert server.connections <= 2, "one sender, one receiver"
    assert sum(value for value, _ in counted) == 100
    assert {attributes["queue"] for _, attributes in counted} == {Q}


async def test_more_than_a_batch_holds_is_split(server: ServiceBusServer, queue: ServiceBusQueue) -> None:
    server.forget_operations()
    await queue.send(Q, [message(n, b"x" * 100_000) for n in range(7)])
    assert server.message_ids(Q) == [f"m{n}" for n in range(7)], "in the order they were given"
    assert server.calls("send", Q) == 4
    server.forget_operations()
    await queue.send(Q, [message(f"s{n}") for n in range(1_200)])
    assert server.calls("send", Q) == 3


async def test_a_group_that_is_cut_in_two_is_whole_after_it_is_repeated(
    server: ServiceBusServer, queue: ServiceBusQueue
) -> None:
    group = [message(n, b"x" * 100_000) for n in range(4)]
    server.fail("refuse", "send", condition="amqp:resource-limit-exceeded")
    server.fail("delay", "send", seconds=0.0)
    error = await problem(queue, *group)
    assert "is full" in error.detail
    await queue.send(Q, group)
    assert server.message_ids(Q) == ["m0", "m1", "m2", "m3"]


async def test_one_callers_oversize_harms_no_other(server: ServiceBusServer, build: Build) -> None:
    with ServiceBusServer(max_message_size=50_000) as small:
        queue = adapter(small, SystemClock(), patience_seconds=4.0)
        try:
            outcomes = await asyncio.gather(
                queue.send(Q, [message("a")]),
                queue.send(Q, [message("large", b"x" * 60_000)]),
                queue.send(Q, [message("b")]),
                return_exceptions=True,
            )
            assert [type(o) for o in outcomes] == [type(None), InvalidInput, type(None)]
            assert sorted(small.message_ids(Q)) == ["ma", "mb"]
        finally:
            await queue.close()


# Who may, and what is not there ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_specified", [True, False], ids=["refused as specified", "echoed, then detached"])
@pytest.mark.parametrize("what", ["no right", "no queue"])
async def test_refused_then_put_right_without_a_restart(
    server: ServiceBusServer, build: Build, what: str, as_specified: bool
) -> None:
    queue = build()
    server.refuse_without_terminus(as_specified)
    if what == "no right":
        server.deny("Send", Q)
    else:
        server.remove_queue(Q)
    error = await problem(queue)
    assert isinstance(error, Unavailable)
    assert Q in error.detail
    assert "infra/main.bicep" in error.detail or "policy allows it" in error.detail
    if as_specified:
        assert error.retry_after >= 30
        with pytest.raises(Unavailable, match=Q):
            await queue.check()
    if what == "no right":
        server.allow("Send", Q)
    else:
        server.add_queue(topology().queues[Q])
    await queue.send(Q, [message(1)])
    await queue.check()
    assert server.message_ids(Q) == ["m1"]


async def test_a_right_that_is_taken_while_a_link_is_open(server: ServiceBusServer, queue: ServiceBusQueue) -> None:
    server.deny("Send")
    assert "may not send" in (await problem(queue)).detail
    server.allow("Send")
    await queue.send(Q, [message(1)])


async def test_a_wrong_key(server: ServiceBusServer, build: Build) -> None:
    queue = build(connection_string=server.connection_string_with("d3Jvbmc="))
    error = await problem(queue)
    assert error.detail == "The key in ServiceBusConnection is not accepted. Copy the connection string again."
    for step in (queue.check(), queue.receive(Q, 1), queue.depth(Q)):
        with pytest.raises(Unavailable) as caught:
            await asyncio.wait_for(step, 8)
        assert "d3Jvbmc" not in str(caught.value)
        assert "localhost" not in caught.value.detail, "fit for strangers"


async def test_receiving_without_the_right(server: ServiceBusServer, build: Build) -> None:
    queue = build()
    server.deny("Listen")
    with pytest.raises(Unavailable, match="may not receive"):
        await one(queue)
    server.allow("Listen")
    await queue.send(Q, [message(1)])
    assert len(await one(queue)) == 1


async def test_the_check_leaves_nothing_behind(server: ServiceBusServer, build: Build) -> None:
    queue = build()
    await queue.check()
    assert all(server.depth(name, "all") == 0 for name in topology().queues)
    assert server.messages("send") == 0
    attached = server.calls("attach")
    assert attached == len(topology().queues)
    await queue.check()
    assert server.calls("attach") == attached, "known for some seconds"


async def test_the_check_notices_that_it_is_gone(server: ServiceBusServer, build: Build) -> None:
    queue = build()
    server.stop()
    with pytest.raises(Unavailable, match="cannot be reached"):
        await queue.check()
    server.start()
    await queue.check()


async def test_a_service_that_accepts_and_says_nothing(server: ServiceBusServer, build: Build) -> None:
    queue = build()
    server.fail("lose answer", "token", times=None)
    began = time.monotonic()
    with pytest.raises(Unavailable, match="did not answer in time"):
        await queue.check()
    assert time.monotonic() - began < 3, "so that our own sentence is shown, not that the probe took too long"


# Receiving ------------------------------------------------------------------------------------------------------------


async def test_a_receiver_outlives_its_connection(server: ServiceBusServer, queue: ServiceBusQueue) -> None:
    waiting = asyncio.create_task(queue.receive(Q, 1))
    await asyncio.sleep(0.1)
    server.cut()
    await queue.send(Q, [message(1)])
    assert [r.message_id for r in await asyncio.wait_for(waiting, 8)] == ["m1"]


@pytest.mark.parametrize("how", ["complete", "abandon", "dead_letter", "renew"])
async def test_the_socket_is_cut_while_a_message_is_locked(
    server: ServiceBusServer, queue: ServiceBusQueue, how: str
) -> None:
    """Its lock outlives the connection: what is decided about it reaches the service over the next."""
    await queue.send(Q, [message(1)])
    (received,) = await one(queue)
    server.cut()
    if how == "dead_letter":
        await queue.dead_letter(Q, received, "because")
    else:
        await getattr(queue, how)(Q, received)
    expected = {"complete": (0, 0, 0), "abandon": (1, 0, 0), "dead_letter": (0, 0, 1), "renew": (0, 1, 0)}
    assert tuple(server.depth(Q, s) for s in ("active", "locked", "dead_lettered")) == expected[how]


async def test_cut_between_lock_and_delivery_comes_again_after_the_lock(
    server: ServiceBusServer, queue: ServiceBusQueue
) -> None:
    await queue.send(Q, [message(1)])
    server.fail("cut", "deliver")
    waiting = asyncio.create_task(queue.receive(Q, 1))
    await _until(lambda: server.depth(Q, "locked") == 1)
    server.advance(topology().queues[Q].lock_seconds)
    (received,) = await asyncio.wait_for(waiting, 8)
    assert (received.message_id, received.delivery_count) == ("m1", 2)
    await queue.complete(Q, received)
    assert server.depth(Q, "all") == 0


@pytest.mark.parametrize("how", ["complete", "abandon", "dead_letter", "renew"])
async def test_a_lock_lost_on_settling_is_no_error(server: ServiceBusServer, queue: ServiceBusQueue, how: str) -> None:
    await queue.send(Q, [message(1)])
    (received,) = await one(queue)
    server.fail("refuse", "settle", condition="com.microsoft:message-lock-lost")
    server.fail("refuse", "manage", condition="com.microsoft:message-lock-lost")
    if how == "dead_letter":
        await queue.dead_letter(Q, received, "because")
    else:
        await getattr(queue, how)(Q, received)
    server.clear_faults()
    server.advance(topology().queues[Q].lock_seconds)
    (again,) = await one(queue)
    assert (again.message_id, again.delivery_count) == ("m1", 2)


@pytest.mark.parametrize("action", ["cut", "lose answer", "detach"])
async def test_an_answer_to_settling_that_is_lost(
    server: ServiceBusServer, queue: ServiceBusQueue, monkeypatch: pytest.MonkeyPatch, action: Action
) -> None:
    monkeypatch.setattr(intake_module, "CALL_SECONDS", 1.0)
    await queue.send(Q, [message(1), message(2)])
    (received,) = await one(queue)
    server.fail(action, "settle", condition="amqp:link:detach-forced")
    await queue.complete(Q, received)
    assert server.depth(Q, "all") == 1
    (received,) = await one(queue)
    assert received.message_id == "m2", "the receiver works on"


async def test_the_service_delivers_twice(server: ServiceBusServer, queue: ServiceBusQueue) -> None:
    """At least once means now and then twice; the id tells."""
    server.fail("double", "send")
    await queue.send(Q, [message(1)])
    ids = []
    for _ in range(2):
        (received,) = await one(queue)
        ids.append(received.message_id)
        await queue.complete(Q, received)
    assert ids == ["m1", "m1"]


async def test_receiving_from_a_service_that_is_away(server: ServiceBusServer, queue: ServiceBusQueue) -> None:
    server.stop()
    with pytest.raises(Unavailable, match="cannot be reached"):
        await one(queue)
    server.start()
    await queue.send(Q, [message(1)])
    assert len(await one(queue)) == 1


async def test_who_leaves_holds_no_message(server: ServiceBusServer, queue: ServiceBusQueue) -> None:
    waiting = asyncio.create_task(queue.receive(Q, 50))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.sleep(0.4)
    await queue.send(Q, [message(1)])
    await asyncio.sleep(0.1)
    assert (server.depth(Q), server.depth(Q, "locked")) == (1, 0)


async def test_what_came_too_late_for_one_is_given_to_the_next_or_back(
    server: ServiceBusServer, queue: ServiceBusQueue
) -> None:
    waiting = asyncio.create_task(queue.receive(Q, 1))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await queue.send(Q, [message(1)])
    assert (await one(queue))[0].message_id == "m1"
    waiting = asyncio.create_task(queue.receive(Q, 1))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await queue.send(Q, [message(2)])
    await _until(lambda: server.depth(Q) == 1, 4)


async def test_a_redrive_that_is_interrupted_can_be_repeated(server: ServiceBusServer, queue: ServiceBusQueue) -> None:
    await queue.send(Q, [message(1)])
    (received,) = await one(queue)
    await queue.dead_letter(Q, received, "because")
    server.fail("refuse", "send", times=None)
    with pytest.raises(Unavailable):
        await queue.redrive(Q, 10)
    assert server.depth(Q, "dead_lettered") == 1
    server.clear_faults()
    assert await queue.redrive(Q, 10) == 1
    (again,) = await one(queue)
    assert (again.body, again.delivery_count, server.depth(Q, "dead_lettered")) == (b"body", 1, 0)
    assert again.message_id not in {"m1", ""}
    assert "DeadLetterReason" not in again.properties


async def test_a_receiver_for_each_queue_and_no_more(server: ServiceBusServer, queue: ServiceBusQueue) -> None:
    await queue.send(POLLS, [message(1)])
    await one(queue, POLLS)
    for _ in range(3):
        await queue.depth(Q)
        await queue.depth(POLLS)
    assert server.connections == 6, "two senders, two receivers, two for dead letters"


# Closing --------------------------------------------------------------------------------------------------------------


async def test_closing_is_quick_also_when_the_service_hangs(server: ServiceBusServer, build: Build) -> None:
    queue = build()
    await queue.send(Q, [message(1)])
    (received,) = await one(queue)
    waiting = asyncio.create_task(queue.receive(Q, 1))
    server.fail("lose answer", "send", times=None)
    sending = asyncio.create_task(queue.send(POLLS, [message(2)]))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await queue.close()
    assert time.monotonic() - began < 4
    for task in (waiting, sending):
        with pytest.raises(Unavailable):
            await task
    await _until(lambda: server.connections == 0)
    assert received.message_id == "m1"


async def test_closing_twice_and_using_again(server: ServiceBusServer, build: Build) -> None:
    queue = build()
    await queue.close()
    await queue.send(Q, [message(1)])
    await queue.close()
    await queue.close()
    await queue.send(Q, [message(2)])
    assert server.message_ids(Q) == ["m1", "m2"]


# Helpers --------------------------------------------------------------------------------------------------------------


async def _until(condition: Callable[[], bool], seconds: float = 3.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the server lives in another thread and has no event for this
            await asyncio.sleep(0.02)


@contextlib.contextmanager
def _listening(into: list[tuple[float, dict[str, str]]]) -> Iterator[None]:
    def listen(value: float, attributes: dict[str, str]) -> None:
        into.append((value, attributes))

    QUEUE_SENDS.listeners.append(listen)
    try:
        yield
    finally:
        QUEUE_SENDS.listeners.remove(listen)
