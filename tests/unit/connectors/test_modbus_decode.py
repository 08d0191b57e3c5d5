"""Registers to values and back: every type in every byte order."""

from __future__ import annotations

import math
import struct
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.connectors.modbus_address import ModbusAddress, Order, parse_address
from shared.connectors.modbus_decode import decode, encode, limits

ORDERS = get_args(Order)
WHOLE = ("int16", "uint16", "int32", "uint32", "int64", "uint64")


def _at(kind: str, order: str = "ABCD") -> ModbusAddress:
    return parse_address(f"holding:0:{kind}:{order}")


@st.composite
def _whole(draw: st.DrawFn) -> tuple[str, int]:
    kind = draw(st.sampled_from(WHOLE))
    range_ = limits(kind)
    assert range_ is not None
    return kind, draw(st.integers(*range_))


@given(_whole(), st.sampled_from(ORDERS))
def test_whole_numbers_come_back(number: tuple[str, int], order: str) -> None:
    address = _at(number[0], order)
    words = encode(address, number[1])
    assert len(words) == address.count
    assert all(0 <= word <= 0xFFFF for word in words)
    assert decode(address, words) == number[1]


@given(st.floats(width=32), st.sampled_from(ORDERS))
def test_short_floats_come_back(number: float, order: str) -> None:
    address = _at("float32", order)
    back = decode(address, encode(address, number))
    assert isinstance(back, float)
    assert struct.pack(">f", back) == struct.pack(">f", number) or math.isnan(number)


@given(st.floats(), st.sampled_from(ORDERS))
def test_long_floats_come_back(number: float, order: str) -> None:
    address = _at("float64", order)
    back = decode(address, encode(address, number))
    assert back == number or math.isnan(number)


@given(st.lists(st.integers(0, 0xFFFF), min_size=4, max_size=4), st.sampled_from(["float32", "float64", *WHOLE]))
def test_the_orders_are_what_their_names_say(words: list[int], kind: str) -> None:
    count = _at(kind).count
    data = struct.pack(f">{count}H", *words[:count])
    pairs = [data[n : n + 2] for n in range(0, len(data), 2)]
    standard = {
        "ABCD": data,
        "CDAB": b"".join(reversed(pairs)),
        "BADC": b"".join(pair[::-1] for pair in pairs),
        "DCBA": data[::-1],
    }
    for order, big_endian in standard.items():
        expected = decode(_at(kind), struct.unpack(f">{count}H", big_endian))
        assert repr(decode(_at(kind, order), words[:count])) == repr(expected)


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ("ABCD", (0x4335, 0x4000)),
        ("BADC", (0x3543, 0x0040)),
        ("CDAB", (0x4000, 0x4335)),
        ("DCBA", (0x0040, 0x3543)),
    ],
)
def test_a_measured_temperature_in_all_orders(order: str, words: tuple[int, ...]) -> None:
    assert decode(_at("float32", order), words) == 181.25


@pytest.mark.parametrize(
    ("at", "words", "value"),
    [
        ("holding:0:int16", [0xFFFB], -5),
        ("holding:0:uint16", [0xFFFB], 65531),
        ("holding:0:bit0", [0x0005], True),
        ("holding:0:bit1", [0x0005], False),
        ("holding:0:bit2", [0x0005], True),
        ("holding:0:bit8:BADC", [0x0001], True),
        ("holding:0:bit0:BADC", [0x0001], False),
        ("holding:0:string5", [0x4252, 0x4541, 0x4400], "BREAD"),
        ("holding:0:string6:BADC", [0x5242, 0x4145, 0x0044], "BREAD"),
        ("holding:0:string6", [0x4252, 0x0000, 0x5858], "BR"),
        ("holding:0:string4", [0x4220, 0x2020], "B"),
        ("holding:0:string2", [0xC328], "\ufffd("),
        ("coil:0", [True], True),
        ("discrete:0", [False], False),
    ],
)
def test_values(at: str, words: list[int], value: Any) -> None:
    found = decode(parse_address(at), words)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("number", [180.1, 0.1, -273.15, 3.4028235e38, 1e-42, 16777217.5])
def test_short_floats_are_written_as_people_write_them(number: float) -> None:
    nearest = struct.unpack(">f", struct.pack(">f", number))[0]
    back = decode(_at("float32"), encode(_at("float32"), number))
    assert isinstance(back, float)
    assert len(repr(back)) <= max(len(repr(number)), len(repr(nearest)))
    assert decode(_at("float32"), encode(_at("float32"), 180.1)) == 180.1


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_texts_come_back(text: str) -> None:
    address = _at("string240")
    assert decode(address, encode(address, text)) == text.strip()


@pytest.mark.parametrize(
    ("kind", "value"), [("int16", 32768), ("uint16", -1), ("uint64", 2**64), ("float32", 1e39), ("string2", "abc")]
)
def test_what_does_not_fit_is_not_written(kind: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"fit|longer"):
        encode(_at(kind), value)
