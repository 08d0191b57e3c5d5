"""The short way for plain targets: the same tests as the long way, and what is its own."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.outgoing import express as express_module
from shared.outgoing import http as http_module
from shared.outgoing.express import Express, _plain
from shared.outgoing.http import OutgoingError, OutgoingHttp
from shared.outgoing.targets import Target
from tests.unit.outgoing import test_http as long_way
from tests.unit.outgoing.peers import Peer, answer, peer

http = long_way.http
authority = long_way.authority

_NOT_HERE = (
    "test_busy_targets_keep_their_connection_and_quiet_ones_do_not",  # what is forced here is its subject
    "test_a_kept_connection_that_died_is_tried_once_more",  # counts connections that are not kept at first
)
for _name in [n for n in vars(long_way) if n.startswith("test_") and n not in _NOT_HERE]:
    globals()[_name] = getattr(long_way, _name)


@pytest.fixture(autouse=True)
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every target counts as busy, so that what can go the short way does; tells what did."""
    went: list[str] = []
    takes = Express.takes

    def noted(self: Express, method: str, target: Target) -> bool:
        taken = takes(self, method, target)
        if taken:
            went.append(target.origin)
        return taken

    monkeypatch.setattr(Express, "takes", noted)
    monkeypatch.setattr(http_module._BusyOrigins, "note", lambda self, origin: True)
    return went


async def _send(http: OutgoingHttp, url: str, *, seconds: float = 5, limit: int = 65_536):  # type: ignore[no-untyped-def]
    return await http.send(
        "POST", url, headers={"X-A": "b"}, content=b"{}", timeout_seconds=seconds, max_answer_bytes=limit
    )


async def test_plain_answers_keep_the_connection(http: OutgoingHttp, taken: list[str]) -> None:
    async with peer(answer()) as there:
        for _ in range(5):
            assert (await _send(http, there.url)).body == b"ok"
        assert (there.connections, len(taken)) == (1, 5)
        assert there.header("content-length") == "2"
        assert there.header("x-a") == "b"


