"""The worker: concurrent, bounded, a failure of one is a failure of one, and safe to repeat."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.collection import device, poll
from shared.errors import DeviceConnectionError, DeviceThrottled, InvalidInput, NotFound, Unavailable, UnsafeTarget
from shared.services import Services
from shared.signals import Reading
from tests.unit.collection.plant import NOON, Counting, Died, Plant, bad_reading, good_reading, oven, until


def raising(error: Exception) -> Any:
    async def behave(config: dict[str, Any]) -> Reading:
        raise error

    return behave


async def hang(config: dict[str, Any]) -> Reading:
    await asyncio.Event().wait()
    raise AssertionError


async def recorded(house: Services, number: int = 1) -> list[Reading]:
    page = await house.readings.history(f"oven-{number}", NOON.replace(hour=0), NOON.replace(hour=23), 100, None)
    return list(page.readings)


async def test_reads_records_evaluates_and_judges(house: Services) -> None:
    plant = Plant(house, oven(1), oven(2))
    await plant.polling.read_batch(plant.body(1, 2))
    for n in (1, 2):
        (reading,) = await recorded(house, n)
        assert reading.values["temperature.cabinet"].value == 180
        assert (await plant.health.status(f"oven-{n}")).status == "connected"
    assert sorted(r.equipment_id for r in plant.evaluated) == ["oven-1", "oven-2"]


async def test_a_hanging_device_delays_nobody(house: Services) -> None:
    plant = Plant(house, *(oven(n) for n in range(1, 51)))
    plant.behaviour["oven-7"] = hang
    batch = asyncio.create_task(plant.polling.read_batch(plant.body(*range(1, 51))))
    await until(lambda: len(plant.evaluated) == 49)
    assert not batch.done()
    assert plant.polling.stats.reading == 1
    batch.cancel()
    await asyncio.gather(batch, return_exceptions=True)


async def test_the_deadline_is_a_bad_reading(house: Services) -> None:
    plant = Plant(house, oven(1), deadline_seconds=0.05)
    plant.behaviour["oven-1"] = hang
    async with asyncio.timeout(5):
        await plant.polling.read_batch(plant.body(1))
    (reading,) = await recorded(house)
    assert (reading.error_code, reading.reason) == ("timeout", "The device did not answer within 0.05 s.")
    assert reading.at == NOON
    assert (await plant.health.status("oven-1")).status == "disconnected"


async def test_a_read_that_does_not_end_when_cancelled_is_left_behind(
    house: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "GRACE_SECONDS", 0.05)
    release = asyncio.Event()

    async def deaf(config: dict[str, Any]) -> Reading:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        raise DeviceConnectionError("too late")

    plant = Plant(house, oven(1), deadline_seconds=0.05)
    plant.behaviour["oven-1"] = deaf
    async with asyncio.timeout(5):
        await plant.polling.read_batch(plant.body(1))
    assert plant.polling.stats.abandoned == 1
    assert (await recorded(house))[0].error_code == "timeout"
    release.set()
    await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (DeviceConnectionError("Nothing listens on 10.0.0.5:80."), "cannot_connect", "Nothing listens"),
        (InvalidInput("`port` is wrong.", field="port"), "invalid_configuration", "configuration cannot be used"),
        (UnsafeTarget("Link-local."), "invalid_configuration", "Link-local"),
        (NotFound("There is no such secret."), "invalid_configuration", "no such secret"),
        (ZeroDivisionError("oops"), "internal_error", "ZeroDivisionError"),
        (TimeoutError(), "internal_error", "TimeoutError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_whatever_goes_wrong_is_a_bad_reading_of_that_device(
    house: Services, error: Exception, code: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    plant = Plant(house, oven(1), oven(2))
    plant.behaviour["oven-1"] = raising(error)
    with caplog.at_level(logging.CRITICAL, logger="ovenbridge"):
        await plant.polling.read_batch(plant.body(1, 2))
    (reading,) = await recorded(house)
    assert reading.error_code == code
    assert words in (reading.reason or "")
    assert len(await recorded(house, 2)) == 1


async def test_retry_after_of_the_device_is_honoured(house: Services) -> None:
    plant = Plant(house, oven(1, poll_interval_seconds=10))
    plant.behaviour["oven-1"] = raising(DeviceThrottled("It asks to come less often.", retry_after=120))
    await plant.polling.read_batch(plant.body(1))
    status = await plant.health.status("oven-1")
    assert status.backoff_until == NOON + timedelta(seconds=120)
    assert (status.status, status.last_error_code) == ("error", "throttled")


async def test_a_device_that_was_removed_is_skipped(house: Services) -> None:
    plant = Plant(house, oven(1))
    await plant.polling.read_batch(plant.body(1, 2))
    assert set(plant.reads) == {"oven-1"}


async def test_a_message_older_than_the_interval_is_skipped(house: Services) -> None:
    plant = Plant(house, oven(1), oven(2, poll_interval_seconds=60))
    await plant.polling.read_batch(plant.body(1, 2, late=31))
    assert set(plant.reads) == {"oven-2"}
    assert plant.polling.stats.stale == 1


async def test_a_device_still_being_read_is_skipped(house: Services, clock: ManualClock) -> None:
    plant = Plant(house, oven(1))
    plant.behaviour["oven-1"] = hang
    first = asyncio.create_task(plant.polling.read_batch(plant.body(1)))
    await until(lambda: bool(plant.reads))
    clock.advance(10)
    await plant.polling.read_batch(plant.body(1))
    assert (plant.reads["oven-1"], plant.polling.stats.busy) == (1, 1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_a_foreign_message_is_refused(house: Services) -> None:
    with pytest.raises(InvalidInput):
        await Plant(house).polling.read_batch(b'{"devices": []}')


class TestCredentials:
    """Refused credentials are fetched anew once, and tried again only if they changed."""

    @staticmethod
    async def guarded(config: dict[str, Any]) -> Reading:
        return good_reading(at=0) if config["credentials"]["password"] == "second" else refused_reading()

    async def test_changed_in_the_vault(self, house: Services) -> None:
        plant = Plant(house, oven(1))
        plant.behaviour["oven-1"] = self.guarded
        plant.fresh_secrets = {"password": "second"}
        await plant.polling.read_batch(plant.body(1))
        assert plant.reads["oven-1"] == 2
        assert (await recorded(house))[0].error_code is None

    async def test_unchanged(self, house: Services) -> None:
        plant = Plant(house, oven(1))
        plant.behaviour["oven-1"] = self.guarded
        await plant.polling.read_batch(plant.body(1))
        assert plant.reads["oven-1"] == 1, "knocking again with the same password locks accounts"
        status = await plant.health.status("oven-1")
        assert (status.status, status.last_error_code) == ("error", "authentication_failed")

    async def test_a_vault_that_is_away_says_nothing_about_the_device(self, house: Services) -> None:
        plant = Plant(house, oven(1))
        plant.fail_vault = Unavailable("The vault is away.")
        with pytest.raises(Unavailable):
            await plant.polling.read_batch(plant.body(1))
        assert await recorded(house) == []
        assert (await plant.health.status("oven-1")).status == "unknown"


def refused_reading() -> Reading:
    return bad_reading(at=0, code="authentication_failed", reason="The device refused our credentials.")


class TestRepeated:
    """A message comes again: because something could not be stored, or because the process died."""

    async def test_in_the_same_process_only_the_unfinished_device_is_done_again(
        self, house: Services, clock: ManualClock
    ) -> None:
        plant = Plant(house, oven(1), oven(2))
        body = plant.body(1, 2)
        plant.fail_evaluation = Unavailable("The store is away.")
        with pytest.raises(Unavailable):
            await plant.polling.read_batch(body)
        assert plant.reads == {"oven-1": 1, "oven-2": 1}
        plant.fail_evaluation = None
        clock.advance(1)
        await plant.polling.read_batch(body, delivery_count=2)
        assert plant.reads == {"oven-1": 1, "oven-2": 1}, "recorded: not read a second time"
        assert sorted(r.equipment_id for r in plant.evaluated) == ["oven-1", "oven-2"], "evaluated after all"
        assert [len(await recorded(house, n)) for n in (1, 2)] == [1, 1]
        clock.advance(1)
        await plant.polling.read_batch(body, delivery_count=3)
        assert len(plant.evaluated) == 2

    async def test_after_a_crash_between_recording_and_evaluating(self, house: Services, clock: ManualClock) -> None:
        plant = Plant(house, oven(1))
        body = plant.body(1)
        plant.fail_evaluation = Died()
        with pytest.raises(Died):
            await plant.polling.read_batch(body)
        plant.fail_evaluation = None
        clock.advance(2)
        await plant.new_process().read_batch(body, delivery_count=2)
        assert plant.reads["oven-1"] == 1
        assert len(plant.evaluated) == 1
        assert (await plant.health.status("oven-1")).status == "connected"
        assert plant.polling.stats.repeated == 1

    async def test_after_a_crash_before_recording_the_device_is_read(self, house: Services, clock: ManualClock) -> None:
        plant = Plant(house, oven(1))
        await plant.polling.read_batch(plant.body(1))
        clock.advance(30)
        body = plant.body(1)
        clock.advance(2)
        await plant.new_process().read_batch(body, delivery_count=2)
        assert plant.reads["oven-1"] == 2
        assert len(await recorded(house)) == 2

    async def test_the_same_message_twice_in_one_process(self, house: Services) -> None:
        plant = Plant(house, oven(1))
        body = plant.body(1)
        await plant.polling.read_batch(body)
        await plant.polling.read_batch(body)
        assert plant.reads["oven-1"] == 1


class TestBulkhead:
    """Devices that fail have places of their own and never wait for them."""

    async def test_failing_devices_are_left_out_when_all_their_places_hang(
        self, house: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(poll, "FAILING_PLACES", 3)
        plant = Plant(house, *(oven(n) for n in range(1, 11)))
        for n in range(1, 10):
            plant.behaviour[f"oven-{n}"] = hang
        failing = asyncio.create_task(plant.polling.read_batch(plant.body(*range(1, 10), lane="failing")))
        await until(lambda: plant.polling.stats.shed == 6)
        assert plant.polling.stats.reading == 3
        await plant.polling.read_batch(plant.body(10))
        assert len(await recorded(house, 10)) == 1
        failing.cancel()
        await asyncio.gather(failing, return_exceptions=True)

    async def test_a_device_that_failed_after_it_was_planned_backs_off_all_the_same(
        self, house: Services, clock: ManualClock
    ) -> None:
        plant = Plant(house, oven(1))
        clock.advance(60)
        await plant.health.report(plant.ovens[0], bad_reading(at=59.999, code="authentication_failed"))
        await plant.polling.read_batch(plant.body(1))
        assert not plant.reads

    async def test_a_device_that_another_process_found_well_again_is_read(
        self, house: Services, clock: ManualClock
    ) -> None:
        plant = Plant(house, oven(1))
        await plant.health.report(plant.ovens[0], bad_reading(at=0, code="authentication_failed"))
        clock.advance(10)
        await house.health.report(plant.ovens[0], good_reading(at=10))
        clock.advance(20)
        await plant.polling.read_batch(plant.body(1))
        assert plant.reads["oven-1"] == 1

    async def test_a_device_that_recovers_is_connected_at_once(self, house: Services, clock: ManualClock) -> None:
        plant = Plant(house, oven(1))
        await plant.health.report(plant.ovens[0], bad_reading(at=0))
        clock.advance(300)
        await plant.polling.read_batch(plant.body(1, lane="failing"))
        assert (await plant.health.status("oven-1")).status == "connected"
        assert await plant.health.backing_off() == {}


async def test_store_calls_of_a_successful_poll(house: Services, clock: ManualClock) -> None:
    """One create for the reading; what this room asks beside it is one read a minute."""
    counting = Counting(house.store)
    house.__dict__["store"] = counting.store
    plant = Plant(house, oven(1, poll_interval_seconds=10))
    await plant.polling.read_batch(plant.body(1))
    counting.calls.clear()
    for _ in range(6):
        clock.advance(10)
        await plant.polling.read_batch(plant.body(1))
    assert counting.calls == {"create": 6, "read": 1}


async def test_lag_is_known(house: Services) -> None:
    plant = Plant(house, oven(1), oven(2))
    assert plant.polling.stats.lag is None
    await plant.polling.read_batch(plant.body(1, late=2.0))
    await plant.polling.read_batch(plant.body(2, late=4.0))
    lag = plant.polling.stats.lag
    assert lag is not None
    assert (lag.polls, lag.p50, lag.worst) == (2, 2.0, 4.0)


async def test_lag_is_logged_once_a_minute(
    house: Services, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    plant = Plant(house, oven(1))
    stats = plant.polling.stats
    with caplog.at_level(logging.INFO, logger="ovenbridge.polling"):
        for late in (0.01, 0.02):
            stats.note_start(late)
            stats.report(clock.now())
        clock.advance(60)
        stats.note_start(7.0)
        stats.report(clock.now())
    assert [(r.levelname, r.fields["poll_lag_worst_seconds"]) for r in caplog.records] == [  # type: ignore[attr-defined]
        ("INFO", 0.01),
        ("WARNING", 7.0),
    ]
