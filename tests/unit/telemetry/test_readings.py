from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.clock import ManualClock
from shared.errors import InvalidInput
from shared.services import Services
from shared.settings import Settings
from shared.signals import Quality, Reading, SignalValue

NOON = datetime(2026, 11, 21, 10, tzinfo=UTC)


def reading(at: datetime, value: float = 180.0, **more: object) -> Reading:
    return Reading("oven-1", at, {"temperature.cabinet": SignalValue(value, unit="C")}, received_at=at, **more)  # type: ignore[arg-type]


def failed(at: datetime) -> Reading:
    return Reading(
        "oven-1", at, {}, Quality.BAD, "Nothing listens on 10.0.0.5.", error_code="cannot_connect", received_at=at
    )


async def test_a_reading_is_recorded_once(house: Services) -> None:
    assert await house.readings.record(reading(NOON))
    assert not await house.readings.record(reading(NOON, 999.0)), "the first stands"
    latest = await house.readings.latest("oven-1")
    assert latest is not None
    assert latest.values["temperature.cabinet"].value == 180.0


async def test_the_latest_is_found_across_midnight_and_no_further(house: Services, clock: ManualClock) -> None:
    assert await house.readings.latest("oven-1") is None
    clock.set(datetime(2026, 11, 22, 0, 1, tzinfo=UTC))
    await house.readings.record(reading(datetime(2026, 11, 21, 23, 59, tzinfo=UTC)))
    assert (await house.readings.latest("oven-1")) is not None
    clock.advance(86_400)
    assert await house.readings.latest("oven-1") is None, "older than yesterday is not live"


async def test_a_failed_read_is_the_latest_and_hides_the_value_before(house: Services) -> None:
    await house.readings.record(reading(NOON - timedelta(seconds=30)))
    await house.readings.record(failed(NOON))
    found = await house.readings.latest_value("oven-1", "temperature.cabinet")
    assert found is not None
    value, at = found
    assert (value.value, value.quality, value.reason) == (None, Quality.BAD, "Nothing listens on 10.0.0.5.")
    assert at == NOON


async def test_an_unknown_signal_is_none(house: Services) -> None:
    assert await house.readings.latest_value("oven-1", "humidity") is None
    await house.readings.record(reading(NOON))
    assert await house.readings.latest_value("oven-1", "humidity") is None


@pytest.mark.parametrize("order", ["oldest_first", "newest_first"])
@pytest.mark.parametrize("limit", [1, 3, 7, 100])
async def test_history_pages_through_days_without_gap_or_repeat(house: Services, limit: int, order: str) -> None:
    start = datetime(2026, 11, 18, 22, tzinfo=UTC)
    moments = [start + timedelta(hours=5 * n) for n in range(14)]  # over four days
    for moment in moments:
        await house.readings.record(reading(moment))
    found: list[datetime] = []
    continuation: str | None = None
    for _ in range(40):
        page = await house.readings.history(
            "oven-1",
            moments[1],
            moments[-1],
            limit,
            continuation,
            order=order,  # type: ignore[arg-type]
        )
        assert len(page.readings) <= limit
        found += [r.at for r in page.readings]
        continuation = page.continuation
        if continuation is None:
            break
    expected = moments[1:-1]
    assert found == (expected if order == "oldest_first" else expected[::-1])


async def test_a_continuation_of_another_question_is_refused(house: Services) -> None:
    with pytest.raises(InvalidInput, match="continuation"):
        await house.readings.history("oven-1", NOON - timedelta(hours=1), NOON, 10, "bm9uc2Vuc2U")


async def test_a_signal_that_not_every_reading_holds_is_found(house: Services) -> None:
    """A device that reports changes says something else every time."""
    at = NOON - timedelta(minutes=5)
    await house.readings.record(Reading("oven-1", at, {"humidity": SignalValue(65, unit="%")}))
    for minute in range(1, 5):
        await house.readings.record(reading(at + timedelta(minutes=minute)))
    assert await house.readings.latest_value("oven-1", "humidity") == (SignalValue(65, unit="%"), at)


async def test_history_goes_on_past_many_empty_days(house: Services, clock: ManualClock) -> None:
    first = NOON - timedelta(days=80)
    clock.set(first)
    await house.readings.record(reading(first))
    clock.set(NOON)
    await house.readings.record(reading(NOON))
    continuation: str | None = None
    found: list[datetime] = []
    pages = 0
    while pages < 10:
        pages += 1
        page = await house.readings.history("oven-1", first, NOON + timedelta(hours=1), 10, continuation)
        found += [r.at for r in page.readings]
        continuation = page.continuation
        if continuation is None:
            break
    assert found == [first, NOON]
    assert pages <= 3, "empty days are looked into many at a time"


async def test_an_own_retention_goes_with_the_document(tmp_path: Path, clock: ManualClock) -> None:
    house = Services(Settings(data_dir=tmp_path / "short", readings_retention_days=7), clock)
    try:
        await house.readings.record(reading(NOON))
        clock.advance(6 * 86_400)
        assert (await house.readings.history("oven-1", NOON, NOON + timedelta(hours=1), 10)).readings
        clock.advance(2 * 86_400)
        assert not (await house.readings.history("oven-1", NOON, NOON + timedelta(hours=1), 10)).readings
    finally:
        await house.close()


async def test_readings_expire_after_their_retention(house: Services, clock: ManualClock) -> None:
    await house.readings.record(reading(NOON))
    clock.advance(89 * 86_400)
    page = await house.readings.history("oven-1", NOON, NOON + timedelta(hours=1), 10, None)
    assert len(page.readings) == 1
    clock.advance(2 * 86_400)
    page = await house.readings.history("oven-1", NOON, NOON + timedelta(hours=1), 10, None)
    assert page.readings == []
