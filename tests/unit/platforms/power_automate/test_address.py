"""The address of a flow leaves byte for byte, whichever way out it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.clock import ManualClock
from shared.services import Services
from tests.api import Api
from tests.unit.platforms.power_automate.conftest import Drain, happen

ADDRESSES = (
    "/workflows/0f1/triggers/manual/paths/invoke?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=aB%2Fc+d_e",
    "/a%2fb/c%20d?sig=x%3d%3D&y=%7e~%7E&z=1+2%2B3&empty=&flag",
    "/p?sig=a'b!c*d(e)f,g;h:i@j$k/l?m",
    "/p//q/?sig=%C3%B6&sig=second&&x",
)


@asynccontextmanager
async def sink() -> AsyncIterator[tuple[str, list[str]]]:
    """A socket that keeps the first line of each request as it came, and says 202."""
    lines: list[str] = []
    open_ones: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                said = head.decode("ascii").split("\r\n")
                lines.append(said[0])
                (length,) = (int(x.partition(":")[2]) for x in said if x.lower().startswith("content-length:"))
                await reader.readexactly(length)
                writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            open_ones.discard(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", lines
    finally:
        server.close()
        for writer in tuple(open_ones):
            writer.close()
        await asyncio.sleep(0)


@pytest.mark.parametrize("address", ADDRESSES)
async def test_byte_for_byte(house: Services, api: Api, drain: Drain, clock: ManualClock, address: str) -> None:
    async with sink() as (url, lines):
        answer = await api.post("/api/v1/flows/subscriptions/alert-raised", json={"callback_url": url + address})
        assert answer.status == 201, answer.body
        # The first by the slow way out, the others by the one for receivers that are asked often.
        for number in range(6):
            await happen(house, clock, f"E{number}")
            assert (await drain()).failures == []
        assert lines == [f"POST {address} HTTP/1.1"] * 6
        await house.http.close()
