"""Reads over Modbus TCP, framed here over pymodbus' connection; writes, RTU and serial lines are pymodbus' own.

For every request pymodbus makes a request and an answer object, two log lines, a lock and a task's worth of waiting:
two thirds of what a reading cost (docs/performance.md). A read is twelve bytes, and its answer one number after the
other. What comes while nobody here waits belongs to pymodbus.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING

from shared.connectors.modbus_outcome import Garbled, Lost, NoAnswer, Outcome, Refused

if TYPE_CHECKING:
    from pymodbus.transaction import TransactionManager

__all__ = ["Frames"]

_REQUEST = struct.Struct(">HHHBBHH")
_HEAD = struct.Struct(">HHHB")
_ANSWER = struct.Struct(">HHHBBB")
DATA_AT = _ANSWER.size
"""Where the registers begin in an answer."""
LONGEST = 260
"""Bytes after the head of a frame; no Modbus message is longer."""
MOST_TRANSACTION = 65_000


class Frames(asyncio.Protocol):
    """Between a transport and pymodbus. One request at a time."""

    def __init__(self, context: TransactionManager, transport: asyncio.Transport) -> None:
        """``transport`` speaks with this from now on."""
        self.foreign: int | None = None
        """The unit that answered the last request in place of the one that was asked."""
        self._context = context
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[bytes] | None = None
        self._buffer = b""
        self._expected = b""
        self._length = 0
        self._transaction = self._unit = 0
        transport.set_protocol(self)

    async def ask(self, unit: int, function: int, start: int, count: int, size: int, seconds: float) -> bytes:
        """One read; the whole frame of its answer, with ``size`` bytes of data from :data:`DATA_AT`.

        Raises:
            NoAnswer, Lost, Garbled: nothing usable came.
            Refused: the device says no.
        """
        context = self._context
        # One numbering for both of us, so that no answer fits two questions.
        self._transaction = context.next_tid = context.next_tid % MOST_TRANSACTION + 1
        self._unit = unit
        self._expected = _ANSWER.pack(self._transaction, 0, size + 3, unit, function, size)
        self._length = DATA_AT + size
        self._buffer = b""
        self.foreign = None
        waiting = self._waiting = self._loop.create_future()
        self._transport.write(_REQUEST.pack(self._transaction, 0, 6, unit, function, start, count))
        timer = self._loop.call_later(seconds, self._fail, NoAnswer())
        try:
            frame: bytes = await waiting
        finally:
            timer.cancel()
            self._waiting = None
        if frame.startswith(self._expected):
            return frame
        raise _objection(frame, function, size)

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        waiting = self._waiting
        if waiting is None or waiting.done():
            self._context.data_received(data)
        elif not self._buffer and len(data) == self._length and data.startswith(self._expected):
            waiting.set_result(data)
        else:
            self._sort_out(data, waiting)

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        self._fail(Lost())
        self._context.connection_lost(exc)

    def _sort_out(self, data: bytes, waiting: asyncio.Future[bytes]) -> None:
        """In pieces, or not what was expected: our answer may still be among it."""
        buffer = self._buffer + data
        while len(buffer) > _HEAD.size:
            transaction, protocol, length, unit = _HEAD.unpack_from(buffer)
            if protocol or not 2 <= length <= LONGEST:
                self._fail(Garbled("what it sends is no Modbus TCP"))
                return
            end = 6 + length
            if length == 2 and len(buffer) == end + 1:
                end += 1  # some count the code of their refusal for nothing
            if len(buffer) < end:
                break
            frame, buffer = buffer[:end], buffer[end:]
            if transaction not in (0, self._transaction):
                continue  # late, to a question nobody asks any more
            if unit != self._unit and self._unit:
                self.foreign = unit
                continue
            # No number, or any unit for unit 0: as good as the one that was expected.
            waiting.set_result(self._expected[:2] + frame[2:6] + self._expected[6:7] + frame[7:])
            return
        self._buffer = buffer

    def _fail(self, outcome: Outcome) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(outcome)


def _objection(frame: bytes, function: int, size: int) -> Outcome:
    """What is wrong with this answer, if anything is; raises what the device means by it."""
    body = frame[_HEAD.size :]
    if body[0] == function | 0x80 and len(body) > 1:
        return Refused(body[1])
    if body[0] != function:
        return Garbled(f"it answered function {body[0] & 0x7F} where {function} was asked for")
    if len(body) < 2 or body[1] != len(body) - 2:
        return Garbled("its answer has another length than it says")
    bits = function <= 2
    sent, asked = (body[1] * 8, size * 8) if bits else (body[1] // 2, size // 2)
    return Garbled(f"it sent {sent} {'bits' if bits else 'registers'} where {asked} were asked for")
