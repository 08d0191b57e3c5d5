"""A broker that says anything at all: never an exception, never over the deadline, never more memory than agreed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from shared.connectors import ConnectorFactory
from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy
from shared.signals import Quality, Reading

LET_IN = bytes.fromhex("2003000000")
"""CONNACK, no session present, success."""


@asynccontextmanager
async def saying(
    *pieces: bytes, then: Callable[[asyncio.StreamWriter], Awaitable[None]] | None = None
) -> AsyncIterator[int]:
    """A broker that answers CONNECT with these bytes whatever they are, and then listens; its port."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(1)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if then is not None:
                await then(writer)
            while await reader.read(65_536):
                pass
        except OSError:
            pass  # the other side had enough
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def fetch(port: int) -> tuple[list[Reading], float]:
    http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True))
    config = {
        "endpoint": f"mqtt://127.0.0.1:{port}",
        "additional_config": {"path": "a/b", "signals": {"door.open": "door"}, "timeout": 0.5},
    }
    one = ConnectorFactory.create_connector("mqtt", "oven-1", config, http=http)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    try:
        found = await one.get_readings()
    finally:
        await one.close()
    return found, loop.time() - begun


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        ("2003008600", "authentication_failed", "user name or the password"),
        ("2003008700", "authentication_failed", "does not let us in"),
        ("2003008400", "not_supported", "MQTT 5"),
        ("20020001", "not_supported", "MQTT 5"),  # a broker of MQTT 3
        ("2003008500", "unexpected_answer", "client id ovenbridge-oven-1-"),
        ("2003008900", "throttled", "too busy"),
        ("2003009F00", "throttled", "too often"),
        ("2003009D00", "cannot_connect", "has moved"),
        ("2003008000", "cannot_connect", "0x80"),
        ("2003000000E0018E", "cannot_connect", "client id"),  # taken over
        ("2003000000E0018B", "cannot_connect", "shutting down"),
        ("2003000000E000", "cannot_connect", "closed the connection"),
        ("2003000000900400010087", "authentication_failed", "subscribe to a/b"),
        ("200300000090040001008F", "unexpected_answer", "topic filter a/b"),
        ("2003000000900400010097", "throttled", "quota"),
        ("2003000000", "timeout", "subscription"),
        ("", "timeout", "did not answer"),
        ("200300000030FFFFFF7F", "unexpected_answer", "more than"),
    ],
)  # fmt: skip
async def test_what_a_broker_may_answer(said: str, code: str, words: str) -> None:
    async with saying(bytes.fromhex(said)) as port:
        (reading,), seconds = await fetch(port)
    assert (reading.quality, reading.error_code) == (Quality.BAD, code), reading.reason
    assert words in str(reading.reason)
    assert seconds < 1.5


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00" * 100,
        b"\xff" * 100,
        b"\x20\x00",
        b"\x20\xff\xff\xff\xff\xff",
        LET_IN + b"\x30\x02\x00\x09",
        LET_IN + b"\x32\x05\x00\x01a\x00\x01",
        LET_IN + b"\x90\x01\x00",
        LET_IN + b"\xf0\x00",
        LET_IN + b"\x34\x08\x00\x03a/b\x00\x01\x00",
        LET_IN + b"\x40\x02\x00\x01",
    ],
    ids=range(11),
)
async def test_nonsense_is_a_bad_reading_in_time(said: bytes) -> None:
    async with saying(said) as port:
        (reading,), seconds = await fetch(port)
    assert (reading.quality, reading.error_code is not None) == (Quality.BAD, True)
    assert reading.reason
    assert seconds < 1.5


async def test_a_flood_is_taken_in_no_further_than_agreed() -> None:
    packet = bytes.fromhex("30") + b"\x88\x08" + b"\x00\x03a/b\x00" + b"x" * 1026  # QoS 0: nobody need acknowledge it
    sent = 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        for _ in range(200_000):
            writer.write(packet)
            await writer.drain()
            sent += 1

    async with saying(LET_IN, then=flood) as port:
        found, seconds = await fetch(port)
    assert seconds < 2
    assert len(found) == 1, "messages without a time are one reading"
    assert sent < 30_000, "the rest waits in the network"
