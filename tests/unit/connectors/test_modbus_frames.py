"""Reads framed over pymodbus' connection: whole, in pieces, late, foreign, refused; and the deadline around them."""

from __future__ import annotations

import asyncio
import struct
from typing import Any, cast

import pytest

from shared.connectors.deadline import Deadline
from shared.connectors.modbus_frames import DATA_AT, Frames
from shared.connectors.modbus_outcome import Garbled, Lost, NoAnswer, Refused

TWO = b"\x03\x04\x00\x01\x00\x02"


class Wire:
    """A transport, and pymodbus behind it."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.next_tid = 41
        self.passed_on: list[bytes] = []
        self.lost = 0

    def set_protocol(self, protocol: Any) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def data_received(self, data: bytes) -> None:
        self.passed_on.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost += 1


def frame(body: bytes, *, transaction: int = 42, unit: int = 7, protocol: int = 0) -> bytes:
    return struct.pack(">HHHB", transaction, protocol, len(body) + 1, unit) + body


async def asked(wire: Wire, *pieces: bytes, unit: int = 7, seconds: float = 1.0) -> tuple[Frames, bytes]:
    frames = Frames(cast("Any", wire), cast("Any", wire))
    asking = asyncio.create_task(frames.ask(unit, 3, 16, 2, 4, seconds))
    await asyncio.sleep(0)
    for piece in pieces:
        frames.data_received(piece)
    return frames, await asking


async def test_a_whole_answer() -> None:
    wire = Wire()
    _, answer = await asked(wire, frame(TWO))
    assert answer[DATA_AT:] == b"\x00\x01\x00\x02"
    assert wire.sent == [bytes.fromhex("002a 0000 0006 07 03 0010 0002".replace(" ", ""))]


@pytest.mark.parametrize("cut", range(1, 13))
async def test_in_pieces_after_what_nobody_asked_for(cut: int) -> None:
    late, ours = frame(b"\x03\x04\xff\xff\xff\xff", transaction=40), frame(TWO)
    _, answer = await asked(Wire(), late + ours[:cut], ours[cut:])
    assert answer[DATA_AT:] == b"\x00\x01\x00\x02"


@pytest.mark.parametrize(("given", "unit"), [(frame(TWO, transaction=0), 7), (frame(TWO, unit=9), 0)])
async def test_no_number_and_any_unit_of_unit_0_are_good_enough(given: bytes, unit: int) -> None:
    _, answer = await asked(Wire(), given, unit=unit)
    assert answer[DATA_AT:] == b"\x00\x01\x00\x02"


async def test_a_refusal() -> None:
    with pytest.raises(Refused) as refused:
        await asked(Wire(), frame(b"\x83\x02"))
    assert refused.value.code == 2


async def test_a_refusal_that_is_counted_one_short() -> None:
    with pytest.raises(Refused):
        await asked(Wire(), struct.pack(">HHHB", 42, 0, 2, 7) + b"\x83\x02")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (frame(TWO, protocol=1), "no Modbus TCP"),
        (frame(b"\x04\x04\x00\x01\x00\x02"), "function 4 where 3"),
        (frame(b"\x03\x02\x00\x01"), "1 registers where 2"),
        (frame(b"\x03\x04\x00\x01"), "another length"),
        (struct.pack(">HHHB", 42, 0, 9_000, 7) + b"x", "no Modbus TCP"),
    ],
)
async def test_what_is_no_answer(given: bytes, said: str) -> None:
    with pytest.raises(Garbled, match=said):
        await asked(Wire(), given)


async def test_silence_and_who_else_spoke() -> None:
    wire = Wire()
    frames = Frames(cast("Any", wire), cast("Any", wire))
    asking = asyncio.create_task(frames.ask(7, 3, 16, 2, 4, 0.02))
    await asyncio.sleep(0)
    frames.data_received(frame(TWO, unit=255))
    with pytest.raises(NoAnswer):
        await asking
    assert frames.foreign == 255
    frames.data_received(b"late")
    assert wire.passed_on == [b"late"], "nobody waits here: it is pymodbus'"


async def test_a_connection_that_ends() -> None:
    wire = Wire()
    frames = Frames(cast("Any", wire), cast("Any", wire))
    asking = asyncio.create_task(frames.ask(7, 3, 16, 2, 4, 5.0))
    await asyncio.sleep(0)
    frames.connection_lost(None)
    with pytest.raises(Lost):
        await asking
    assert wire.lost == 1


async def test_a_deadline_ends_its_task_with_a_timeout() -> None:
    with pytest.raises(TimeoutError), Deadline(0.01):
        await asyncio.sleep(5)
    await asyncio.sleep(0)  # the task goes on
    with Deadline(5.0):
        await asyncio.sleep(0)


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def wait() -> None:
        with Deadline(5.0):
            await asyncio.sleep(5)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
