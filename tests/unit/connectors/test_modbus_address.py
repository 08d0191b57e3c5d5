"""Modbus addresses: the grammar, and a hint for everybody who writes 40001."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.connectors.modbus_address import BadModbusAddress, ModbusAddress, parse_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("holding:0", ModbusAddress("holding", 0, 1, "uint16")),
        ("holding:0:int16", ModbusAddress("holding", 0, 1, "int16")),
        (" Holding:16:FLOAT32:cdab ", ModbusAddress("holding", 16, 2, "float32", "CDAB")),
        ("input:65532:float64:DCBA", ModbusAddress("input", 65532, 4, "float64", "DCBA")),
        ("holding:30:bit0", ModbusAddress("holding", 30, 1, "bit", bit=0)),
        ("input:30:bit15:BADC", ModbusAddress("input", 30, 1, "bit", "BADC", bit=15)),
        ("holding:40:string10", ModbusAddress("holding", 40, 5, "string", length=10)),
        ("holding:40:string9", ModbusAddress("holding", 40, 5, "string", length=9)),
        ("coil:3", ModbusAddress("coil", 3, 1, "bool")),
        ("discrete:10", ModbusAddress("discrete", 10, 1, "bool")),
        ("holding:0x9c41:int32", ModbusAddress("holding", 40001, 2, "int32")),
        ("holding:40000", ModbusAddress("holding", 40000, 1, "uint16")),
        ("input:40001", ModbusAddress("input", 40001, 1, "uint16")),
    ],
)
def test_the_grammar(text: str, expected: ModbusAddress) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("40001", "write holding:0"),
        ("40017:float32", "write holding:16:float32"),
        ("30001", "write input:0"),
        ("10001", "write discrete:0"),
        ("00001", "write coil:0"),
        ("4x0001", "write holding:0"),
        ("400001", "write holding:0"),
        ("465536", "write holding:65535"),
        ("1!400001", "write holding:0"),
        ("holding:40001", "holding:0. If the device really has an address 40001, write holding:0x9c41"),
        ("holding:40017:float32:CDAB", "is holding:16:float32:cdab"),
        ("input:30002", "input:1"),
        ("discrete:10001", "discrete:0"),
        ("holding:400001", "write holding:0"),
    ],
)
def test_who_counts_from_one_is_told_the_right_form(text: str, hint: str) -> None:
    with pytest.raises(BadModbusAddress) as refused:
        parse_address(text)
    assert hint in str(refused.value)
    assert "from 0" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("temp.deck1", "is no Modbus address: write coil|discrete|input|holding"),
        ("register:4", "is no table"),
        ("holding:65536", "above the last address, 65535"),
        ("holding:65535:int32", "ends at 65536"),
        ("holding:0:int8", "is no type: write one of int16, uint16"),
        ("holding:0:bit16", "bit0 (lowest) to bit15"),
        ("holding:0:string0", "1 to 240"),
        ("holding:0:string241", "1 to 240"),
        ("holding:0:int32:ACBD", "no byte order: write ABCD"),
        ("coil:3:int16", "takes no type: write coil:3"),
        ("coil:3:bool:ABCD", "takes no type"),
        ("holding:-1", "is no Modbus address"),
        ("holding:", "is no Modbus address"),
        ("", "is no Modbus address"),
        ("holding:٣", "is no Modbus address"),
    ],
)
def test_what_is_none_says_what_would_be(text: str, said: str) -> None:
    with pytest.raises(BadModbusAddress) as refused:
        parse_address(text)
    assert said in str(refused.value)


@given(st.text(max_size=40))
def test_nothing_else_ever_comes_out(text: str) -> None:
    try:
        address = parse_address(text)
    except BadModbusAddress:
        return
    assert 0 <= address.start < address.end <= 65_536


def test_an_address_in_words() -> None:
    assert parse_address("holding:3").words == "holding register 3"
    assert parse_address("input:3:int32").words == "input registers 3 and 4"
    assert parse_address("input:3:int64").words == "input registers 3 to 6"
    assert parse_address("coil:7").words == "coil 7"
