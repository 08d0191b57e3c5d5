"""The configuration of a Modbus device: what is accepted, and that whatever is wrong is named."""

from __future__ import annotations

from typing import Any

import pytest

from shared.connectors import ConnectorFactory
from shared.connectors.modbus_place import NetworkPlace, SerialPlace
from shared.connectors.modbus_plan import ModbusPlan, plan
from shared.connectors.profiles import profile_of
from shared.errors import InvalidInput, UnsafeTarget
from shared.outgoing.targets import TargetPolicy

SIGNALS = {"temperature.deck1": {"at": "holding:0:int16", "scale": 0.1}}
PLANT = TargetPolicy(allow_private=True, allow_http=True)
CLOUD = TargetPolicy(allow_private=False, allow_http=False)


def _config(endpoint: str = "10.0.0.9", port: int | None = None, **options: Any) -> dict[str, Any]:
    return {"endpoint": endpoint, "port": port, "additional_config": {"signals": SIGNALS, **options}}


def _plan(config: dict[str, Any], targets: TargetPolicy = PLANT) -> ModbusPlan:
    profile = profile_of("modbus")
    assert profile is not None
    return plan(config, profile, "oven-1", targets)


@pytest.mark.parametrize(
    ("config", "place"),
    [
        (_config(), NetworkPlace("10.0.0.9", 502, "tcp")),
        (_config(port=1502), NetworkPlace("10.0.0.9", 1502, "tcp")),
        (_config("modbus+tcp://PLC.local:503"), NetworkPlace("plc.local", 503, "tcp")),
        (_config("modbus+tcp://[fd00::9]/", port=503), NetworkPlace("fd00::9", 503, "tcp")),
        (_config(framing="rtu"), NetworkPlace("10.0.0.9", 502, "rtu")),
        (_config("/dev/ttyUSB0"), SerialPlace("/dev/ttyUSB0", 9600, "N", 1)),
        (
            _config("/dev/serial/by-id/usb-FTDI_FT232R-if00", baudrate=19200, parity="even", stop_bits=2),
            SerialPlace("/dev/serial/by-id/usb-FTDI_FT232R-if00", 19200, "E", 2),
        ),
        (_config("modbus+rtu:///dev/ttyUSB0?baud=38400&parity=O&stop=2"), SerialPlace("/dev/ttyUSB0", 38400, "O", 2)),
        (_config("modbus+rtu://COM3", baudrate=1200), SerialPlace("COM3", 1200, "N", 1)),
    ],
)
def test_where_it_is(config: dict[str, Any], place: object) -> None:
    assert _plan(config).place == place


@pytest.mark.parametrize(
    ("config", "field", "said"),
    [
        (_config("modbus+tcp://10.0.0.9:502", port=503), "port", "contradicts"),
        (_config("modbus+tcp://10.0.0.9/unit/3"), "endpoint", "path"),
        (_config("https://10.0.0.9"), "endpoint", "modbus+tcp://"),
        (_config("/etc/passwd"), "endpoint", "no serial port"),
        (_config("/dev/../etc/passwd"), "endpoint", "no serial port"),
        (_config("/dev/x/../../etc/passwd"), "endpoint", "no serial port"),
        (_config("modbus+rtu:///dev/x/../../etc/passwd"), "endpoint", "no serial port"),
        (_config("modbus+rtu:///etc/passwd"), "endpoint", "no serial port"),
        (_config("modbus+rtu://socket://10.0.0.9:80"), "endpoint", "no serial port"),
        (_config("modbus+rtu:///dev/ttyUSB0?speed=9600"), "endpoint", "baud, parity and stop"),
        (_config("modbus+rtu:///dev/ttyUSB0?baud=fast"), "endpoint", "number"),
        (_config("modbus+rtu:///dev/ttyUSB0?parity=X"), "endpoint", "parity"),
        (_config("/dev/ttyUSB0", port=502), "port", "network"),
        (_config("/dev/ttyUSB0", framing="tcp"), "additional_config.framing", "serial"),
        (_config("/dev/ttyUSB0", unit=0), "additional_config.unit", "1 to 247"),
        (_config("/dev/ttyUSB0", unit=248), "additional_config.unit", "1 to 247"),
        (_config(unit=256), "additional_config.unit", "255"),
        (_config(byte_order="ABDC"), "additional_config.byte_order", "ABCD"),
        (_config(answer_timeout=9), "additional_config", "answer_timeout is longer"),
        (_config(base=[1]), "additional_config.base", "not known"),
        (_config(baud_rate=9600), "additional_config.baud_rate", "did you mean baudrate"),
        ({"endpoint": "10.0.0.9", "additional_config": {}}, "additional_config.signals", "register map"),
        (_config(signals={"a": "40001"}), "additional_config.signals['a'].at", "write holding:0"),
        (_config(signals={"a": "holding:{deck}"}), "additional_config.signals['a'].at", "{deck}, which has no value"),
        (_config(signals={"a": {"at": "input:3", "writable": True}}), "additional_config.signals['a'].at", "written"),
        (
            _config(signals={"a": "holding:0:string80"}, max_registers=30),
            "additional_config.signals['a'].at",
            "needs 40 registers",
        ),
        (
            _config(signals={"temperature.a": {"at": "input:3", "unit": "K"}}),
            "additional_config.signals['temperature.a'].unit",
            "C or F",
        ),
        (_config() | {"credentials": {"password": "hidden-thing"}}, "credentials", "no credentials"),
    ],
)
def test_what_is_wrong_is_named(config: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        _plan(config)
    assert refused.value.problems[0].field == field
    assert said in refused.value.detail
    assert "hidden-thing" not in refused.value.detail


def test_every_wrong_address_is_named_at_once() -> None:
    with pytest.raises(InvalidInput) as refused:
        _plan(_config(signals={"a": "40001", "b": "holding:2", "c": "coil:x"}))
    fields = [problem.field for problem in refused.value.problems]
    assert fields == ["additional_config.signals['a'].at", "additional_config.signals['c'].at"]


def test_one_template_serves_many_decks() -> None:
    found = _plan(_config(signals={"temperature.deck": "input:{base}:int16"}, base=200, unit=7))
    assert (found.signals[0].address.start, found.unit, found.where) == (200, 7, "unit 7 at 10.0.0.9:502")


def test_a_byte_order_for_all_and_one_for_one() -> None:
    found = _plan(_config(signals={"a": "input:0:int32", "b": "input:2:int32:DCBA"}, byte_order="cdab"))
    assert [signal.address.order for signal in found.signals] == ["CDAB", "DCBA"]


def test_private_addresses_and_serial_ports_belong_to_the_plant() -> None:
    with pytest.raises(UnsafeTarget, match="private"):
        _plan(_config(), CLOUD)
    with pytest.raises(UnsafeTarget, match="polled_from to relay"):
        _plan(_config("/dev/ttyUSB0"), CLOUD)
    with pytest.raises(UnsafeTarget):
        _plan(_config("169.254.169.254"), PLANT)


def test_salva_is_modbus_with_a_map_of_the_site() -> None:
    assert {"modbus", "salva"} <= set(ConnectorFactory.protocols())
    profile = profile_of("salva")
    assert profile is not None
    assert not profile.verified
    ConnectorFactory.check("salva", _config())
    with pytest.raises(InvalidInput, match="protocol salva knows no registers by itself"):
        ConnectorFactory.check("salva", {"endpoint": "10.0.0.9"})


def test_a_place_needs_no_network_to_be_checked() -> None:
    given = _plan(_config("plc.that.does.not.exist.example"))
    assert given.place.words == "plc.that.does.not.exist.example:502"
