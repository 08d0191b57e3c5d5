"""Addresses of a Modbus device, as a person writes them: ``holding:16:float32:CDAB``.

``coil|discrete|input|holding:<address>[:type[:order]]``. Addresses count from 0, as they go over the wire; manuals
mostly count from 1 and put the table in front (40001). That slip is caught and the right form is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

__all__ = ["MAX_STRING", "TABLE_NAMES", "BadModbusAddress", "ModbusAddress", "Order", "Table", "parse_address"]

Table = Literal["coil", "discrete", "input", "holding"]
Order = Literal["ABCD", "BADC", "CDAB", "DCBA"]

MAX_STRING = 240
"""Characters; two to a register."""
SPACE = 65_536
"""Addresses of a table."""
FORM = "coil|discrete|input|holding:<address from 0>[:type[:order]], such as holding:16:float32:CDAB or coil:3"

TABLE_NAMES: dict[Table, str] = {
    "coil": "coil",
    "discrete": "discrete input",
    "input": "input register",
    "holding": "holding register",
}
_REGISTERS = {"int16": 1, "uint16": 1, "int32": 2, "uint32": 2, "float32": 2, "int64": 4, "uint64": 4, "float64": 4}
_ORDERS = ("ABCD", "BADC", "CDAB", "DCBA")
_LEADING: dict[str, Table] = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
"""The digit that manuals put in front of an address, by table."""

_ADDRESS = re.compile(
    r"(?P<table>[a-z]+):(?P<start>[0-9]{1,9}|0x[0-9a-f]{1,8})(?::(?P<type>[a-z0-9]+))?(?::(?P<order>[a-z]+))?"
)
_MANUAL = re.compile(r"(?:[0-9]+!)?(?P<table>[0134])x?(?P<number>[0-9]{4,5})")
_BIT = re.compile(r"bit([0-9]{1,2})")
_STRING = re.compile(r"string([0-9]{1,3})")


class BadModbusAddress(ValueError):
    """It is no address; the message says what would be one."""


@dataclass(frozen=True, slots=True)
class ModbusAddress:
    """Where a value stands and how it is written there."""

    table: Table
    start: int
    """From 0."""
    count: int
    """Registers, or 1 for a coil."""
    type: str
    """``int16`` ... ``float64``, ``bit``, ``string``; ``bool`` for coils and discrete inputs."""
    order: Order = "ABCD"
    bit: int = 0
    length: int = 0
    """Characters of a string."""

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.start + self.count

    @property
    def is_bits(self) -> bool:
        """Does its table hold bits, not registers?"""
        return self.table in ("coil", "discrete")

    @property
    def can_be_written(self) -> bool:
        """Discrete inputs and input registers are the device's own."""
        return self.table in ("coil", "holding")

    @property
    def words(self) -> str:
        """``holding registers 16 and 17``, for people."""
        name = TABLE_NAMES[self.table]
        if self.count == 1:
            return f"{name} {self.start}"
        return f"{name}s {self.start}{' and ' if self.count == 2 else ' to '}{self.end - 1}"


def parse_address(text: str, *, order: Order = "ABCD") -> ModbusAddress:
    """Read an address; ``order`` holds where it names none.

    Raises:
        BadModbusAddress: with the right form.
    """
    written = text.strip().lower()
    match = _ADDRESS.fullmatch(written)
    if match is None:
        raise BadModbusAddress(_manual_hint(written) or f"{text[:60]!r} is no Modbus address: write {FORM}")
    if match["table"] not in TABLE_NAMES:
        raise BadModbusAddress(f"{match['table'][:20]!r} is no table: write {FORM}")
    table = cast("Table", match["table"])
    start = _start(match["start"], table, written)
    chosen = _order(match["order"], order)
    if table in ("coil", "discrete"):
        if match["type"] not in (None, "bool") or match["order"] is not None:
            raise BadModbusAddress(f"a {TABLE_NAMES[table]} is true or false and takes no type: write {table}:{start}")
        found = ModbusAddress(table, start, 1, "bool")
    else:
        found = _register(table, start, match["type"] or "uint16", chosen)
    if found.end > SPACE:
        raise BadModbusAddress(f"it ends at {found.end - 1}, and the last address is {SPACE - 1}")
    return found


def _register(table: Table, start: int, kind: str, order: Order) -> ModbusAddress:
    if kind in _REGISTERS:
        return ModbusAddress(table, start, _REGISTERS[kind], kind, order)
    if bit := _BIT.fullmatch(kind):
        if int(bit[1]) > 15:
            raise BadModbusAddress("a register has the bits bit0 (lowest) to bit15")
        return ModbusAddress(table, start, 1, "bit", order, bit=int(bit[1]))
    if string := _STRING.fullmatch(kind):
        length = int(string[1])
        if not 1 <= length <= MAX_STRING:
            raise BadModbusAddress(f"a string has 1 to {MAX_STRING} characters, such as string10")
        return ModbusAddress(table, start, (length + 1) // 2, "string", order, length=length)
    raise BadModbusAddress(f"{kind[:20]!r} is no type: write one of {', '.join(_REGISTERS)}, bit0 to bit15, string10")


def _order(written: str | None, default: Order) -> Order:
    if written is None:
        return default
    if written.upper() not in _ORDERS:
        raise BadModbusAddress(
            f"{written[:20]!r} is no byte order: write ABCD (as the standard says), CDAB (words swapped), BADC (bytes "
            "swapped) or DCBA (both)"
        )
    return cast("Order", written.upper())


def _start(digits: str, table: Table, written: str) -> int:
    if digits.startswith("0x"):
        start = int(digits, 16)
    else:
        start = int(digits)
        manual = _MANUAL.fullmatch(digits)
        # holding:40001 is nearly always the manual's way of writing. Who means it writes 0x9c41.
        if manual is not None and manual["table"] != "0" and _LEADING[manual["table"]] == table:
            number = int(manual["number"]) - 1
            if len(digits) == 5 and number >= 0:
                tail = written.partition(digits)[2]
                raise BadModbusAddress(
                    f"addresses count from 0 here: what manuals call {digits} is {table}:{number}{tail}. If the device "
                    f"really has an address {start}, write {table}:{start:#x}{tail}"
                )
    if start >= SPACE:
        raise BadModbusAddress(
            _manual_hint(digits) or f"{start} is above the last address, {SPACE - 1}; addresses count from 0"
        )
    return start


def _manual_hint(written: str) -> str | None:
    """``40001``, ``4x0001``, ``400001``, ``1!400001``: what it would be here."""
    digits, _, tail = written.partition(":")
    manual = _MANUAL.fullmatch(digits)
    if manual is None or int(manual["number"]) == 0:
        return None
    table = _LEADING[manual["table"]]
    return (
        f"{digits} is how manuals count, from 1 and with the table in front. Here the table has a name and addresses "
        f"count from 0: write {table}:{int(manual['number']) - 1}{':' + tail if tail else ''}"
    )
