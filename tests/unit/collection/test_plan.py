"""The planner: real queue and store, ovens from a list."""

from __future__ import annotations

from datetime import timedelta

from shared.clock import ManualClock
from shared.services import Services
from tests.unit.collection.plant import NOON, Plant, bad_reading, oven


async def test_every_device_once_an_interval_in_small_messages(house: Services) -> None:
    plant = Plant(house, *(oven(n, poll_interval_seconds=10) for n in range(1, 301)))
    planned = await plant.plan()
    assert sorted(p.equipment_id for b in planned for p in b.polls) == sorted(o.id for o in plant.ovens)
    assert all(len(b.polls) <= 50 for b in planned)
    assert plant.polling.stats.planned == 300


async def test_messages_wait_for_their_second(house: Services, clock: ManualClock) -> None:
    plant = Plant(house, *(oven(n, poll_interval_seconds=10) for n in range(1, 101)))
    await plant.polling.plan(clock.now())
    for second in range(10):
        for batch in await plant.messages():
            assert all(NOON.timestamp() + second <= p.due / 1000 < NOON.timestamp() + second + 1 for p in batch.polls)
        clock.advance(1)
    depth = await house.receiver.depth("poll-batches")
    assert (depth.active, depth.scheduled) == (0, 0)


async def test_a_second_planner_sends_nothing_new(house: Services, clock: ManualClock) -> None:
    plant = Plant(house, *(oven(n, poll_interval_seconds=10) for n in range(1, 101)))
    await plant.polling.plan(clock.now())
    await plant.polling.plan(clock.now())
    plant.new_process()
    await plant.polling.plan(clock.now())
    planned = await plant.messages(seconds=20)
    assert len([p for b in planned for p in b.polls]) == 100


async def test_a_failing_device_pauses_then_travels_apart(house: Services, clock: ManualClock) -> None:
    plant = Plant(house, *(oven(n, poll_interval_seconds=10) for n in range(1, 21)))
    for failure in range(6):
        await plant.health.report(plant.ovens[4], bad_reading(5, at=failure - 6))
    until = (await plant.health.status("oven-5")).backoff_until
    assert until is not None
    assert until > NOON + timedelta(seconds=20), "the pause is long enough to be seen"
    polled = []
    while clock.now() < until + timedelta(seconds=30):
        await plant.polling.plan(clock.now())
        batches = await plant.messages(seconds=5)
        assert not any(p.equipment_id == "oven-5" for b in batches if b.lane == "steady" for p in b.polls)
        polled += [(clock.now(), b.polls) for b in batches if b.lane == "failing"]
    assert polled
    assert all(at >= until for at, _ in polled)
    assert {p.equipment_id for _, polls in polled for p in polls} == {"oven-5"}


async def test_a_corrected_configuration_is_tried_at_once(house: Services) -> None:
    plant = Plant(house, oven(1, poll_interval_seconds=10))
    await plant.health.report(plant.ovens[0], bad_reading(at=-1, code="authentication_failed"))
    assert await plant.plan() == []
    plant.ovens = [oven(1, poll_interval_seconds=10, updated_at=house.clock.now())]
    (batch,) = await plant.plan()
    assert batch.lane == "failing"


async def test_when_everything_fails_messages_stay_few(house: Services) -> None:
    plant = Plant(house, *(oven(n, poll_interval_seconds=10) for n in range(1, 1001)))
    for n, device in enumerate(plant.ovens, 1):
        await plant.health.report(device, bad_reading(n, at=-60))
    planned = await plant.plan()
    assert {b.lane for b in planned} == {"failing"}
    assert len(planned) <= 8, "four a tick, two ticks"
