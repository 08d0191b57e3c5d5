"""The hourly line of the connection log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from shared.clock import ManualClock
from shared.collection.connection_log import LogEntry
from shared.collection.status import ConnectionStatus
from shared.collection.summary import ConnectionSummary
from shared.services import Services
from tests.unit.collection.plant import NOON, Plant, bad_reading, good_reading, oven


def summary_of(plant: Plant) -> ConnectionSummary:
    return ConnectionSummary(plant.house.readings, cast("Any", plant), plant.health)


async def summaries(plant: Plant, number: int = 1) -> list[LogEntry]:
    page = await plant.health.log(f"oven-{number}", NOON - timedelta(days=1), NOON + timedelta(days=2), 1000)
    return [entry for entry in page.entries if entry.event_type == "hourly_summary"]


async def test_counts_and_times_of_the_last_whole_hour(house: Services, clock: ManualClock) -> None:
    plant = Plant(house, oven(1), oven(2))
    for n, ms in enumerate((10.0, 20.0, 60.0)):
        reading = good_reading(at=n * 30, ms=ms)
        await plant.ingest.take(plant.ovens[0], reading)
    for n in range(2):
        await plant.ingest.take(plant.ovens[0], bad_reading(at=1800 + n * 30))
    await plant.ingest.take(plant.ovens[0], good_reading(at=3600, ms=999.0))
    clock.set(NOON + timedelta(hours=1, minutes=3))
    assert await summary_of(plant).write(clock.now()) == 1, "the second oven was never read"
    (line,) = await summaries(plant)
    assert line.event_time == NOON + timedelta(hours=1) - timedelta(milliseconds=1)
    assert line.summary == {
        "polls": 5,
        "failures": 2,
        "min_response_time_ms": 10,
        "avg_response_time_ms": 30,
        "max_response_time_ms": 60,
    }
    assert (line.response_time_ms, line.data_points_received, line.connection_status) == (30, 3, "connected")


async def test_twice_is_once(house: Services, clock: ManualClock) -> None:
    plant = Plant(house, oven(1))
    await plant.ingest.take(plant.ovens[0], good_reading(at=0))
    clock.set(NOON + timedelta(hours=1, minutes=3))
    assert [await summary_of(plant).write(clock.now()) for _ in range(2)] == [1, 0]
    assert len(await summaries(plant)) == 1


async def test_an_hour_of_failures_has_no_times(house: Services, clock: ManualClock) -> None:
    plant = Plant(house, oven(1))
    await plant.ingest.take(plant.ovens[0], bad_reading(at=10, code="timeout"))
    clock.set(NOON + timedelta(hours=1, minutes=3))
    await summary_of(plant).write(clock.now())
    (line,) = await summaries(plant)
    assert line.summary == {"polls": 1, "failures": 1}
    assert (line.connection_status, line.response_time_ms, line.data_points_received) == ("disconnected", None, 0)


async def test_the_hour_before_midnight_lies_in_its_own_day(house: Services, clock: ManualClock) -> None:
    plant = Plant(house, oven(1))
    await plant.ingest.take(plant.ovens[0], good_reading(at=13.5 * 3600))
    clock.set(NOON + timedelta(hours=14, minutes=3))
    assert await summary_of(plant).write(clock.now()) == 1
    assert (await summaries(plant))[0].event_time.day == NOON.day


async def test_hours_that_were_missed_can_be_asked_for(house: Services, clock: ManualClock) -> None:
    plant = Plant(house, oven(1))
    for hour in range(3):
        await plant.ingest.take(plant.ovens[0], good_reading(at=hour * 3600))
    clock.set(NOON + timedelta(hours=5, minutes=10))
    assert await summary_of(plant).write(clock.now(), hours=24) == 3


async def test_what_is_left_of_a_machine_that_is_gone_is_cleared_away(house: Services, clock: ManualClock) -> None:
    plant = Plant(house, oven(1), oven(2), oven(3, iot_enabled=False))
    for n in (1, 2, 3):
        await plant.ingest.take(oven(n), good_reading(n, at=0))
    plant.ovens = [oven(1), oven(3, iot_enabled=False)]
    await summary_of(plant).write(clock.now())
    assert set(await plant.health.statuses()) == {"oven-1", "oven-3"}
    assert await plant.health.status("oven-2") == ConnectionStatus()
