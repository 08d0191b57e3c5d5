"""Writing to a Modbus device: what may be written, in which form, and what is said when it fails."""

from __future__ import annotations

from typing import Any

import pytest

from shared.connectors.inverse import raw_of
from shared.connectors.mapping import SignalSpec
from shared.connectors.values import value_of
from shared.errors import DeviceError, DeviceProtocolError, DeviceTimeout, InvalidInput
from shared.signals import Quality
from tests.unit.connectors.modbus_bench import Plant, plant
from tests.unit.connectors.modbus_device import Device

__all__ = ["plant"]

FAST: dict[str, Any] = {"timeout": 2.0, "answer_timeout": 0.1}
SIGNALS: dict[str, Any] = {
    "temperature.setpoint": {"at": "holding:0:int16", "scale": 0.1, "min": 30, "max": 300, "writable": True},
    "temperature.core.setpoint": {"at": "holding:1:int16", "unit": "F", "writable": True},
    "temperature.deck1": "holding:2",
    "speed": {"at": "holding:10:float32:CDAB", "writable": True},
    "program": {"at": "holding:20:string6", "writable": True},
    "status": {"at": "holding:30", "map": {"0": "standby", "3": "baking"}, "writable": True},
    "lamp": {"at": "coil:5", "writable": True},
    "steam": {"at": "holding:40:bit9", "writable": True},
    "steam.swapped": {"at": "holding:41:bit0:BADC", "writable": True},
    "counter": {"at": "holding:50:uint32", "invalid": [99], "writable": True},
}
START = {**dict.fromkeys(range(60), 0), 40: 0xFFFF, 41: 0xFFFF}


@pytest.mark.parametrize(
    ("key", "value", "function", "registers"),
    [
        ("temperature.setpoint", 185.3, 6, {0: 1853}),
        ("temperature.core.setpoint", 100, 6, {1: 212}),
        ("speed", 181.25, 16, {10: 0x4000, 11: 0x4335}),
        ("program", "RYE", 16, {20: 0x5259, 21: 0x4500, 22: 0}),
        ("status", "baking", 6, {30: 3}),
        ("counter", 70_000, 16, {50: 1, 51: 4464}),
        ("steam", False, 22, {40: 0xFDFF}),
        ("steam.swapped", False, 22, {41: 0xFEFF}),
    ],
)
async def test_registers(plant: Plant, key: str, value: Any, function: int, registers: dict[int, int]) -> None:
    async with Device(registers=dict(START)) as device:
        back = await plant.connector(device.port, SIGNALS).write(key, value)
        assert {at: device.registers[at] for at in registers} == registers
        assert (back.value, back.quality) == (value, Quality.GOOD)
        assert [request.function for request in device.requests] == [function, 3], "written once, and read back"


async def test_a_coil(plant: Plant) -> None:
    async with Device(coils={5: False}) as device:
        connector = plant.connector(device.port, SIGNALS)
        assert (await connector.write("lamp", True)).value is True
        assert device.coils[5] is True
        assert (await connector.write("lamp", False)).value is False
        assert (await connector.get_capabilities()).supports_remote_control


@pytest.mark.parametrize(
    ("key", "value", "field", "said"),
    [
        ("temperature.nowhere", 1, "signal", "no signal of this device"),
        ("temperature.deck1", 1, "signal", "does not say writable"),
        ("temperature.setpoint", 301, "value", "301 C is above the maximum of 300 C"),
        ("temperature.setpoint", 29.9, "value", "below the minimum of 30 C"),
        ("temperature.setpoint", "hot", "value", "needs a number"),
        ("temperature.setpoint", True, "value", "needs a number"),
        ("temperature.setpoint", None, "value", "needs a value"),
        ("temperature.setpoint", float("nan"), "value", "needs a value"),
        ("temperature.core.setpoint", 20_000, "value", "would be 36032 in the device, and int16 goes from -32768"),
        ("speed", 1e39, "value", "does not fit into float32"),
        ("program", "BAGUETTE", "value", "longer than 6 bytes"),
        ("program", 5, "value", "needs a text"),
        ("status", "dancing", "value", "takes one of standby, baking"),
        ("counter", 99, "value", "understands 99 as *no value*"),
        ("counter", -1, "value", "uint32 goes from 0"),
        ("counter", "many", "value", "needs a number"),
        ("lamp", "perhaps", "value", "true or false"),
        ("steam", 2, "value", "true or false"),
    ],
)
async def test_what_is_refused_before_anything_is_sent(
    plant: Plant, key: str, value: Any, field: str, said: str
) -> None:
    async with Device(registers=dict(START), coils={5: False}) as device:
        with pytest.raises(InvalidInput) as refused:
            await plant.connector(device.port, SIGNALS).write(key, value)
        assert said in refused.value.detail
        assert refused.value.problems[0].field == field
        assert device.connections == 0


