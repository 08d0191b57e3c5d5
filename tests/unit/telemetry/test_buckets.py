"""Numbers by bucket: from single readings, from hourly sums, and from both; the same whichever way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import ManualClock
from shared.services import Services
from shared.signals import Quality, Reading, SignalValue
from shared.storage import DocumentStore
from shared.telemetry import Bucket, SignalStats
from shared.telemetry.buckets import Tally
from shared.telemetry.document import to_document
from shared.telemetry.rollups import Rollups, summary_of

NOON = datetime(2026, 11, 21, 10, tzinfo=UTC)
CABINET = "temperature.cabinet"


def reading(at: datetime, value: float | None = 180.0, **more: SignalValue) -> Reading:
    signal = SignalValue(value, unit="C") if value is not None else SignalValue(None, Quality.BAD, "sentinel", "C")
    return Reading("oven-1", at, {CABINET: signal, **more})


def failed(at: datetime) -> Reading:
    return Reading("oven-1", at, {}, Quality.BAD, "Refused.", error_code="cannot_connect")


async def record(house: Services, *readings: Reading) -> None:
    for one in readings:
        await house.readings.record(one)


async def test_gaps_stay_gaps_and_what_was_bad_is_counted(house: Services) -> None:
    at = [NOON + timedelta(minutes=m) for m in range(20)]
    await record(house, reading(at[0]), reading(at[1], 182), reading(at[4], 190), reading(at[3], None))
    await record(house, reading(at[11], 200), failed(at[12]), failed(at[16]))
    found = await house.readings.buckets("oven-1", NOON, NOON + timedelta(minutes=20), 300)
    assert found == [
        Bucket(at[0], {CABINET: SignalStats(180, 190, 184, 3, 1)}, 0),
        Bucket(at[10], {CABINET: SignalStats(200, 200, 200, 1, 0)}, 1),
        Bucket(at[15], {}, 1),
    ], "5 to 10 is a gap, 15 to 20 was tried in vain"


async def test_a_value_that_was_never_good_is_counted_without_numbers(house: Services) -> None:
    await record(house, reading(NOON, None), reading(NOON + timedelta(seconds=30), None))
    (bucket,) = await house.readings.buckets("oven-1", NOON, NOON + timedelta(minutes=5), 300)
    assert bucket.signals == {CABINET: SignalStats(None, None, None, 0, 2)}


async def test_all_signals_are_found_without_naming_them(house: Services) -> None:
    later = NOON + timedelta(minutes=2)
    await record(house, reading(NOON, humidity=SignalValue(60)), reading(later, status=SignalValue("idle")))
    await record(house, failed(later + timedelta(minutes=1)))
    (bucket,) = await house.readings.buckets("oven-1", NOON, NOON + timedelta(minutes=5), 300)
    assert set(bucket.signals) == {CABINET, "humidity"}, "a text has no average"
    (bucket,) = await house.readings.buckets("oven-1", NOON, NOON + timedelta(minutes=5), 300, ["humidity"])
    assert set(bucket.signals) == {"humidity"}


async def test_a_bucket_may_span_midnight(house: Services, clock: ManualClock) -> None:
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    start = datetime.fromtimestamp(int(midnight.timestamp()) // 420 * 420, UTC)
    assert start < midnight, "seven minutes do not divide a day"
    inside = [start + timedelta(seconds=10), midnight + timedelta(seconds=10)]
    await record(house, *(reading(at, 100.0 + n) for n, at in enumerate(inside)))
    (bucket,) = await house.readings.buckets("oven-1", start, start + timedelta(seconds=420), 420)
    assert bucket.signals[CABINET] == SignalStats(100, 101, 100.5, 2, 0)


async def test_hours_are_the_same_before_and_after_they_are_summed_up(house: Services, clock: ManualClock) -> None:
    at = NOON - timedelta(hours=30)
    clock.set(at)
    for number in range(90):
        await record(house, failed(at) if number % 7 == 0 else reading(at, None if number % 5 == 0 else 150.0 + number))
        at += timedelta(minutes=20)
    clock.set(NOON + timedelta(minutes=5))
    start, end = NOON - timedelta(hours=30), NOON + timedelta(hours=1)
    before = {s: await house.readings.buckets("oven-1", start, end, s) for s in (3_600, 7_200, 86_400)}
    assert await house.readings.rollups.catch_up(["oven-1", "never-read"]) == 30
    after = {s: await house.readings.buckets("oven-1", start, end, s) for s in (3_600, 7_200, 86_400)}
    assert len(before[3_600]) == 30
    for seconds, buckets in before.items():
        assert [b.start for b in buckets] == [b.start for b in after[seconds]]
        for one, other in zip(buckets, after[seconds], strict=True):
            assert one.failed == other.failed
            assert one.signals.keys() == other.signals.keys()
            for signal, stats in one.signals.items():
                same = other.signals[signal]
                assert (stats.minimum, stats.maximum, stats.count, stats.bad) == (
                    same.minimum,
                    same.maximum,
                    same.count,
                    same.bad,
                )
                assert stats.average == pytest.approx(same.average)


async def test_sums_outlive_the_single_readings(house: Services, clock: ManualClock) -> None:
    await record(house, reading(NOON), reading(NOON + timedelta(minutes=30), 190))
    clock.set(NOON + timedelta(hours=1, minutes=5))
    assert await house.readings.rollups.catch_up(["oven-1"]) == 1
    clock.advance(200 * 86_400)
    assert not (await house.readings.history("oven-1", NOON, NOON + timedelta(hours=1), 10)).readings
    (bucket,) = await house.readings.buckets("oven-1", NOON, NOON + timedelta(hours=2), 3_600)
    assert bucket == Bucket(NOON, {CABINET: SignalStats(180, 190, 185, 2, 0)}, 0)


async def test_an_hour_is_summed_up_once_and_missed_hours_are_caught_up(house: Services, clock: ManualClock) -> None:
    for at in (NOON - timedelta(hours=2), NOON - timedelta(minutes=1), NOON):
        clock.set(at)
        await record(house, reading(at))
    assert await house.readings.rollups.catch_up(["oven-1"]) == 2, "8 and 9 o'clock; 10 is not over"
    assert await house.readings.rollups.catch_up(["oven-1"]) == 0
    assert await house.readings.roll_up(["oven-1"], NOON - timedelta(hours=2)) == 0, "written once"
    clock.advance(5 * 3_600)
    assert await house.readings.rollups.catch_up(["oven-1"]) == 1
    assert await house.readings.rollups.done_until() == NOON + timedelta(hours=5)
    clock.advance(30 * 86_400)
    assert await house.readings.rollups.catch_up(["oven-1"]) == 0, "bounded: three days back at most"


async def test_a_run_that_died_is_repeated(house: Services, clock: ManualClock) -> None:
    await record(house, reading(NOON - timedelta(minutes=1)))
    assert await house.readings.roll_up(["oven-1"], NOON - timedelta(hours=1)) == 1  # and then it died
    assert await house.readings.rollups.done_until() is None
    assert await house.readings.rollups.catch_up(["oven-1"]) == 0
    assert await house.readings.rollups.done_until() == NOON


async def test_readings_that_come_late_are_in_the_sums_too(house: Services, clock: ManualClock) -> None:
    await record(house, reading(NOON - timedelta(minutes=30), 100))
    clock.set(NOON + timedelta(minutes=5))
    await house.readings.rollups.catch_up(["oven-1"])
    await record(house, reading(NOON - timedelta(minutes=20), 200), reading(NOON - timedelta(hours=4), 50))
    clock.advance(3_600)
    await house.readings.rollups.catch_up(["oven-1"])
    found = await house.readings.buckets("oven-1", NOON - timedelta(hours=5), NOON, 3_600)
    assert [(b.start, b.signals[CABINET].maximum, b.signals[CABINET].count) for b in found] == [
        (NOON - timedelta(hours=4), 50, 1),
        (NOON - timedelta(hours=1), 200, 2),
    ]


async def test_a_reading_that_comes_while_its_hour_is_summed_up_anew_is_not_forgotten(
    house: Services, clock: ManualClock
) -> None:
    hour = NOON - timedelta(hours=1)
    clock.set(NOON + timedelta(minutes=5))
    await house.readings.rollups.catch_up(["oven-1"])
    await record(house, reading(hour, 100))

    class Meanwhile:
        """Right after the readings of the hour were read, another one comes."""

        def __getattr__(self, name: str) -> Any:
            return getattr(house.store, name)

        async def query(self, container: str, *args: Any, **kwargs: Any) -> Any:
            page = await house.store.query(container, *args, **kwargs)
            if container == "readings":
                await record(house, reading(hour + timedelta(minutes=1), 200))
            return page

    rollups = Rollups(cast("DocumentStore", Meanwhile()), clock)
    assert await rollups.catch_up(["oven-1"]) == 1
    (bucket,) = await house.readings.buckets("oven-1", hour, NOON, 3_600)
    assert bucket.signals[CABINET].count == 1, "not yet"
    assert await house.readings.rollups.catch_up(["oven-1"]) == 1
    (bucket,) = await house.readings.buckets("oven-1", hour, NOON, 3_600)
    assert bucket.signals[CABINET].count == 2
    assert await house.readings.rollups.catch_up(["oven-1"]) == 0, "the mark is gone"


def test_a_summary_keeps_the_last_word() -> None:
    first = reading(NOON, status=SignalValue("running"), batch=SignalValue(7))
    second = reading(NOON + timedelta(minutes=1), 170, status=SignalValue("idle"))
    lost = Reading("oven-1", NOON + timedelta(minutes=2), {"status": SignalValue(None, Quality.BAD, "gone")})
    readings = (first, second, lost, failed(NOON + timedelta(minutes=3)))
    assert summary_of([to_document(one) for one in readings]) == {
        "reads": 4,
        "failed": 1,
        "signals": {
            CABINET: {"last": 170, "n": 2, "min": 170, "max": 180, "avg": 175},
            "status": {"last": "idle", "bad": 1},
            "batch": {"last": 7, "n": 1, "min": 7, "max": 7, "avg": 7},
        },
    }


@given(st.lists(st.tuples(st.integers(0, 7200), st.floats(-1e6, 1e6)), min_size=1), st.integers(1, 4000))
def test_parts_add_up_to_the_whole(samples: list[tuple[int, float]], seconds: int) -> None:
    tally = Tally(seconds)
    for offset, value in samples:
        tally.numbers(NOON + timedelta(seconds=offset), "x", value, value, value, 1)
    buckets = tally.buckets()
    assert sum(b.signals["x"].count for b in buckets) == len(samples)
    assert [b.start for b in buckets] == sorted({b.start for b in buckets})
    for bucket in buckets:
        stats = bucket.signals["x"]
        own = [
            v
            for offset, v in samples
            if bucket.start <= NOON + timedelta(seconds=offset) < bucket.start + timedelta(seconds=seconds)
        ]
        assert (stats.minimum, stats.maximum, stats.count) == (min(own), max(own), len(own))
        assert stats.average == pytest.approx(sum(own) / len(own), abs=1e-6)
        assert min(own) <= (stats.average or 0) <= max(own)