async def test_a_kept_connection_that_died_is_replaced_once(http: OutgoingHttp) -> None:
    async def dies_on_the_second(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        if len(there.requests) == 2:
            return False
        writer.write(answer())
        await writer.drain()
        return True

    async with peer(dies_on_the_second) as there:
        for _ in range(2):
            assert (await _send(http, there.url)).status == 200
        assert (len(there.requests), there.connections) == (3, 2)


@pytest.mark.parametrize(
    ("said", "status", "body", "stays"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 200\r\ncontent-length:2\r\n\r\nok", 200, b"ok", True),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nno", 500, b"no", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: Close\r\n\r\nok", 200, b"ok", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, b"ok", False),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    ],
    ids=["204", "204-0", "no-reason", "500", "close", "chunked", "continue", "1.0"],
)
async def test_forms_of_answers(
    http: OutgoingHttp, taken: list[str], said: bytes, status: int, body: bytes, stays: bool
) -> None:
    """Read alike by both; what is not plain goes the long way from then on."""
    async with peer(said) as there:
        for _ in range(3):
            got = await _send(http, there.url)
            assert (got.status, got.body, got.truncated) == (status, body, False)
        assert len(taken) == (3 if stays else 1)
        assert (there.connections == 1) == (stays and b"Close" not in said)


async def test_an_answer_that_ends_with_the_connection(http: OutgoingHttp) -> None:
    async def until_the_end(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it")
        await writer.drain()
        return False

    async with peer(until_the_end) as there:
        for _ in range(2):
            assert (await _send(http, there.url)).body == b"all of it"


async def test_an_answer_in_single_bytes(http: OutgoingHttp, taken: list[str]) -> None:
    async def bytewise(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        for byte in answer(b"slowly"):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        return True

    async with peer(bytewise) as there:
        for _ in range(2):
            assert (await _send(http, there.url)).body == b"slowly"
        assert (there.connections, len(taken)) == (1, 2)


async def test_more_than_was_announced_costs_the_connection(http: OutgoingHttp) -> None:
    async with peer(answer(b"ok") + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison") as there:
        for _ in range(3):
            assert (await _send(http, there.url)).body == b"ok", "never the answer to another request"
        assert there.connections == 3


async def test_what_comes_unasked_costs_the_connection(http: OutgoingHttp) -> None:
    async def talks_on(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(answer(b"ok"))
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(answer(b"poison"))
        await writer.drain()
        return True

    async with peer(talks_on) as there:
        assert (await _send(http, there.url)).body == b"ok"
        await asyncio.wait_for(there.closed.wait(), 5)
        assert (await _send(http, there.url)).body == b"ok"


async def test_idle_connections_are_closed_after_a_while(http: OutgoingHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(express_module, "KEEP_ALIVE_SECONDS", 0.05)
    async with peer(answer()) as there:
        await _send(http, there.url)
        assert not there.closed.is_set()
        await asyncio.wait_for(there.closed.wait(), 5)
        await _send(http, there.url)
        assert there.connections == 2


async def test_a_kept_connection_that_hangs_ends_in_time(http: OutgoingHttp) -> None:
    async def hangs_later(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        if len(there.requests) == 2:
            await asyncio.Event().wait()
        writer.write(answer())
        await writer.drain()
        return True

    async with peer(hangs_later) as there:
        await _send(http, there.url)
        with pytest.raises(OutgoingError, match=r"took the connection but did not answer within 0.1 s") as failed:
            await _send(http, there.url, seconds=0.1)
        assert failed.value.kind == "timeout"
        assert (await _send(http, there.url)).status == 200
        assert there.connections == 2


async def test_a_cancelled_request_leaves_no_half_read_connection(http: OutgoingHttp) -> None:
    begun = asyncio.Event()

    async def hangs_first(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        if len(there.requests) == 1:
            begun.set()
            await asyncio.sleep(0.05)
        writer.write(answer(b"%d" % len(there.requests)))
        await writer.drain()
        return True

    async with peer(hangs_first) as there:
        task = asyncio.create_task(_send(http, there.url))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await _send(http, there.url)).body == b"2"


async def test_places_are_given_back(http: OutgoingHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused, timed out, cancelled while waiting: a place is never lost."""
    monkeypatch.setattr(express_module, "MAX_CONNECTIONS_PER_HOST", 2)

    async def hangs(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        await asyncio.Event().wait()
        return False

    async with peer(hangs) as there:
        tasks = [asyncio.create_task(_send(http, there.url, seconds=0.1)) for _ in range(6)]
        await asyncio.sleep(0.01)
        tasks[-1].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(o, OutgoingError | asyncio.CancelledError) for o in outcomes)
        express = http._express
        assert express is not None
        (origin,) = express._origins.values()
        assert (origin._taken, len(origin._waiting), express._open) == (0, 0, 0)


async def test_a_target_may_come_back_to_the_short_way(
    http: OutgoingHttp, taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(express_module, "LONG_WAY_SECONDS", -1.0)
    async with peer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n") as there:
        for _ in range(3):
            assert (await _send(http, there.url)).body == b"ok"
        assert len(taken) == 3


async def test_the_number_of_origins_is_bounded(http: OutgoingHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(express_module, "MAX_ORIGINS", 2)
    for _ in range(4):
        async with peer(answer()) as there:
            await _send(http, there.url)
    assert http._express is not None
    assert len(http._express._origins) <= 2


@given(st.binary(max_size=200))
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n")
@example(b"HTTP/1.1 200 OK\r\nContent-Length : 1\r\n")
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n")
@example(b"HTTP/1.1 200 OK\r\nX: y\r\n Content-Length: 1\r\n")
@example(b"HTTP/1.1 200 OK\nContent-Length: 1\r\n")
@example(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n")
@example(b"HTTP/1.1 101 Switching\r\nContent-Length: 0\r\n")
def test_only_what_has_one_meaning_is_plain(head: bytes) -> None:
    found = _plain(head)
    if found is not None:
        assert head.startswith(b"HTTP/1.1 ")
        assert head.lower().count(b"content-length") <= 1


def test_what_is_plain() -> None:
    assert _plain(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n") is not None
    assert _plain(b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length:0\r\nDate: y\r\n") is not None
    for head in (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n", b"HTTP/1.1 200 OK\r\n"):
        assert _plain(head) is None
