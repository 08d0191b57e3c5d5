"""The one way of every reading, and what happens when the process dies on it."""

from __future__ import annotations

import pytest

from shared.clock import ManualClock
from shared.errors import Unavailable
from shared.services import Services
from tests.unit.collection.plant import Died, Plant, bad_reading, good_reading, oven


async def take_twice(plant: Plant) -> None:
    for reading in (good_reading(at=0, status="idle"), good_reading(at=30, status="running"), bad_reading(at=60)):
        for _ in range(2):
            await plant.ingest.take(plant.ovens[0], reading)


async def test_everything_twice_is_everything_once(house: Services) -> None:
    plant = Plant(house, oven(1))
    await take_twice(plant)
    assert [(e.type, e.data["status"]) for e in plant.told] == [
        ("EQUIPMENT_STATE_CHANGED", "running"),
        ("EQUIPMENT_CONNECTION_CHANGED", "disconnected"),
    ]
    assert (await plant.health.status("oven-1")).consecutive_failures == 1


@pytest.mark.parametrize("failure", [Died(), Unavailable("The queue is away.")], ids=["died", "away"])
async def test_an_event_that_could_not_be_told_is_told_by_the_repetition(
    house: Services, failure: BaseException
) -> None:
    plant = Plant(house, oven(1))
    await plant.ingest.take(plant.ovens[0], good_reading(at=0))
    plant.fail_telling = failure
    with pytest.raises(type(failure)):
        await plant.ingest.take(plant.ovens[0], bad_reading(at=30))
    plant.fail_telling = None
    plant.new_process()
    await plant.ingest.take(plant.ovens[0], bad_reading(at=30))
    assert [e.data["status"] for e in plant.told] == ["disconnected"]
    await plant.ingest.take(plant.ovens[0], bad_reading(at=60))
    assert len(plant.told) == 1


async def test_the_hourly_timer_tells_for_machines_that_are_not_read_any_more(
    house: Services, clock: ManualClock
) -> None:
    plant = Plant(house, oven(1))
    await plant.ingest.take(plant.ovens[0], good_reading(at=0))
    plant.fail_telling = Died()
    with pytest.raises(Died):
        await plant.ingest.take(plant.ovens[0], bad_reading(at=30))
    plant.fail_telling = None
    plant.new_process()
    assert await plant.ingest.tell() == 1
    assert await plant.ingest.tell() == 0
    assert [e.type for e in plant.told] == ["EQUIPMENT_CONNECTION_CHANGED"]


async def test_an_event_told_twice_has_one_id(house: Services) -> None:
    plant = Plant(house, oven(1))
    await plant.ingest.take(plant.ovens[0], good_reading(at=0))
    transition = await plant.health.report(plant.ovens[0], bad_reading(at=30))
    assert transition is not None
    # It was published, and the process died before the mark was taken away.
    await plant.events.publish(transition.events[0])
    plant.new_process()
    await plant.ingest.take(plant.ovens[0], bad_reading(at=30))
    assert len(plant.told) == 2
    assert len({e.id for e in plant.told}) == 1
