"""Reading Modbus devices: pymodbus' own server, and devices with a character."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from shared.signals import Quality, Reading
from tests.unit.connectors.modbus_bench import NOW, Plant, plant
from tests.unit.connectors.modbus_device import Device

__all__ = ["plant"]

FAST: dict[str, Any] = {"timeout": 2.0, "answer_timeout": 0.1}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def server() -> AsyncIterator[int]:
    """pymodbus' own, with separate tables."""
    holding = [0] * 100
    holding[0], holding[1] = 1853, 0x8000
    holding[16:18] = struct.unpack(">2H", struct.pack(">f", 181.25))[::-1]
    holding[30] = 0b1001
    holding[40:45] = struct.unpack(">5H", b"RYE\0\0\0\0\0\0\0")
    inputs = [SimData(0, values=[3, 21], datatype=DataType.REGISTERS)]
    registers = [SimData(0, values=holding, datatype=DataType.REGISTERS)]
    bits = [SimData(0, values=[True, False, True] + [False] * 13, datatype=DataType.BITS)]
    made = ModbusTcpServer(SimDevice(1, simdata=(bits, bits, registers, inputs)), address=("127.0.0.1", _free_port()))
    await made.serve_forever(background=True)
    yield made.comm_params.source_address[1] if made.comm_params.source_address else 0
    await made.shutdown()  # type: ignore[no-untyped-call]


def _values(reading: Reading) -> dict[str, object]:
    return {key: value.value for key, value in reading.values.items()}


async def test_a_deck_oven(plant: Plant, server: int) -> None:
    connector = plant.connector(
        server,
        {
            "temperature.deck1": {"at": "holding:0:int16", "scale": 0.1, "digits": 1},
            "temperature.probe": {"at": "holding:1:int16", "invalid": [-32768]},
            "temperature.deck2": {"at": "holding:16:float32:CDAB", "min": -40, "max": 150},
            "door.open": "holding:30:bit0",
            "steam": "holding:30:bit1",
            "batch.name": "holding:40:string10",
            "status": {"at": "input:0", "map": {"3": "baking"}},
            "valve": "coil:2",
            "lamp": "discrete:1",
        },
    )
    reading = await connector.get_current_reading()
    assert _values(reading) == {
        "temperature.deck1": 185.3,
        "temperature.probe": None,
        "temperature.deck2": 181.25,
        "door.open": True,
        "steam": False,
        "batch.name": "RYE",
        "status": "baking",
        "valve": True,
        "lamp": False,
    }
    assert list(reading.values) == list(_values(reading)), "in the order of the mapping"
    assert reading.values["temperature.probe"].reason == "sensor sentinel -32768"
    assert reading.values["temperature.deck2"].quality is Quality.UNCERTAIN
    assert (reading.at, reading.quality, reading.error_code) == (NOW, Quality.BAD, None)
    assert reading.response_ms is not None
    tested = await connector.test_connection()
    assert (tested.success, tested.status) == (True, "connected")
    assert tested.error_details == "1 of 9 signals have no value; the first: temperature.probe."
    found = await connector.get_capabilities()
    assert found.temperature_zones == ("deck1", "probe", "deck2")
    assert (found.supports_realtime, found.supports_remote_control) == (True, False)
    await connector.close()


async def test_one_wrong_address_costs_one_signal(plant: Plant) -> None:
    async with Device(registers={0: 5, 1: 6}) as device:
        connector = plant.connector(device.port, {"a": "holding:0", "b": "holding:1", "c": "holding:2:int32"})
        reading = await connector.get_current_reading()
        assert _values(reading) == {"a": 5, "b": 6, "c": None}
        reason = reading.values["c"].reason
        assert reason is not None
        assert "no holding registers 2 and 3 (illegal address, 2)" in reason
        assert reading.error_code is None


