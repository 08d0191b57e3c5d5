"""The last values, over a restart: what was known is known again, with its own time."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from shared.clock import ManualClock
from shared.relay.plant_latest import LatestReadings
from shared.signals import Quality, Reading, SignalValue


def read(clock: ManualClock, *, seconds: float = 0, name: str = "oven-1", **values: float) -> Reading:
    at = clock.now() + timedelta(seconds=seconds)
    signals = {key.replace("_", "."): SignalValue(value, unit="C", source_time=at) for key, value in values.items()}
    return Reading(name, at, signals, source="relay", received_at=at)


async def test_values_come_back_with_their_times(tmp_path: Path, clock: ManualClock) -> None:
    latest = LatestReadings(tmp_path / "relay" / "latest.json")
    first = read(clock, temperature_core=71.5, temperature_cabinet=180)
    second = read(clock, seconds=30, temperature_cabinet=181.25)
    at = clock.now() + timedelta(seconds=60)
    failed = Reading("oven-1", at, {}, Quality.BAD, "No answer.", "timeout", "relay", received_at=at)
    for reading in (first, second, failed, read(clock, name="oven-2", humidity=40)):
        latest.note(reading)
    await latest.keep()
    clock.advance(3600)
    again = LatestReadings(tmp_path / "relay" / "latest.json")
    await again.load()
    assert await again.latest("oven-1") == await latest.latest("oven-1")
    for signal, reading in (("temperature.core", first), ("temperature.cabinet", second)):
        assert await again.latest_value("oven-1", signal) == (reading.values[signal], reading.at)
    assert await again.latest_value("oven-2", "humidity") == await latest.latest_value("oven-2", "humidity")


async def test_what_was_read_since_the_start_stays(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "latest.json"
    latest = LatestReadings(path)
    latest.note(read(clock, temperature_core=70))
    await latest.keep()
    again = LatestReadings(path)
    again.note(read(clock, seconds=60, temperature_core=75))
    await again.load()
    found = await again.latest_value("oven-1", "temperature.core")
    assert found is not None
    assert found[0].value == 75


async def test_nothing_is_written_while_nothing_is_new(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "latest.json"
    latest = LatestReadings(path)
    await latest.keep()
    assert not path.exists()
    latest.note(read(clock, temperature_core=70))
    await latest.keep()
    before = path.stat().st_mtime_ns
    await latest.keep()
    assert path.stat().st_mtime_ns == before
    latest.keep_only(())
    await latest.keep()
    again = LatestReadings(path)
    await again.load()
    assert await again.latest("oven-1") is None


NEVER = '{"id": "r:1:relay", "equipmentId": "oven-1", "ts": "0001-01-01T00:00:00+14:00"}'


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"v": 2}', '{"v": 1}', '{"v": 1, "machines": [{"latest": {}}]}'),
        f'{{"v": 1, "machines": [{{"latest": {NEVER}, "before": []}}]}}',
    ],
)
async def test_a_file_that_cannot_be_used_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "latest.json"
    path.write_text(text)
    latest = LatestReadings(path)
    await latest.load()
    assert await latest.latest("oven-1") is None


async def test_a_disk_that_takes_nothing_is_said_once(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "latest.json"
    latest = LatestReadings(path)
    latest.note(read(clock, temperature_core=70))
    with monkeypatch.context() as full:

        def no_room(number: int) -> None:
            raise OSError(28, "No space left on device")

        full.setattr(os, "fsync", no_room)
        await latest.keep()
        await latest.keep()
    assert len([r for r in caplog.records if "cannot be kept" in r.message]) == 1
    await latest.keep()
    assert path.exists(), "tried again"
