"""Looking at deliveries and sending them again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.callbacks.browse import DeliveryFilter
from shared.callbacks.document import delivery_id, parse_delivery_id
from shared.errors import Conflict, NotFound
from tests.unit.callbacks.conftest import ENGINEER, Stage


async def test_a_replay_is_a_fresh_series_under_the_same_id(stage: Stage) -> None:
    callback = await stage.register(max_retries=1)
    stage.receiver.answer = 500
    event = await stage.publish()
    await stage.settle()
    await stage.pass_time(10.1, steps=2)
    assert (await stage.only(callback))["status"] == "discarded"
    name = f"{callback.id}-{event.id}"
    await stage.house.deliveries.browse.replay(name, caller=ENGINEER)
    await stage.settle()
    assert (await stage.only(callback))["status"] == "retrying"
    stage.receiver.answer = 200
    await stage.pass_time(10.1)
    document = await stage.only(callback)
    assert (document["status"], document["discardReason"]) == ("confirmed", None)
    assert [n.headers["x-ovenbridge-attempt"] for n in stage.receiver.seen] == ["1", "2", "1", "2"]
    assert stage.receiver.ids() == {name: 4}
    entry = (await stage.house.audit.entries(stream=f"callback:{callback.id}")).entries[0]
    assert (entry.action, entry.target) == ("delivery.replayed", name)


async def test_a_confirmed_one_can_be_replayed_again_and_again(stage: Stage) -> None:
    callback = await stage.register()
    event = await stage.publish()
    await stage.settle()
    for _ in range(3):
        await stage.house.deliveries.browse.replay(f"{callback.id}-{event.id}", caller=ENGINEER)
        await stage.settle()
    assert stage.receiver.ids() == {f"{callback.id}-{event.id}": 4}


async def test_what_is_still_tried_cannot_be_replayed(stage: Stage) -> None:
    callback = await stage.register()
    event = await stage.publish()
    with pytest.raises(Conflict, match="still being tried"):
        await stage.house.deliveries.browse.replay(f"{callback.id}-{event.id}", caller=ENGINEER)


@pytest.mark.parametrize("id", ["", "x", "F" * 32, "F" * 33, "F" * 32 + "-", "F" * 32 + "-no", "F" * 32 + "-a/b"])
async def test_ids_that_name_nothing(stage: Stage, id: str) -> None:
    with pytest.raises(NotFound):
        await stage.house.deliveries.browse.get(id)


def test_ids_go_both_ways() -> None:
    assert parse_delivery_id(delivery_id("A" * 32, "d:a:x-y")) == ("A" * 32, "d:a:x-y")


async def test_many_by_filter(stage: Stage) -> None:
    callback, other = await stage.register(max_retries=0), await stage.register("/b", max_retries=0)
    stage.receiver.answer = 500
    for _ in range(5):
        await stage.publish()
    await stage.settle()
    stage.receiver.answer = 200
    await stage.publish()
    await stage.settle()
    browse = stage.house.deliveries.browse
    wanted = DeliveryFilter(callback.id, "discarded")
    first = await browse.replay_many(wanted, limit=3, caller=ENGINEER)
    assert (first.replayed, first.skipped, first.more) == (3, 0, True)
    await stage.settle()
    second = await browse.replay_many(wanted, limit=3, caller=ENGINEER)
    assert (second.replayed, second.more) == (2, False)
    await stage.settle()
    assert {d["status"] for d in await stage.deliveries(callback)} == {"confirmed"}
    assert [d["status"] for d in await stage.deliveries(other)] == ["discarded"] * 5 + ["confirmed"]
    everything = await browse.replay_many(DeliveryFilter(status="discarded"), limit=100, caller=ENGINEER)
    assert everything.replayed == 5
    entries = (await stage.house.audit.entries(stream="deliveries")).entries
    assert entries[0].after["status"] == "discarded"


async def test_a_replay_of_many_skips_callbacks_that_are_gone(stage: Stage) -> None:
    callback = await stage.register(max_retries=0)
    stage.receiver.answer = 500
    await stage.publish()
    await stage.settle()
    await stage.house.callbacks.delete(callback.id, caller=ENGINEER)
    done = await stage.house.deliveries.browse.replay_many(
        DeliveryFilter(status="discarded"), limit=10, caller=ENGINEER
    )
    assert (done.replayed, done.skipped) == (0, 1)


async def test_filters_and_pages(stage: Stage) -> None:
    callback = await stage.register()
    begin = stage.clock.now()
    for _ in range(7):
        await stage.publish()
        stage.clock.advance(60)
    await stage.settle()
    browse = stage.house.deliveries.browse
    found, continuation = [], None
    while True:
        page = await browse.list(DeliveryFilter(callback.id), limit=3, continuation=continuation)
        found += [item.document["createdAt"] for item in page.items]
        if (continuation := page.continuation) is None:
            break
    assert len(found) == 7
    assert found == sorted(found, reverse=True), "newest first"
    between = DeliveryFilter(since=begin + timedelta(seconds=60), until=begin + timedelta(seconds=180))
    assert len((await browse.list(between, limit=100, continuation=None)).items) == 2
    for status, count in (("confirmed", 7), ("pending", 0), ("discarded", 0)):
        page = await browse.list(DeliveryFilter(callback.id, status), limit=100, continuation=None)  # type: ignore[arg-type]
        assert len(page.items) == count
    assert (await browse.list(DeliveryFilter(event_type="TEST"), limit=9, continuation=None)).items == []