async def test_a_gap_that_is_refused_is_read_around_and_remembered(plant: Plant) -> None:
    async with Device(registers={0: 1, 1: 2, 5: 3}) as device:
        signals = {"a": "holding:0", "b": "holding:1", "c": "holding:5"}
        reading = await plant.connector(device.port, signals).get_current_reading()
        assert _values(reading) == {"a": 1, "b": 2, "c": 3}
        assert device.asked() == [(0, 6), (0, 2), (5, 1)]
        device.forget()
        assert _values(await plant.connector(device.port, signals).get_current_reading()) == {"a": 1, "b": 2, "c": 3}
        assert device.asked() == [(0, 2), (5, 1)], "by another connector of the same process too"
        device.forget()
        await plant.connector(device.port, signals, unit=2).get_current_reading()
        assert device.asked()[0] == (0, 6), "another unit is another device"


@pytest.mark.parametrize(
    ("code", "said", "status"),
    [
        (1, "knows no holding registers", "unexpected_answer"),
        (2, "no holding register 7 (illegal address, 2)", "unexpected_answer"),
        (3, "illegal value, 3", "unexpected_answer"),
        (4, "failure of its own (4)", "unexpected_answer"),
        (6, "busy (6)", "throttled"),
        (99, "exception code 99", "unexpected_answer"),
    ],
)
async def test_a_device_that_refuses_everything(plant: Plant, code: int, said: str, status: str) -> None:
    async with Device(refused_functions={3: code}) as device:
        reading = await plant.connector(device.port, {"a": "holding:7"}).get_current_reading()
        assert reading.reason is not None
        assert said in reading.reason
        assert (reading.quality, reading.error_code, reading.values) == (Quality.BAD, status, {})


@pytest.mark.parametrize("code", [10, 11])
async def test_a_gateway_speaks_for_a_unit_that_is_gone(plant: Plant, code: int) -> None:
    async with Device(registers={0: 1, 50: 2}, gateway={7: code}) as device:
        connector = plant.connector(device.port, {"a": "holding:0", "b": "holding:50"}, unit=7)
        reading = await connector.get_current_reading()
        assert reading.error_code == "cannot_connect"
        assert reading.reason is not None
        assert f"unit 7 at 127.0.0.1:{device.port}: the gateway" in reading.reason
        assert len(device.requests) == 1, "the rest is not asked"


async def test_nobody_there(plant: Plant) -> None:
    reading = await plant.connector(_free_port(), {"a": "holding:0"}).get_current_reading()
    assert reading.error_code == "cannot_connect"
    assert "refuses the connection" in (reading.reason or "")


async def test_a_name_that_is_not_found(plant: Plant) -> None:
    connector = plant.connector(502, {"a": "holding:0"}, host="plc.invalid")
    reading = await connector.get_current_reading()
    assert (reading.error_code, "plc.invalid is not found" in (reading.reason or "")) == ("cannot_connect", True)


async def test_no_answer(plant: Plant) -> None:
    async with Device(silent={1}) as device:
        reading = await plant.connector(device.port, {"a": "holding:0"}, **FAST).get_current_reading()
        assert reading.error_code == "timeout"
        assert "does not answer within 0.1 s: is unit 1 right" in (reading.reason or "")
        assert len(device.requests) == 1


async def test_a_device_that_answers_once_per_connection_is_understood(plant: Plant) -> None:
    async with Device(registers={0: 1, 50: 2, 90: 3}, most_per_connection=1) as device:
        signals = {"a": "holding:0", "b": "holding:50", "c": "holding:90"}
        connector = plant.connector(device.port, signals, **FAST, keep_open=False)
        assert _values(await connector.get_current_reading()) == {"a": 1, "b": 2, "c": 3}
        device.forget()
        assert _values(await connector.get_current_reading()) == {"a": 1, "b": 2, "c": 3}
        assert len(device.requests) == 3, "it was understood: one connection per request"


async def test_silence_in_the_middle_keeps_what_was_read(plant: Plant) -> None:
    async with Device(registers={0: 1, 50: 2, 90: 3}, hang_up_on={2, 3}) as device:
        signals = {"a": "holding:0", "b": "holding:50", "c": "holding:90"}
        reading = await plant.connector(device.port, signals, **FAST).get_current_reading()
        assert _values(reading) == {"a": 1, "b": None, "c": None}
        assert (reading.quality, reading.error_code) == (Quality.BAD, None)
        assert "closed the connection" in (reading.values["c"].reason or "")
        assert len(device.requests) == 3, "the last block is not asked any more"


