"""From registers to values and back, in all four byte orders. Pure.

A register is two bytes. Which of a value's bytes come first is the maker's choice: with the bytes of a number named
ABCD from the highest down, ABCD is the standard's way, CDAB has the registers swapped, BADC the bytes inside each
register, DCBA both. pymodbus knows only the first two (reference/equipment.md section 3), so it is done here.
"""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Callable, Sequence

from shared.connectors.modbus_address import ModbusAddress, Order

__all__ = ["Decoder", "decode", "decoder", "encode", "limits", "shortest"]

Decoder = Callable[[Sequence[int]], bool | int | float | str]

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
    found = decoder(address, address.start)(words)
    return shortest(found) if address.type == "float32" and isinstance(found, float) else found


def decoder(address: ModbusAddress, start: int) -> Decoder:
    """What takes the value at ``address`` out of the answer to a request from ``start``; worked out once. A ``float32``
    comes as it is: see :func:`shortest`."""
    at = address.start - start
    if address.is_bits:
        return lambda words: bool(words[at])
    swapped = address.order in ("BADC", "DCBA")
    if address.type == "bit":
        mask = 1 << (address.bit ^ 8 if swapped else address.bit)
        return lambda words: words[at] & mask != 0
    if address.type == "string":
        return lambda words: _text(words[at : at + address.count], address)
    if address.type == "uint16" and not swapped:
        return lambda words: words[at]
    return _number(address, at)


def _number(address: ModbusAddress, at: int) -> Decoder:
    count = address.count
    # Bytes swapped in every register is what little-endian packing does; registers swapped is another order of them.
    pack = struct.Struct(("<" if address.order in ("BADC", "DCBA") else ">") + f"{count}H").pack
    unpack = struct.Struct(_FORMATS[address.type]).unpack
    places = list(range(at, at + count))
    if address.order in ("CDAB", "DCBA"):
        places.reverse()
    pick = operator.itemgetter(*places)

    def whole(words: Sequence[int]) -> int | float:
        found: int | float = unpack(pack(*pick(words)))[0]
        return found

    if count == 1:
        place = places[0]
        return lambda words: unpack(pack(words[place]))[0]
    return whole


def _text(words: Sequence[int], address: ModbusAddress) -> str:
    data = _swapped(struct.pack(f">{len(words)}H", *words), address.order)
    return data[: address.length].split(b"\0", 1)[0].decode("utf-8", "replace").strip()


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


def shortest(value: float) -> float:
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
