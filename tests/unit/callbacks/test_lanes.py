"""Bulkheads: a hanging target takes few places, and nobody waits behind it."""

from __future__ import annotations

import asyncio
import statistics
import time

import pytest

from shared.callbacks import lanes as lanes_module
from shared.callbacks.document import QUEUE
from shared.callbacks.lanes import FIRST, MOST_SLOW, WIDEST, Lanes
from shared.services import Services
from shared.settings import Settings
from tests.unit.callbacks.conftest import Stage
from tests.unit.callbacks.receiver import Notification, Receiver, receiving


async def test_a_new_lane_is_narrow_and_grows_with_success() -> None:
    lanes = Lanes()
    widths = []
    for _ in range(40):
        inside: list[asyncio.Task[float | None]] = []
        while len(inside) < 100:
            task = asyncio.ensure_future(lanes.enter("a", object()))
            await asyncio.sleep(0)
            if not task.done():
                task.cancel()
                break
            inside.append(task)
        widths.append(len(inside))
        for who in list(lanes._lanes["a"].inside):
            lanes.leave("a", who, ok=True)
        await asyncio.sleep(0)
    assert widths[0] == FIRST
    assert widths[-1] == WIDEST
    assert widths == sorted(widths)


async def test_who_waits_is_let_in_when_another_leaves() -> None:
    lanes = Lanes()
    first = [object() for _ in range(int(FIRST))]
    for who in first:
        assert await lanes.enter("a", who) is None
    late = object()
    waiting = asyncio.ensure_future(lanes.enter("a", late))
    await asyncio.sleep(0)
    assert not waiting.done()
    lanes.leave("a", first[0], ok=True)
    assert await waiting is None
    assert late in lanes._lanes["a"].inside


async def test_waiting_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "WAIT_SECONDS", 0.02)
    lanes = Lanes()
    for _ in range(int(FIRST)):
        await lanes.enter("a", object())
    pause = await lanes.enter("a", object())
    assert pause is not None
    assert pause >= 1
    assert not lanes._lanes["a"].waiting or all(f.done() for f, _ in lanes._lanes["a"].waiting)


async def test_a_cancelled_waiter_leaves_no_trace() -> None:
    lanes = Lanes()
    first = [object() for _ in range(int(FIRST))]
    for who in first:
        await lanes.enter("a", who)
    waiting = asyncio.ensure_future(lanes.enter("a", "late"))
    await asyncio.sleep(0)
    lanes.leave("a", first[0], ok=True)  # let in ...
    waiting.cancel()  # ... and cancelled in the same turn
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert "late" not in lanes._lanes["a"].inside


async def test_nobody_waits_behind_something_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "STUCK_SECONDS", 0.0)
    monkeypatch.setattr(lanes_module, "WAIT_SECONDS", 60.0)
    lanes = Lanes()
    for _ in range(int(FIRST)):
        await lanes.enter("a", object())
    await asyncio.sleep(0.001)
    async with asyncio.timeout(5):
        pauses = [await lanes.enter("a", object()) for _ in range(50)]
    given = [p for p in pauses if p is not None]
    assert len(given) == 50
    assert given == sorted(given), "spread over the time"
    assert max(given) <= 15


async def test_slow_lanes_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "SLOW_SECONDS", 0.0)
    lanes = Lanes()
    for n in range(40):  # each is known as slow after its first
        await lanes.enter(f"slow-{n}", n)
        lanes.leave(f"slow-{n}", n, ok=True)
    let_in = 0
    for n in range(40):
        let_in += await lanes.enter(f"slow-{n}", n) is None
    assert let_in == MOST_SLOW
    assert await lanes.enter("quick", 0) is None


async def test_a_slow_lane_that_becomes_quick_again_is_no_longer_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "SLOW_SECONDS", 0.0)
    lanes = Lanes()
    for who in (1, 2, 3):
        await lanes.enter("a", who)
    lanes.leave("a", 1, ok=False)
    assert lanes._slow_inside == 2
    monkeypatch.setattr(lanes_module, "SLOW_SECONDS", 100.0)
    lanes.leave("a", 2, ok=True)
    assert (lanes._slow_inside, lanes._lanes["a"].slow) == (0, False)
    lanes.leave("a", 3, ok=True)
    assert lanes._slow_inside == 0


async def _pump(house: Services, until: float, places: int = 64) -> None:
    """The host's pump: so many calls at a time."""
    running: set[asyncio.Task[None]] = set()
    slots = asyncio.Semaphore(places)

    async def one(received) -> None:  # type: ignore[no-untyped-def]
        try:
            await house.deliveries.deliver(received.body)
            await house.receiver.complete(QUEUE, received)
        finally:
            slots.release()

    try:
        while time.monotonic() < until:
            await slots.acquire()
            slots.release()
            try:
                async with asyncio.timeout(0.1):
                    batch = await house.receiver.receive(QUEUE, max(1, places - len(running)))
            except TimeoutError:
                continue
            for received in batch:
                await slots.acquire()
                task = asyncio.create_task(one(received))
                running.add(task)
                task.add_done_callback(running.discard)
    finally:  # also when it is cancelled: nothing may go on when the house is closed
        for task in tuple(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _p99(stage: Stage, others: list[Receiver], events: int) -> float:
    """Publish to all others and see how long each notification takes."""
    sent: dict[str, float] = {}
    took: list[float] = []
    complete = asyncio.Event()

    def note(notification: Notification) -> int:
        took.append(time.monotonic() - sent[notification.json()["properties"]["objectId"]])
        if len(took) == events * len(others):
            complete.set()
        return 200

    for receiver in others:
        receiver.answer = note
    pump = asyncio.create_task(_pump(stage.house, time.monotonic() + 60))
    for n in range(events):
        sent[f"O{len(sent)}-{n}"] = time.monotonic()
        await stage.publish(f"{time.monotonic_ns()}", object_type="TOOL", object_id=list(sent)[-1])
        await asyncio.sleep(0.01)
    async with asyncio.timeout(20):
        await complete.wait()
    pump.cancel()
    await asyncio.gather(pump, return_exceptions=True)
    return statistics.quantiles(took, n=100)[98]


@pytest.mark.quiet
async def test_one_hanging_target_does_not_move_the_others(tmp_path_factory: pytest.TempPathFactory) -> None:
    """500 notifications wait for a target that hangs; the others' p99 stays where it was."""
    from shared.clock import SystemClock

    settings = Settings(data_dir=tmp_path_factory.mktemp("hang"), allow_private_targets=True, allow_http_targets=True)
    house = Services(settings, SystemClock())
    async with receiving() as hanging, receiving() as one, receiving() as two:
        stage = Stage(house, hanging, house.clock, None)  # type: ignore[arg-type]
        try:
            for receiver in (one, two):
                await stage.register(url=receiver.url + "/")
            quiet = await _p99(stage, [one, two], 60)
            hanging.hang = True
            await stage.register("/hang", event_type="TEST")
            for _ in range(500):
                await stage.publish(f"t{time.monotonic_ns()}", type="TEST")
            beside = await _p99(stage, [one, two], 60)
            assert 0 < len(hanging.seen) <= 2 * FIRST
            # Two cores and other tests beside: a ratio with room, but far below the ten seconds of a timeout.
            assert beside < max(8 * quiet, 0.5), f"{quiet * 1000:.0f} ms alone, {beside * 1000:.0f} ms beside"
        finally:
            await house.close()