async def test_a_connection_that_ends_in_the_middle(plant: Plant) -> None:
    async with Device(hang_up=True) as device:
        started = asyncio.get_running_loop().time()
        reading = await plant.connector(
            device.port, {"a": "holding:0"}, timeout=5, answer_timeout=4
        ).get_current_reading()
        assert asyncio.get_running_loop().time() - started < 2, "noticed at once, not after answer_timeout"
        assert (reading.error_code, "closed the connection" in (reading.reason or "")) == ("cannot_connect", True)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x03\x04\x00\x01\x00\x02",  # two registers where one was asked for
        b"\x04\x02\x00\x01",  # another function
        b"\x03\xff\x00\x01",  # says 255 bytes, has two
        b"\x03",
        b"\x03\x02",
        b"\x03\x01\x00",
        b"\x63\x02\x00\x01",
        b"\x81\x02",
    ],
    ids=lambda raw: raw.hex(),
)
async def test_what_is_no_answer_is_never_taken_for_one(plant: Plant, raw: bytes) -> None:
    async with Device(raw=raw) as device:
        reading = await plant.connector(device.port, {"a": "holding:0"}, **FAST).get_current_reading()
        assert reading.quality is Quality.BAD
        assert reading.values == {}
        assert reading.error_code in ("unexpected_answer", "timeout")
        assert reading.reason


async def test_whoever_answers_under_another_number_is_named(plant: Plant) -> None:
    async with Device(registers={0: 1}, answers_as=255) as device:
        reading = await plant.connector(device.port, {"a": "holding:0"}, **FAST).get_current_reading()
        assert (reading.error_code, reading.reason) == (
            "unexpected_answer",
            f"127.0.0.1:{device.port} answers as unit 255 when unit 1 is asked: set unit so.",
        )


async def test_a_late_answer_is_never_taken_for_the_next_one(plant: Plant) -> None:
    async with Device(registers={0: 1, 50: 2}, late={1}) as device:
        connector = plant.connector(device.port, {"a": "holding:0"}, **FAST, keep_open=True)
        other = plant.connector(device.port, {"b": "holding:50"}, **FAST, keep_open=True)
        assert (await connector.get_current_reading()).error_code == "timeout"
        assert _values(await other.get_current_reading()) == {"b": 2}
        assert _values(await connector.get_current_reading()) == {"a": 1}


async def test_the_deadline_holds_for_everything_together(plant: Plant) -> None:
    async with Device(registers=dict.fromkeys(range(1_000), 1), delay=0.08) as device:
        signals = {f"s{n}": f"holding:{n * 50}" for n in range(20)}
        connector = plant.connector(device.port, signals, timeout=0.3, answer_timeout=0.2)
        reading = await connector.get_current_reading()
        assert (reading.error_code, reading.quality) == ("timeout", Quality.BAD)
        assert "did not finish answering within 0.3 s" in (reading.reason or "")
        assert plant.line(device.port).connection is None, "an answer on its way must not meet the next question"


async def test_a_process_without_pymodbus_says_so(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "shared.connectors.modbus_wire", raising=False)
    monkeypatch.setitem(sys.modules, "pymodbus.client", None)
    reading = await plant.connector(1, {"a": "holding:0"}).get_current_reading()
    assert reading.error_code == "not_supported"
    assert "set polled_from to relay" in (reading.reason or "")


async def test_the_vetted_address_is_the_one_connected_to(plant: Plant) -> None:
    from shared.outgoing.http import OutgoingHttp
    from shared.outgoing.targets import TargetPolicy

    answers = [["169.254.169.254"], ["127.0.0.1"]]

    async def resolve(host: str, port: int) -> list[str]:
        return answers.pop()

    await plant.http.close()
    plant.http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True, resolve=resolve))
    async with Device(registers={0: 1}) as device:
        connector = plant.connector(device.port, {"a": "holding:0"}, host="plc.example", keep_open=False)
        assert _values(await connector.get_current_reading()) == {"a": 1}
        reading = await connector.get_current_reading()
        assert reading.error_code == "cannot_connect"
        assert "169.254.169.254" in (reading.reason or "")
        assert device.connections == 1
