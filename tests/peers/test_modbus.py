"""Modbus against libmodbus and modbus-serial: what is read, what is written, and what is said when it does not work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from shared.clock import SystemClock
from shared.connectors import Connector, Connectors
from shared.errors import DeviceProtocolError, DeviceTimeout
from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy
from shared.signals import Quality, Reading, Value
from tests.peers.conftest import ScriptedServer
from tests.peers.modbus_servers import SerialLine, build_libmodbus, libmodbus, modbus_serial
from tests.peers.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("modbus")]

FAST: dict[str, Any] = {"timeout": 3.0, "answer_timeout": 0.3}
PROBES = {"here": "holding:0"}


class World:
    """Our connectors, as one process has them."""

    def __init__(self) -> None:
        self.http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True))
        self.connectors = Connectors(self.http, SystemClock())

    def open(self, endpoint: int | str, signals: dict[str, Any], **options: Any) -> Connector:
        """A connector; a number is a port of loopback."""
        at = f"modbus+tcp://127.0.0.1:{endpoint}" if isinstance(endpoint, int) else endpoint
        config = {"endpoint": at, "additional_config": {"signals": signals, **options}}
        return self.connectors.open(protocol="modbus", equipment_id="oven-1", config=config)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.connectors.close()
    await made.http.close()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_libmodbus(tmp_path_factory.mktemp("libmodbus"))


@pytest.fixture
def oven(program: Path) -> Iterator[ScriptedServer]:
    """The deck oven on libmodbus, over TCP."""
    server = libmodbus(program, "tcp")
    yield server
    server.stop()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[ScriptedServer]:
    """Sixty units behind one address, on modbus-serial."""
    server = modbus_serial(tmp_path, "tcp")
    yield server
    server.stop()


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[SerialLine]:
    line = SerialLine(tmp_path)
    yield line
    line.pull()


def _values(reading: Reading) -> dict[str, object]:
    return {key: value.value for key, value in reading.values.items()}


OVEN = {
    "temperature.deck1": {"at": "holding:0:int16", "scale": 0.1, "digits": 1},
    "temperature.probe": {"at": "holding:1:int16", "invalid": [32767]},
    "below": "holding:2:int16",
    "above": "holding:3",
    "pieces": "holding:24:uint32:CDAB",
    "door.open": "holding:30:bit0",
    "steam": "holding:30:bit1",
    "batch.name": "holding:40:string10",
    "speed": "input:7",
    "valve": "coil:3",
    "valve.last": "coil:2100",
    "lamp": "discrete:1",
}
OVEN_VALUES = {
    "temperature.deck1": 185.3,
    "temperature.probe": None,
    "below": -5,
    "above": 65535,
    "pieces": 70000,
    "door.open": True,
    "steam": False,
    "batch.name": "RYE",
    "speed": 107,
    "valve": True,
    "valve.last": True,
    "lamp": False,
}


async def test_a_deck_oven_on_libmodbus(world: World, oven: ScriptedServer) -> None:
    # libmodbus' MODBUS_SET_INT32_TO_INT16 writes the high register first.
    signals = OVEN | {"pieces": "holding:24:uint32"}
    reading = await world.open(oven.ready["port"], signals).get_current_reading()
    assert _values(reading) == OVEN_VALUES
    assert reading.values["temperature.probe"].reason == "sensor sentinel 32767"
    tested = await world.open(oven.ready["port"], signals).test_connection()
    assert (tested.success, tested.status) == (True, "connected")


async def test_all_four_byte_orders_of_libmodbus_own_encoders(world: World, oven: ScriptedServer) -> None:
    # Its names are not what goes over the wire (reference/equipment.md section 3): abcd is BADC there.
    at = {"abcd": (10, "BADC"), "dcba": (12, "CDAB"), "badc": (14, "ABCD"), "cdab": (16, "DCBA")}
    signals = {name: f"holding:{start}:float32:{order}" for name, (start, order) in at.items()}
    reading = await world.open(oven.ready["port"], signals).get_current_reading()
    assert _values(reading) == dict.fromkeys(at, 181.25)


async def test_a_gap_that_libmodbus_refuses(world: World, oven: ScriptedServer) -> None:
    signals = {"a": "holding:16:uint16", "b": "holding:17", "c": "holding:24", "gone": "holding:21"}
    reading = await world.open(oven.ready["port"], signals).get_current_reading()
    assert (reading.values["b"].quality, reading.values["c"].value) == (Quality.GOOD, 1)
    assert "no holding register 21 (illegal address, 2)" in (reading.values["gone"].reason or "")
    reading = await world.open(oven.ready["port"], {"beyond": "holding:250"}).get_current_reading()
    assert reading.error_code == "unexpected_answer"
    assert "no holding register 250" in (reading.reason or "")


async def test_writing_to_libmodbus(world: World, oven: ScriptedServer) -> None:
    signals: dict[str, Any] = {
        "temperature.setpoint": {"at": "holding:50:int16", "scale": 0.1, "min": 30, "max": 300, "writable": True},
        "speed": {"at": "holding:52:float64:DCBA", "writable": True},
        "program": {"at": "holding:60:string8", "writable": True},
        "steam": {"at": "holding:30:bit1", "writable": True},
        "door.open": "holding:30:bit0",
        "valve": {"at": "coil:7", "writable": True},
        "nowhere": {"at": "holding:500", "writable": True},
    }
    connector = world.open(oven.ready["port"], signals)
    orders: dict[str, Value] = {
        "temperature.setpoint": 230.5,
        "speed": -12.75,
        "program": "RYE",
        "steam": True,
        "valve": True,
    }
    for key, value in orders.items():
        back = await connector.write(key, value)
        assert (back.value, back.quality) == (value, Quality.GOOD), key
    signals.pop("nowhere")
    reading = await world.open(oven.ready["port"], signals).get_current_reading()
    assert reading.values["door.open"].value is True, "the other bits of the register are as they were"
    with pytest.raises(DeviceProtocolError, match="no holding register 500 that can be written"):
        await connector.write("nowhere", 1)


async def test_a_restart_is_over_with_the_next_poll(world: World, oven: ScriptedServer) -> None:
    connector = world.open(oven.ready["port"], PROBES, **FAST, keep_open=True)
    assert (await connector.get_current_reading()).error_code is None
    await oven.tell("stop")
    reading = await connector.get_current_reading()
    assert (reading.error_code, "refuses the connection" in (reading.reason or "")) == ("cannot_connect", True)
    await oven.tell("start")
    assert (await connector.get_current_reading()).error_code is None


@pytest.mark.parametrize("keep_open", [True, False])
async def test_a_pulled_cable(world: World, oven: ScriptedServer, keep_open: bool) -> None:
    async with TcpProxy("127.0.0.1", oven.ready["port"]) as proxy:
        connector = world.open(proxy.port, PROBES, timeout=1.0, answer_timeout=0.3, keep_open=keep_open)
        assert (await connector.get_current_reading()).error_code is None
        await proxy.set("black-hole")
        for _ in range(3):
            begun = monotonic()
            reading = await connector.get_current_reading()
            assert (reading.quality, reading.error_code, reading.values) == (Quality.BAD, "timeout", {})
            assert monotonic() - begun < 1.5, "the deadline is hard"
        await proxy.set("pass")
        assert (await connector.get_current_reading()).error_code is None, "the next one succeeds"


@pytest.mark.parametrize("keep_open", [True, False])
async def test_a_connection_that_is_cut(world: World, oven: ScriptedServer, keep_open: bool) -> None:
    async with TcpProxy("127.0.0.1", oven.ready["port"]) as proxy:
        connector = world.open(proxy.port, PROBES, **FAST, keep_open=keep_open)
        assert (await connector.get_current_reading()).error_code is None
        await proxy.set("reset")
        reading = await connector.get_current_reading()
        assert reading.error_code == "cannot_connect"
        await proxy.set("refuse")
        assert "refuses the connection" in ((await connector.get_current_reading()).reason or "")
        await proxy.set("pass")
        assert (await connector.get_current_reading()).error_code is None


async def test_answers_that_were_held_up_are_not_taken_for_others(world: World, oven: ScriptedServer) -> None:
    async with TcpProxy("127.0.0.1", oven.ready["port"]) as proxy:
        one = world.open(proxy.port, {"x": "input:1"}, **FAST, keep_open=True)
        other = world.open(proxy.port, {"x": "input:2"}, **FAST, keep_open=True)
        assert _values(await one.get_current_reading()) == {"x": 101}
        await proxy.set("hold")
        assert (await one.get_current_reading()).error_code == "timeout"
        await proxy.set("pass")
        for _ in range(5):
            assert _values(await other.get_current_reading()) == {"x": 102}
            assert _values(await one.get_current_reading()) == {"x": 101}


async def test_many_units_behind_one_gateway(world: World, gateway: ScriptedServer) -> None:
    await gateway.tell("delay", ms=20)
    units = [world.open(gateway.ready["port"], {"x": "holding:5", "y": "input:6"}, unit=unit) for unit in range(1, 26)]
    readings = await asyncio.gather(*(one.get_current_reading() for one in units))
    assert [_values(reading) for reading in readings] == [
        {"x": 100 * unit + 5, "y": 100 * unit + 6} for unit in range(1, 26)
    ]


async def test_a_unit_that_is_gone_does_not_delay_the_others(world: World, gateway: ScriptedServer) -> None:
    port = gateway.ready["port"]
    units = [world.open(port, PROBES, **FAST, unit=unit) for unit in (1, 2, 3, 4)]
    silent, reported = (world.open(port, PROBES, **FAST, unit=unit) for unit in (200, 201))
    await asyncio.gather(*(one.get_current_reading() for one in units))
    first = await reported.get_current_reading()
    assert first.error_code == "cannot_connect"
    assert "the gateway gets no answer from this unit (11)" in (first.reason or "")
    assert (await silent.get_current_reading()).error_code == "timeout"
    begun = monotonic()
    for _ in range(5):
        readings = await asyncio.gather(*(one.get_current_reading() for one in (*units, silent, reported)))
        assert [reading.error_code for reading in readings] == [None, None, None, None, "timeout", "timeout"]
    assert monotonic() - begun < 5 * FAST["answer_timeout"], "five rounds in less than one round with its silence"
    await gateway.tell("hide", unit=4)
    assert (await units[3].get_current_reading()).error_code == "timeout"
    await gateway.tell("show", unit=4)
    assert (await units[3].test_connection()).success
    assert (await units[3].get_current_reading()).error_code is None


async def test_modbus_serial_is_strict_too(world: World, gateway: ScriptedServer) -> None:
    signals = {"a": "holding:98", "b": "holding:99", "c": "holding:104", "coil": "coil:4"}
    reading = await world.open(gateway.ready["port"], signals, unit=3).get_current_reading()
    assert _values(reading) == {"a": 398, "b": 399, "c": None, "coil": True}


async def test_rtu_over_a_serial_line_to_libmodbus(world: World, program: Path, bus: SerialLine) -> None:
    server = libmodbus(program, "rtu", bus.theirs, "7")
    try:
        endpoint = f"modbus+rtu://{bus.ours}?baud=9600&parity=N"
        reading = await world.open(endpoint, OVEN | {"pieces": "holding:24:uint32"}, unit=7).get_current_reading()
        assert _values(reading) == OVEN_VALUES
        back = await world.open(
            endpoint, {"temperature.setpoint": {"at": "holding:50", "writable": True}}, unit=7
        ).write("temperature.setpoint", 200)
        assert back.value == 200
        absent = await world.open(endpoint, PROBES, **FAST, unit=9).get_current_reading()
        assert absent.error_code == "timeout"
        assert "are A and B of the bus cable not swapped" in (absent.reason or "")
        begun = monotonic()
        again = await world.open(endpoint, PROBES, **FAST, unit=9).get_current_reading()
        assert "asked again only after" in (again.reason or "")
        assert monotonic() - begun < FAST["answer_timeout"]
        # libmodbus takes the next frame for the absent unit's answer and stays silent; it is asked a second time.
        assert (await world.open(bus.ours, PROBES, **FAST, unit=7).get_current_reading()).error_code is None
    finally:
        server.stop()


async def test_many_units_on_a_serial_line(world: World, tmp_path: Path, bus: SerialLine) -> None:
    server = modbus_serial(tmp_path, "rtu", bus.theirs)
    try:
        units = [world.open(bus.ours, {"x": "holding:5"}, **FAST, unit=unit) for unit in (1, 2, 3, 200)]
        for _ in range(3):
            readings = await asyncio.gather(*(one.get_current_reading() for one in units))
            assert [_values(reading) for reading in readings[:3]] == [{"x": 105}, {"x": 205}, {"x": 305}]
            assert readings[3].error_code == "timeout"
        asked = (await server.tell("asked"))["units"]
        assert asked.count(200) == 1, "left alone after the first time"
    finally:
        server.stop()


async def test_an_order_over_a_serial_line_is_never_given_twice(world: World, tmp_path: Path, bus: SerialLine) -> None:
    server = modbus_serial(tmp_path, "rtu", bus.theirs)
    try:
        connector = world.open(bus.ours, {"x": {"at": "holding:5", "writable": True}}, **FAST, unit=2)
        assert (await connector.write("x", 7)).value == 7
        await server.tell("hide", unit=2)
        await server.tell("asked")
        with pytest.raises(DeviceTimeout, match="may have been written all the same"):
            await connector.write("x", 8)
        assert (await server.tell("asked"))["units"] == [2], "a reading would be asked for a second time"
    finally:
        server.stop()


async def test_a_serial_port_that_cannot_be_opened_says_why(world: World, bus: SerialLine) -> None:
    reading = await world.open("/dev/ttyNotThere0", PROBES).get_current_reading()
    assert reading.error_code == "cannot_connect"
    assert "There is no serial port /dev/ttyNotThere0 on this machine" in (reading.reason or "")
    reading = await world.open(f"modbus+rtu://{bus.ours}?parity=E", PROBES).get_current_reading()
    assert "does not take 9600 baud, parity E, 1 stop bits" in (reading.reason or "")  # a pty knows no parity
    reading = await world.open("/dev/null", PROBES).get_current_reading()
    assert (reading.quality, reading.error_code) == (Quality.BAD, "cannot_connect")


async def test_an_adapter_that_is_pulled_out(world: World, program: Path, bus: SerialLine) -> None:
    server = libmodbus(program, "rtu", bus.theirs, "1")
    try:
        connector = world.open(bus.ours, PROBES, **FAST, keep_open=True)
        assert (await connector.get_current_reading()).error_code is None
        bus.pull()
        for _ in range(2):
            reading = await connector.get_current_reading()
            assert (reading.quality, reading.values) == (Quality.BAD, {})
            assert reading.error_code in ("cannot_connect", "timeout")
    finally:
        server.stop()
