"""Where a Modbus device is: an address on the network, or a serial port of this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import get_args
from urllib.parse import parse_qsl

from shared.connectors.modbus_config import Framing, ModbusConfig, Parity
from shared.errors import InvalidInput, UnsafeTarget
from shared.outgoing.targets import TargetPolicy
from shared.outgoing.urls import split_url

__all__ = ["NetworkPlace", "Place", "SerialPlace", "is_serial", "place_of"]

TCP = ("modbus+tcp",)
RTU = "modbus+rtu://"

# Only what looks like a port: pyserial would open sockets and files for other names.
_PORT = re.compile(r"/dev/(?!.*\.\.)[A-Za-z][A-Za-z0-9._:/-]{0,200}|(?:\\\\\.\\)?COM[0-9]{1,3}")
_SERIAL_OPTIONS = {
    "baud": "baudrate", "baudrate": "baudrate", "parity": "parity", "stop": "stop_bits", "stopbits": "stop_bits",
    "stop_bits": "stop_bits",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class NetworkPlace:
    """A host and a port."""

    host: str
    port: int
    framing: Framing

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.host}:{self.port}"

    @property
    def line(self) -> str:
        """Devices with the same one share a connection."""
        return f"tcp {self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class SerialPlace:
    """A serial port of this machine and how it speaks; always eight data bits, as RTU demands."""

    port: str
    baudrate: int
    parity: Parity
    stop_bits: int

    framing: Framing = "rtu"

    @property
    def words(self) -> str:
        """For people."""
        return self.port

    @property
    def line(self) -> str:
        """Devices with the same one share a connection."""
        return f"serial {self.port}"


Place = NetworkPlace | SerialPlace


def is_serial(endpoint: str) -> bool:
    """Is this the name of a serial port?"""
    return endpoint.lower().startswith(RTU) or _PORT.fullmatch(endpoint.strip()) is not None


def place_of(given: ModbusConfig, targets: TargetPolicy) -> Place:
    """Where the configuration points.

    Raises:
        InvalidInput: naming the field.
        UnsafeTarget: we do not connect there.
    """
    if is_serial(given.endpoint):
        return _serial(given, targets)
    if given.endpoint.startswith("/"):
        raise InvalidInput(
            "endpoint is no serial port: write /dev/ttyUSB0 or modbus+rtu:///dev/ttyUSB0.", field="endpoint"
        )
    written = given.endpoint if "://" in given.endpoint else f"{TCP[0]}://{given.endpoint}"
    targets.check_url(written, field="endpoint", schemes=TCP)
    parts = split_url(written, field="endpoint", schemes=TCP)
    if parts.rest.strip("/"):
        raise InvalidInput(
            "endpoint has a path, which Modbus does not know: write modbus+tcp://host:502.", field="endpoint"
        )
    if given.port is not None and parts.port_written and given.port != parts.port:
        raise InvalidInput(
            f"port {given.port} contradicts the port {parts.port} in endpoint: leave one of them out.", field="port"
        )
    port = given.port if given.port is not None else parts.port
    return NetworkPlace(parts.host, port, given.additional_config.framing or "tcp")


def _serial(given: ModbusConfig, targets: TargetPolicy) -> SerialPlace:
    options = given.additional_config
    _own_machine(targets)
    if given.port is not None:
        raise InvalidInput("port is for network addresses: a serial port stands in endpoint.", field="port")
    if options.framing == "tcp":
        raise InvalidInput(
            "additional_config.framing tcp is not possible on a serial port: leave it out.",
            field="additional_config.framing",
        )
    if options.unit == 0 or options.unit > 247:
        raise InvalidInput(
            "additional_config.unit: on a serial line units have the numbers 1 to 247.", field="additional_config.unit"
        )
    port, said = _split(given.endpoint.strip())
    return SerialPlace(
        port,
        baudrate=_number(said.get("baudrate"), options.baudrate, 300, 1_000_000),
        parity=_parity(said.get("parity"), options.parity),
        stop_bits=_number(said.get("stop_bits"), options.stop_bits, 1, 2),
    )


def _own_machine(targets: TargetPolicy) -> None:
    """A process that may not reach the plant's network has no business at the machine's ports either."""
    try:
        targets.vet("serial", ("127.0.0.1",))
    except UnsafeTarget:
        raise UnsafeTarget(
            "endpoint is a serial port, which only a relay in the plant has: set polled_from to relay.",
            field="endpoint",
        ) from None


def _split(endpoint: str) -> tuple[str, dict[str, str]]:
    """The port, and what the URL says about it."""
    if not endpoint.lower().startswith(RTU):
        return endpoint, {}
    path, _, query = endpoint[len(RTU) :].partition("?")
    port = path if path.startswith("/dev/") else path.lstrip("/")
    if _PORT.fullmatch(port) is None:
        raise InvalidInput(
            "endpoint names no serial port: write modbus+rtu:///dev/ttyUSB0?baud=9600&parity=N.", field="endpoint"
        )
    said: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name.lower() not in _SERIAL_OPTIONS:
            raise InvalidInput(
                f"endpoint has {name[:20]!r}, which is not known: baud, parity and stop can stand there.",
                field="endpoint",
            )
        said[_SERIAL_OPTIONS[name.lower()]] = value
    return port, said


def _number(text: str | None, default: int, least: int, most: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and least <= int(text[:9]) <= most):
        raise InvalidInput(f"endpoint: write a number from {least} to {most} for its serial options.", field="endpoint")
    return int(text)


def _parity(text: str | None, default: Parity) -> Parity:
    if text is None:
        return default
    for known in get_args(Parity):
        if text.upper()[:1] == known:
            return known  # type: ignore[no-any-return]
    raise InvalidInput("endpoint: parity is N (none), E (even) or O (odd).", field="endpoint")
