"""Writing one signal of a Modbus device: range-checked before, read back after, never repeated by itself."""

from __future__ import annotations

from collections.abc import Sequence

from shared.connectors.inverse import raw_of
from shared.connectors.modbus_address import ModbusAddress
from shared.connectors.modbus_decode import decode, encode, limits
from shared.connectors.modbus_errors import refusal
from shared.connectors.modbus_outcome import Refused
from shared.connectors.modbus_plan import ModbusSignal
from shared.connectors.modbus_talk import Ask, Talk
from shared.errors import DeviceError, DeviceProtocolError, InvalidInput
from shared.signals import Quality, SignalValue, Value

__all__ = ["words_of", "write_signal"]

_TRUE, _FALSE = ("true", "1", "on"), ("false", "0", "off")


def words_of(signal: ModbusSignal, value: Value, temperature_unit: str) -> Sequence[int]:
    """What is written for ``value``: registers, or 0 or 1 for a coil or a bit.

    Raises:
        InvalidInput: naming ``value``: it does not fit the mapping, or the type.
    """
    raw = raw_of(signal.key, value, signal.spec, temperature_unit=temperature_unit)
    address = signal.address
    if address.type in ("bool", "bit"):
        return [int(_flag(signal.key, raw))]
    if address.type == "string":
        if not isinstance(raw, str):
            raise InvalidInput(f"{signal.key} needs a text.", field="value")
        return _encoded(signal.key, address, raw)
    return _encoded(signal.key, address, _number(signal.key, address, raw))


async def write_signal(talk: Talk, signal: ModbusSignal, words: Sequence[int]) -> SignalValue:
    """Write and read back.

    Raises:
        DeviceError: the sentence says whether it may have been written all the same.
    """
    plan, address = talk.plan, signal.address
    if plan.place.framing == "tcp":
        talk.line.drop()  # a kept connection may be dead, and then nobody could say whether the write arrived
    try:
        await talk.ask(_order(talk, address, words), repeatable=False)
    except Refused as err:
        raise DeviceProtocolError(f"{plan.where}: {_write_refusal(address, err)}.") from None
    except DeviceError as err:
        if talk.requests == 0:
            raise  # not even connected
        raise type(err)(
            f"{err.detail} {signal.key} may have been written all the same: read it before trying again."
        ) from None
    seconds = plan.options.answer_timeout
    try:
        there = await talk.ask(
            lambda connection: connection.read(plan.unit, address.table, address.start, address.count, seconds)
        )
    except Refused as err:
        raise DeviceProtocolError(
            f"{plan.where}: {signal.key} was written, and cannot be read back: {refusal(address, err)}."
        ) from None
    except DeviceError as err:
        raise type(err)(f"{signal.key} was written, and reading it back failed: {err.detail}") from None
    read = signal.value(decode(address, there))
    if _same(address, words, there):
        return read
    return SignalValue(
        read.value,
        Quality.UNCERTAIN if read.quality is not Quality.BAD else Quality.BAD,
        "the device took the order and reads back another value: it may have a limit of its own, or be slow",
        read.unit,
        read.raw,
        read.raw_unit,
    )


def _order(talk: Talk, address: ModbusAddress, words: Sequence[int]) -> Ask[None]:
    unit, seconds = talk.plan.unit, talk.plan.options.answer_timeout
    if address.type == "bool":
        return lambda connection: connection.write_coil(unit, address.start, bool(words[0]), seconds)
    if address.type == "bit":
        return lambda connection: connection.write_bit(unit, address.start, _mask(address), bool(words[0]), seconds)
    return lambda connection: connection.write_registers(unit, address.start, words, seconds)


def _mask(address: ModbusAddress) -> int:
    swapped = address.order in ("BADC", "DCBA")
    return 1 << (address.bit ^ 8 if swapped else address.bit)


def _same(address: ModbusAddress, written: Sequence[int], there: Sequence[int]) -> bool:
    if address.type in ("bool", "bit"):
        return decode(address, there) is bool(written[0])
    return list(written) == list(there)


def _write_refusal(address: ModbusAddress, err: Refused) -> str:
    if err.code == 1 and address.type == "bit":
        return (
            "the device cannot change a single bit of a register (mask write refused, 1): map the whole register, or "
            "a coil"
        )
    if err.code == 1:
        return f"the device lets nobody write its {address.table}s (function refused, 1)"
    if err.code == 2:
        return f"the device has no {address.words} that can be written (illegal address, 2)"
    if err.code == 3:
        return f"the device does not accept this value for {address.words} (illegal value, 3)"
    return refusal(address, err)


def _flag(key: str, raw: bool | float | str) -> bool:
    if isinstance(raw, bool):
        return raw
    word = str(int(raw) if isinstance(raw, float) and raw.is_integer() else raw).strip().lower()
    if word not in (*_TRUE, *_FALSE):
        raise InvalidInput(f"{key} is on or off: write true or false.", field="value")
    return word in _TRUE


def _number(key: str, address: ModbusAddress, raw: bool | float | str) -> float:
    try:
        number = float(raw) if not isinstance(raw, int) else int(raw)
    except ValueError:
        raise InvalidInput(f"{key} needs a number.", field="value") from None
    whole = limits(address.type)
    if whole is None:
        return number
    rounded = round(number)
    if not whole[0] <= rounded <= whole[1]:
        raise InvalidInput(
            f"{key}: that would be {rounded} in the device, and {address.type} goes from {whole[0]} to {whole[1]}.",
            field="value",
        )
    return rounded


def _encoded(key: str, address: ModbusAddress, value: float | str) -> Sequence[int]:
    try:
        return encode(address, value)
    except ValueError as err:
        raise InvalidInput(f"{key}: {err}.", field="value") from None
