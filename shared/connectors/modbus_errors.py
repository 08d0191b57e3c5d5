"""From pymodbus', the socket's and the device's troubles to sentences that tell a person what to do."""

from __future__ import annotations

import errno

from shared.connectors.modbus_address import TABLE_NAMES, ModbusAddress
from shared.connectors.modbus_outcome import Garbled, Lost, Outcome, Refused
from shared.connectors.modbus_place import NetworkPlace, Place, SerialPlace
from shared.connectors.modbus_plan import ModbusPlan
from shared.errors import (
    DeviceConnectionError,
    DeviceError,
    DeviceProtocolError,
    DeviceThrottled,
    DeviceTimeout,
)

__all__ = ["cannot_open", "ended", "refusal", "refused_everything", "too_late"]

_NETWORK = {
    errno.ECONNREFUSED: (
        "{where} refuses the connection: is Modbus TCP switched on there, is the port right, or are all its "
        "connections taken (many devices allow one to four)?"
    ),
    errno.ECONNRESET: "{where} cuts the connection at once: does it allow this machine's address (IP filter)?",
    errno.EHOSTUNREACH: "{where} cannot be reached: is the machine on, and the network cable in?",
    errno.ENETUNREACH: "There is no route to {where}: check the address and this machine's network.",
}
_SERIAL = {
    errno.ENOENT: "There is no serial port {where} on this machine: is the adapter plugged in, and the name right?",
    errno.ENODEV: "There is nothing behind the serial port {where}: is the adapter plugged in?",
    errno.ENXIO: "There is nothing behind the serial port {where}: is the adapter plugged in?",
    errno.EACCES: "This process may not open {where}: add its user to the group that owns the port (often dialout).",
    errno.EBUSY: "The serial port {where} is in use by another program: end it.",
    errno.EAGAIN: "The serial port {where} is in use by another program: end it.",
}
_SAID = {
    4: "the device reports a failure of its own (4): look at its display",
    5: "the device is still busy with an earlier order (5)",
    6: "the device is busy (6): read it less often",
    8: "the device reports a memory error (8)",
    10: "the gateway has no way to this unit (10): check the unit and the gateway's settings",
    11: "the gateway gets no answer from this unit (11): is it on, its bus cable connected, the unit number right?",
}


def cannot_open(place: Place, err: Exception) -> DeviceError:
    """Why there is no connection."""
    where = place.words
    if isinstance(place, SerialPlace):
        return DeviceConnectionError(_serial_sentence(place, err).format(where=where))
    if isinstance(err, TimeoutError):
        return DeviceTimeout(
            f"{where} does not take the connection: is the machine on, the address right, and no firewall in between?"
        )
    known = _NETWORK.get(getattr(err, "errno", None) or 0)
    return DeviceConnectionError(
        (known or "{where} cannot be connected to: {err}.").format(where=where, err=_words(err))
    )


def _serial_sentence(place: SerialPlace, err: Exception) -> str:
    if isinstance(err, ValueError):
        settings = f"{place.baudrate} baud, parity {place.parity}, {place.stop_bits} stop bits"
        return f"The serial port {{where}} does not take {settings}: correct baudrate, parity or stop_bits."
    return _SERIAL.get(
        getattr(err, "errno", None) or 0, f"The serial port {{where}} cannot be opened: {_braced(_words(err))}."
    )


def ended(plan: ModbusPlan, outcome: Outcome, answered_as: int | None) -> DeviceError:
    """Why a conversation ended without an answer."""
    where = plan.where
    if isinstance(outcome, Lost):
        return DeviceConnectionError(f"{where} closed the connection before it answered.")
    if isinstance(outcome, Garbled):
        return DeviceProtocolError(f"{where} does not speak Modbus as expected: {outcome}.")
    seconds = plan.options.answer_timeout
    if answered_as is not None:
        return DeviceProtocolError(
            f"{plan.place.words} answers as unit {answered_as} when unit {plan.unit} is asked: set unit so."
        )
    if isinstance(plan.place, NetworkPlace) and plan.place.framing == "tcp":
        return DeviceTimeout(
            f"{where} took the connection and does not answer within {seconds:g} s: is unit {plan.unit} right, and is "
            "the machine behind it on?"
        )
    return DeviceTimeout(
        f"{where} does not answer within {seconds:g} s: is it on, is unit {plan.unit} right, are baud rate and parity "
        "those of the machine, are A and B of the bus cable not swapped?"
    )


def too_late(plan: ModbusPlan, *, waiting: bool) -> DeviceError:
    """The whole of it took longer than ``timeout``."""
    seconds = plan.options.timeout
    if waiting:
        return DeviceTimeout(
            f"{plan.place.words} was busy with other units for {seconds:g} s: read them less often, or raise timeout."
        )
    return DeviceTimeout(
        f"{plan.where} did not finish answering within {seconds:g} s: raise timeout, or read fewer signals."
    )


def refusal(address: ModbusAddress, err: Refused) -> str:
    """What an exception code means for one signal; names its address."""
    name = TABLE_NAMES[address.table]
    if err.code == 1:
        return f"the device knows no {name}s (function refused, 1): is it another table?"
    if err.code == 2:
        return (
            f"the device has no {address.words} (illegal address, 2): look it up in its register map; addresses count "
            "from 0 here"
        )
    if err.code == 3:
        return f"the device does not accept the request for {address.words} (illegal value, 3): is the type too long?"
    return _SAID.get(err.code, f"the device refuses {address.words} with the exception code {err.code}")


def refused_everything(plan: ModbusPlan, err: Refused, sentence: str) -> DeviceError:
    """There was an answer to every request, and all of them were a refusal."""
    kind = DeviceProtocolError
    if err.code == 6:
        return DeviceThrottled(f"{plan.where}: {sentence}.")
    if err.code in (10, 11):
        return DeviceConnectionError(f"{plan.where}: {sentence}")
    return kind(f"{plan.where} answers and refuses every signal; the first: {sentence}.")


def _words(err: Exception) -> str:
    text = getattr(err, "strerror", None) or str(err) or type(err).__name__
    return str(text).strip().rstrip(".")[:200]


def _braced(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
