"""From registers to values and back, in all four byte orders. Pure.

A register is two bytes. Which of a value's bytes come first is the maker's choice: with the bytes of a number named
ABCD from the highest down, ABCD is the standard's way, CDAB has the registers swapped, BADC the bytes inside each
register, DCBA both. pymodbus knows only the first two (reference/equipment.md section 3), so it is done here.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from shared.connectors.modbus_address import ModbusAddress, Order

__all__ = ["decode", "encode", "limits"]

_FORMATS = {
    "int16": ">h",
    "uint16": ">H",
    "int32": ">i",
    "uint32": ">I",
    "float32": ">f",
    "int64": ">q",
    "uint64": ">Q",
    "float64": ">d",
}


def decode(address: ModbusAddress, words: Sequence[int]) -> bool | int | float | str:
    """The value in these registers (or the one coil) at ``address``."""
    if address.is_bits:
        return bool(words[0])
    data = _swapped(struct.pack(f">{len(words)}H", *words), address.order)
    if address.type == "bit":
        return bool(int.from_bytes(data, "big") >> address.bit & 1)
    if address.type == "string":
        text = data[: address.length].split(b"\0", 1)[0]
        return text.decode("utf-8", "replace").strip()
    value: int | float = struct.unpack(_FORMATS[address.type], data)[0]
    return _shortest(value) if address.type == "float32" else value


def encode(address: ModbusAddress, value: float | str) -> list[int]:
    """The registers that hold ``value``; not for bits.

    Raises:
        ValueError: it does not fit.
    """
    if address.type == "string":
        data = str(value).encode("utf-8")
        if len(data) > address.length:
            raise ValueError(f"the text is longer than {address.length} bytes")
        data = data.ljust(2 * address.count, b"\0")
    else:
        try:
            data = struct.pack(_FORMATS[address.type], value)
        except (struct.error, OverflowError):
            raise ValueError(f"{value} does not fit into {address.type}") from None
    return list(struct.unpack(f">{address.count}H", _swapped(data, address.order)))


def limits(kind: str) -> tuple[int, int] | None:
    """Least and largest of a whole-number type; ``None`` for the others."""
    if not kind.lstrip("u").startswith("int"):
        return None
    bits = int(kind.partition("int")[2])
    return (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _swapped(data: bytes, order: Order) -> bytes:
    """To big-endian from ``order``, and back: each of the four is its own inverse."""
    if order in ("DCBA", "CDAB"):
        pairs = [data[n : n + 2] for n in range(0, len(data), 2)]
        data = b"".join(reversed(pairs))
    if order in ("DCBA", "BADC"):
        swapped = bytearray(data)
        swapped[::2], swapped[1::2] = data[1::2], data[::2]
        data = bytes(swapped)
    return data


def _shortest(value: float) -> float:
    """``180.1`` for the 32-bit number that is nearest to it, not ``180.10000610351562``."""
    if not math.isfinite(value) or (abs(value) < 2**24 and value.is_integer()):
        return value
    packed = struct.pack(">f", value)
    for digits in (6, 7, 8):
        shorter = float(f"{value:.{digits}g}")
        try:
            if struct.pack(">f", shorter) == packed:
                return shorter
        except OverflowError:  # rounded up beyond the largest
            continue
    return value
