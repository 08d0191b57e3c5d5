"""One connection to a Modbus line through pymodbus. The only file that knows pymodbus; its API changes between minors.

What pymodbus 3.16 does that is caught here (reference/equipment.md section 3):

- ``connect`` swallows the reason of a failure; the steps are taken one by one, to an address that was vetted.
- A connection that is lost leaves the request waiting for its whole timeout; here it ends at once.
- Garbage raises inside the transport; here it ends the request.
- An answer from another unit is skipped without a word; here it is remembered for the sentence.
- An answer to another question (RTU has no transaction numbers) is believed; here its form is compared.
- It logs the last frames with every error; it is silenced, we say it in words.

Reads over Modbus TCP, nearly everything a relay does all day, take a shorter way (:mod:`modbus_frames`).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU

from shared.connectors.modbus_address import Table
from shared.connectors.modbus_frames import DATA_AT, Frames
from shared.connectors.modbus_outcome import Garbled, Lost, NoAnswer, Refused
from shared.connectors.modbus_place import NetworkPlace, Place, SerialPlace

__all__ = ["ModbusConnection"]

logging.getLogger("pymodbus").setLevel(logging.CRITICAL + 1)

_transactions = itertools.cycle(range(1, 60_000, 997))
"""Where each connection begins to number its requests: a gateway that mixes up connections is found out."""

_READS: dict[Table, tuple[int, str]] = {
    "coil": (1, "read_coils"),
    "discrete": (2, "read_discrete_inputs"),
    "holding": (3, "read_holding_registers"),
    "input": (4, "read_input_registers"),
}
_WORDS = tuple(struct.Struct(f">{count}H") for count in range(126))


class ModbusConnection:
    """An open connection; one request at a time. :meth:`close` it."""

    def __init__(self, client: AsyncModbusTcpClient | AsyncModbusSerialClient, place: Place) -> None:
        self.place = place
        """With all settings of the line: another unit may need others."""
        self.requests = 0
        """So far."""
        self._client = client
        self._frames: Frames | None = None
        self._waiting = False
        self._expected = (0, 0)
        self._foreign: int | None = None
        self._handle_frame: Callable[..., tuple[int, ModbusPDU | None]] = client.ctx.framer.handleFrame
        client.ctx.framer.handleFrame = self._framed  # type: ignore[method-assign, assignment]
        client.ctx.trace_connect = self._connected

    @classmethod
    async def open(cls, place: Place, addresses: Sequence[str], seconds: float) -> ModbusConnection:
        """Connect to the first of the vetted addresses that answers, or open the serial port.

        Raises:
            OSError, TimeoutError: it is not possible.
            ValueError: the serial port does not take these settings.
        """
        if isinstance(place, SerialPlace):
            return await cls._open_serial(place, seconds)
        last: Exception = OSError("no address")
        for address in addresses:
            try:
                return await cls._open_network(place, address, seconds / len(addresses))
            except (OSError, TimeoutError) as err:
                last = err
        raise last

    @classmethod
    async def _open_network(cls, place: NetworkPlace, address: str, seconds: float) -> ModbusConnection:
        framer = FramerType.RTU if place.framing == "rtu" else FramerType.SOCKET
        client = AsyncModbusTcpClient(address, port=place.port, framer=framer, retries=0, reconnect_delay=0)
        connection = cls(client, place)
        async with asyncio.timeout(seconds):
            await client.ctx.call_create()
        client.ctx.next_tid = next(_transactions)
        if place.framing == "tcp":
            # uvloop's transports are none of asyncio's by their class.
            connection._frames = Frames(client.ctx, cast("asyncio.Transport", client.ctx.transport))
        return connection

    @classmethod
    async def _open_serial(cls, place: SerialPlace, seconds: float) -> ModbusConnection:
        client = AsyncModbusSerialClient(
            place.port,
            framer=FramerType.RTU,
            baudrate=place.baudrate,
            parity=place.parity,
            stopbits=place.stop_bits,
            retries=0,
            reconnect_delay=0,
        )
        connection = cls(client, place)
        try:
            async with asyncio.timeout(seconds):
                client.ctx.transport, _ = await client.ctx.call_create()
                # It is set up in the next turns of the loop; closed before that it would stumble.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
        except (OSError, TimeoutError):
            raise
        except Exception as err:  # termios.error is no OSError and no error of pyserial's
            raise ValueError(str(err)) from err
        return connection

    @property
    def alive(self) -> bool:
        """As far as we have heard."""
        return self._client.ctx.transport is not None

    @property
    def answered_as(self) -> int | None:
        """The unit that answered the last request in place of the one that was asked."""
        frames = self._frames
        return frames.foreign if frames is not None and frames.foreign is not None else self._foreign

    def close(self) -> None:
        """Let go of it, now."""
        transport: Any = self._client.ctx.transport
        port = getattr(transport, "sync_serial", None)
        if port is not None:
            with contextlib.suppress(Exception):  # a port that was pulled out has nothing left to drop
                port.reset_output_buffer()  # or closing waits until it is sent
        self._client.close()

    async def read(
        self, unit: int, table: Table, start: int, count: int, seconds: float
    ) -> Sequence[int] | Sequence[bool]:
        """Registers or bits.

        Raises:
            NoAnswer, Lost, Garbled: nothing usable came; the connection is of no more use.
            Refused: the device says no.
        """
        function, name = _READS[table]
        frames = self._frames
        if frames is None:
            return await self._read_framed_there(unit, function, name, start, count, seconds)
        if self._client.ctx.transport is None:
            raise Lost
        self.requests += 1
        if function > 2:
            frame = await frames.ask(unit, function, start, count, 2 * count, seconds)
            return _WORDS[count].unpack_from(frame, DATA_AT)
        frame = await frames.ask(unit, function, start, count, (count + 7) // 8, seconds)
        bits = int.from_bytes(frame[DATA_AT:], "little")
        return [bits >> place & 1 == 1 for place in range(count)]

    async def _read_framed_there(
        self, unit: int, function: int, name: str, start: int, count: int, seconds: float
    ) -> Sequence[int] | Sequence[bool]:
        ask = getattr(self._client, name)
        answer = await self._ask(lambda: ask(start, count=count, device_id=unit), function, seconds)
        if function <= 2:
            if len(answer.bits) != (count + 7) // 8 * 8:
                raise Garbled(f"it sent {len(answer.bits)} bits where {count} were asked for")
            return answer.bits[:count]
        if len(answer.registers) != count:
            raise Garbled(f"it sent {len(answer.registers)} registers where {count} were asked for")
        return answer.registers

    async def write_coil(self, unit: int, address: int, value: bool, seconds: float) -> None:
        """Function 5. Raises as :meth:`read`."""
        client = self._client
        await self._ask(lambda: client.write_coil(address, value, device_id=unit), 5, seconds)

    async def write_registers(self, unit: int, start: int, words: Sequence[int], seconds: float) -> None:
        """Function 6 for one, 16 for more. Raises as :meth:`read`."""
        client = self._client
        if len(words) == 1:
            await self._ask(lambda: client.write_register(start, words[0], device_id=unit), 6, seconds)
        else:
            await self._ask(lambda: client.write_registers(start, list(words), device_id=unit), 16, seconds)

    async def write_bit(self, unit: int, address: int, mask: int, value: bool, seconds: float) -> None:
        """Function 22: the device changes one bit of a register itself, so that no other is lost. As :meth:`read`."""
        client = self._client
        and_mask, or_mask = 0xFFFF & ~mask, mask if value else 0
        await self._ask(
            lambda: client.mask_write_register(address=address, and_mask=and_mask, or_mask=or_mask, device_id=unit),
            22,
            seconds,
        )

    async def _ask(self, send: Callable[[], Awaitable[ModbusPDU]], function: int, seconds: float) -> ModbusPDU:
        context = self._client.ctx
        if context.transport is None:
            raise Lost
        context.comm_params.timeout_connect = seconds
        self.requests += 1
        self._foreign = None
        self._waiting = True
        try:
            answer = await send()
        except ModbusException:
            raise NoAnswer from None  # all it can mean here: requests are checked, other failures come from below
        finally:
            self._waiting = False
        if answer.function_code == function | 0x80:
            raise Refused(answer.exception_code)
        if answer.function_code != function:
            raise Garbled(f"it answered function {answer.function_code & 0x7F} where {function} was asked for")
        return answer

    def _connected(self, connected: bool) -> None:
        if not connected:
            self._fail(Lost())

    def _framed(self, data: bytes, unit: int, transaction: int) -> tuple[int, ModbusPDU | None]:
        try:
            used, answer = self._handle_frame(data, unit, transaction)
        except Exception as err:  # noqa: BLE001  # whatever its decoder stumbles over: raised here it would kill the transport
            self._fail(Garbled(f"its answer cannot be read ({type(err).__name__})"))
            return len(data), None
        if answer is None and used >= 8 and self.place.framing == "tcp" and data[6] != unit:
            self._foreign = data[6]
        return used, answer

    def _fail(self, err: Exception) -> None:
        future = self._client.ctx.response_future
        if self._waiting and not future.done():
            future.set_exception(err)
