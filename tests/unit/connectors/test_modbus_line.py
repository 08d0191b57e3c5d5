"""Many units behind one address: they take turns, and one that is gone does not delay the others."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from shared.connectors import modbus_line
from shared.connectors.modbus_units import Units
from tests.unit.connectors.modbus_bench import NOW, Plant, plant
from tests.unit.connectors.modbus_device import Device

__all__ = ["plant"]

FAST: dict[str, Any] = {"timeout": 3.0, "answer_timeout": 0.1}


async def test_units_take_turns_over_one_connection(plant: Plant) -> None:
    async with Device(registers={0: 1}, delay=0.005) as device:
        connectors = [plant.connector(device.port, {"a": "holding:0"}, unit=unit) for unit in range(1, 41)]
        readings = await asyncio.gather(*(one.get_current_reading() for one in connectors))
        assert all(reading.values["a"].value == 1 for reading in readings)
        assert device.at_once == 1, "one request at a time"
        assert device.connections == 1, "whoever waits takes the connection over"
        assert [request.unit for request in device.requests] == list(range(1, 41)), "first come, first served"


async def test_a_reading_is_of_the_time_it_was_read(plant: Plant) -> None:
    async with Device(registers={0: 1}, delay=0.1) as device:
        first, second = (plant.connector(device.port, {"a": "holding:0"}, unit=unit) for unit in (1, 2))
        waiting = [asyncio.create_task(one.get_current_reading()) for one in (first, second)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=0.05)
        plant.clock.advance(0.1)
        readings = await asyncio.gather(*waiting)
        assert [reading.at for reading in readings] == [NOW, NOW + timedelta(seconds=0.1)]


async def test_who_waits_too_long_is_told_why(plant: Plant) -> None:
    async with Device(registers={0: 1}, delay=0.5) as device:
        slow = plant.connector(device.port, {"a": "holding:0"}, unit=1)
        hasty = plant.connector(device.port, {"a": "holding:0"}, unit=2, timeout=0.2, answer_timeout=0.1)
        served, waited = await asyncio.gather(slow.get_current_reading(), hasty.get_current_reading())
        assert served.error_code is None
        assert (waited.error_code, "was busy with other units for 0.2 s" in (waited.reason or "")) == ("timeout", True)


async def test_an_absent_unit_is_left_alone(plant: Plant) -> None:
    async with Device(registers={0: 1}, silent={9}) as device:
        there = plant.connector(device.port, {"a": "holding:0"}, unit=1, **FAST)
        gone = plant.connector(device.port, {"a": "holding:0"}, unit=9, **FAST)
        await there.get_current_reading()
        assert (await gone.get_current_reading()).error_code == "timeout"
        device.forget()
        for _ in range(10):
            reading = await gone.get_current_reading()
            assert reading.error_code == "timeout"
            assert "asked again only after" in (reading.reason or "")
            assert f"since {NOW.isoformat(timespec='milliseconds')[:-6]}Z" in (reading.reason or "")
            assert (await there.get_current_reading()).error_code is None
        assert {request.unit for request in device.requests} == {1}
        device.silent.clear()
        assert (await gone.test_connection()).success, "a person who asks is answered"
        assert (await gone.get_current_reading()).error_code is None, "and then it is back"


async def test_a_unit_alone_on_its_line_is_always_asked(plant: Plant) -> None:
    async with Device(registers={0: 1}, silent={1}) as device:
        connector = plant.connector(device.port, {"a": "holding:0"}, **FAST)
        for _ in range(3):
            await connector.get_current_reading()
        assert len(device.requests) == 3
        device.silent.clear()
        assert (await connector.get_current_reading()).error_code is None


def test_the_peace_grows_and_ends() -> None:
    units = Units()
    units.answered(1)
    peace = []
    for _ in range(8):
        units.missed(9, 1_000.0, NOW)
        peace.append(units.blocked_seconds(9, 1_000.0))
    assert peace == [2, 4, 8, 16, 32, 60, 60, 60]
    assert units.blocked_seconds(9, 1_060.0) == 0
    assert units.blocked_seconds(1, 1_000.0) == 0
    units.answered(9)
    assert units.blocked_seconds(9, 1_000.0) == 0
    units.missed(9, 1_000.0, NOW)
    assert units.blocked_seconds(9, 1_000.0) == 2


async def test_a_line_that_is_dead_costs_the_waiting_ones_nothing(plant: Plant) -> None:
    async with Device() as device:
        port = device.port
    connectors = [plant.connector(port, {"a": "holding:0"}, unit=unit) for unit in range(1, 6)]
    line = plant.line(port)
    tried = 0
    opened = modbus_line.Line.failed

    def count(self: modbus_line.Line, error: object) -> None:
        nonlocal tried
        tried += 1
        opened(self, error)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modbus_line.Line, "failed", count)
        readings = await asyncio.gather(*(one.get_current_reading() for one in connectors))
        assert tried == 1
        assert {reading.error_code for reading in readings} == {"cannot_connect"}
        assert len({reading.reason for reading in readings}) == 1
        await connectors[0].get_current_reading()
        assert tried == 2, "whoever comes later tries again"
    assert line.is_idle


async def test_a_line_that_is_asked_often_keeps_its_connection(plant: Plant) -> None:
    async with Device(registers={0: 1}) as device:
        connector = plant.connector(device.port, {"a": "holding:0"})
        for _ in range(5):
            await connector.get_current_reading()
        assert device.connections == 2, "closed behind the first reading, kept from the second on"
        never = plant.connector(device.port, {"a": "holding:0"}, keep_open=False)
        await never.get_current_reading()
        assert plant.line(device.port).connection is None
        always = plant.connector(device.port, {"a": "holding:0"}, keep_open=True)
        await always.get_current_reading()
        assert plant.line(device.port).connection is not None


async def test_an_idle_connection_is_closed(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modbus_line, "KEEP_SECONDS", 0.05)
    async with Device(registers={0: 1}) as device:
        await plant.connector(device.port, {"a": "holding:0"}, keep_open=True).get_current_reading()
        line = plant.line(device.port)
        assert line.connection is not None
        await asyncio.wait_for(device.left.wait(), 5)
        assert line.is_idle


async def test_a_kept_connection_that_died_is_replaced_unnoticed(plant: Plant) -> None:
    async with Device(registers={0: 1}) as device:
        connector = plant.connector(device.port, {"a": "holding:0"}, **FAST, keep_open=True)
        await connector.get_current_reading()
        device.hang_up_on = {2}
        assert (await connector.get_current_reading()).error_code is None
        assert device.connections == 2


async def test_a_device_that_dislikes_used_connections_is_not_offered_them(plant: Plant) -> None:
    async with Device(registers={0: 1}, most_per_connection=1) as device:
        connector = plant.connector(device.port, {"a": "holding:0"}, **FAST, keep_open=True)
        for _ in range(3):
            assert (await connector.get_current_reading()).error_code is None
        device.forget()
        before = device.connections
        for _ in range(3):
            assert (await connector.get_current_reading()).error_code is None
        assert (len(device.requests), device.connections - before) == (3, 3)


async def test_units_with_other_settings_share_the_line_and_not_the_connection(plant: Plant) -> None:
    async with Device(registers={0: 1}) as device:
        signals = {"a": "holding:0"}
        plain = plant.connector(device.port, signals, **FAST, keep_open=True)
        rtu = plant.connector(device.port, signals, **FAST, framing="rtu", unit=2)
        assert (await plain.get_current_reading()).error_code is None
        assert (await rtu.get_current_reading()).error_code is not None, "this device speaks no RTU"
        assert (await plain.get_current_reading()).error_code is None


async def test_cancelling_leaves_the_line_in_order(plant: Plant) -> None:
    async with Device(registers={0: 1}, delay=0.2) as device:
        connector = plant.connector(device.port, {"a": "holding:0"}, keep_open=True)
        for _ in range(3):
            task = asyncio.create_task(connector.get_current_reading())
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        line = plant.line(device.port)
        assert line.is_idle
        assert (await connector.get_current_reading()).error_code is None


async def test_a_pause_between_requests_is_kept(plant: Plant) -> None:
    async with Device(registers={0: 1, 50: 2}) as device:
        connector = plant.connector(device.port, {"a": "holding:0", "b": "holding:50"}, pause_between_requests=0.1)
        begun = asyncio.get_running_loop().time()
        assert (await connector.get_current_reading()).error_code is None
        assert asyncio.get_running_loop().time() - begun >= 0.1


async def test_lines_that_nobody_uses_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modbus_line, "MOST_LINES", 10)
    made = modbus_line.Lines(asyncio.get_running_loop())
    first = made.of("tcp a:1")
    for number in range(30):
        made.of(f"tcp b:{number}")
    assert made.of("tcp a:1") is not first
    made.close()