@pytest.mark.parametrize(
    ("key", "value", "function", "code", "said"),
    [
        ("speed", 1.0, 16, 1, "lets nobody write its holdings"),
        ("speed", 1.0, 16, 2, "no holding registers 10 and 11 that can be written"),
        ("speed", 1.0, 16, 3, "does not accept this value for holding registers 10 and 11"),
        ("speed", 1.0, 16, 4, "failure of its own"),
        ("steam", True, 22, 1, "cannot change a single bit"),
        ("lamp", True, 5, 2, "no coil 5 that can be written"),
    ],
)
async def test_a_refusal_names_the_address(
    plant: Plant, key: str, value: Any, function: int, code: int, said: str
) -> None:
    async with Device(registers=dict(START), coils={5: False}, refused_functions={function: code}) as device:
        with pytest.raises(DeviceProtocolError, match=f"unit 1 at 127.0.0.1:{device.port}") as refused:
            await plant.connector(device.port, SIGNALS).write(key, value)
        assert said in refused.value.detail
        assert device.registers == START


async def test_a_device_with_a_mind_of_its_own_is_shown_as_it_is(plant: Plant) -> None:
    async with Device(registers=dict(START), read_only=True) as device:
        back = await plant.connector(device.port, SIGNALS).write("counter", 5)
        assert (back.value, back.quality) == (0, Quality.UNCERTAIN)
        assert "reads back another value" in (back.reason or "")


async def test_an_order_without_an_answer_is_not_repeated(plant: Plant) -> None:
    async with Device(registers=dict(START), silent={1}) as device:
        connector = plant.connector(device.port, SIGNALS, **FAST, keep_open=True)
        with pytest.raises(DeviceTimeout, match="may have been written all the same"):
            await connector.write("counter", 5)
        assert [request.function for request in device.requests] == [16]
        device.silent.clear()
        await connector.get_current_reading()
        before = device.connections
        await connector.write("counter", 6)
        assert device.connections == before + 1, "never over a kept connection"


async def test_a_device_that_is_away_was_not_written(plant: Plant) -> None:
    async with Device() as device:
        port = device.port
    with pytest.raises(DeviceError, match="refuses the connection") as refused:
        await plant.connector(port, SIGNALS).write("counter", 5)
    assert "may have been" not in refused.value.detail


async def test_a_write_that_cannot_be_read_back_says_so(plant: Plant) -> None:
    async with Device(registers=dict(START), refused_functions={3: 4}) as device:
        with pytest.raises(DeviceProtocolError, match="counter was written, and cannot be read back"):
            await plant.connector(device.port, SIGNALS).write("counter", 5)


@pytest.mark.parametrize(
    ("key", "spec", "value"),
    [
        ("temperature.a", {"scale": 0.1, "offset": -40}, 185.5),
        ("temperature.a", {"unit": "F", "scale": 0.5}, 180.0),
        ("level", {"scale": 3, "offset": 1}, 10),
        ("status", {"map": {"1": "on", "2": "off"}}, "off"),
        ("door.open", {"map": {"open": True, "closed": False}}, False),
        ("anything", {}, "as it is"),
    ],
)
def test_a_written_value_reads_as_the_same(key: str, spec: dict[str, Any], value: Any) -> None:
    mapped = SignalSpec(at="x", **spec)
    back = value_of(key, raw_of(key, value, mapped), mapped).value
    assert back == (pytest.approx(value) if isinstance(value, float) else value)
