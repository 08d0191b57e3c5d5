"""`maxUnconfirmedMessages`: at most so many failed notifications are kept, the oldest goes first."""

from __future__ import annotations

import pytest

from shared.callbacks.delivery import Deliveries
from tests.unit.callbacks.conftest import Stage


async def _publish_failing(stage: Stage, count: int) -> None:
    for _ in range(count):
        stage.clock.advance(0.01)
        await stage.publish()
    await stage.settle()


async def test_the_oldest_goes_when_one_too_many_has_failed(stage: Stage) -> None:
    callback = await stage.register(max_unconfirmed=3)
    stage.receiver.answer = 500
    await _publish_failing(stage, 3)
    assert [d["status"] for d in await stage.deliveries(callback)] == ["retrying"] * 3
    await _publish_failing(stage, 2)
    documents = await stage.deliveries(callback)
    assert [d["status"] for d in documents] == ["discarded"] * 2 + ["retrying"] * 3
    assert {d.get("discardReason") for d in documents[:2]} == {"max_unconfirmed"}
    assert "maxUnconfirmedMessages" in documents[0]["discardDetail"]
    seen = len(stage.receiver.seen)
    await stage.pass_time(10.1)
    assert len(stage.receiver.seen) == seen + 3, "the discarded ones are not sent any more"


async def test_what_has_not_failed_is_not_counted(stage: Stage) -> None:
    callback = await stage.register(max_unconfirmed=1)
    for _ in range(20):
        await stage.publish()
    await stage.settle()
    assert {d["status"] for d in await stage.deliveries(callback)} == {"confirmed"}


async def test_zero_keeps_no_failed_notification(stage: Stage) -> None:
    callback = await stage.register(max_unconfirmed=0)
    stage.receiver.answer = 500
    await _publish_failing(stage, 2)
    assert [d["discardReason"] for d in await stage.deliveries(callback)] == ["max_unconfirmed"] * 2
    await stage.pass_time(10.1, steps=2)
    assert len(stage.receiver.seen) == 2


async def test_a_confirmed_one_makes_room(stage: Stage) -> None:
    callback = await stage.register(max_unconfirmed=2)
    stage.receiver.answer = 500
    await _publish_failing(stage, 2)
    stage.receiver.answer = 200
    await stage.pass_time(10.1)
    stage.receiver.answer = 500
    await _publish_failing(stage, 2)
    statuses = [d["status"] for d in await stage.deliveries(callback)]
    assert statuses == ["confirmed", "confirmed", "retrying", "retrying"]


async def test_each_callback_counts_its_own(stage: Stage) -> None:
    first, second = await stage.register("/a", max_unconfirmed=1), await stage.register("/b", max_unconfirmed=2)
    stage.receiver.answer = 500
    await _publish_failing(stage, 2)
    assert [d["status"] for d in await stage.deliveries(first)] == ["discarded", "retrying"]
    assert [d["status"] for d in await stage.deliveries(second)] == ["retrying", "retrying"]


async def test_a_new_process_counts_what_failed_before(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    callback = await stage.register(max_unconfirmed=2)
    stage.receiver.answer = 500
    await _publish_failing(stage, 2)
    house = stage.house
    del house.__dict__["deliveries"]  # as a restart: what was known in memory is gone
    assert isinstance(house.deliveries, Deliveries)
    await _publish_failing(stage, 1)
    assert [d["status"] for d in await stage.deliveries(callback)] == ["discarded", "retrying", "retrying"]
