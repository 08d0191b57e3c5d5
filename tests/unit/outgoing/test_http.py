"""The one way out, against servers that misbehave in every way there is."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from shared.errors import InvalidInput
from shared.outgoing import busy as busy_module
from shared.outgoing import http as http_module
from shared.outgoing.failures import explain
from shared.outgoing.http import OutgoingError, OutgoingHttp
from shared.outgoing.targets import TargetPolicy
from tests.unit.outgoing.peers import Authority, Peer, answer, peer

PLANT = TargetPolicy(allow_private=True, allow_http=True)


@pytest.fixture
async def usual() -> AsyncIterator[OutgoingHttp]:
    """The first request takes the one way, those that follow soon the other."""
    made = OutgoingHttp(PLANT)
    yield made
    await made.close()


@pytest.fixture(params=["seldom", "often"])
async def http(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OutgoingHttp]:
    """Both ways out: targets that are asked now and then, and such as are asked often from the first request on."""
    if request.param == "often":
        monkeypatch.setattr(http_module._BusyOrigins, "note", lambda self, origin: True)
    made = OutgoingHttp(PLANT)
    yield made
    await made.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


async def _failure(http: OutgoingHttp, url: str, *, seconds: float = 5, **more: object) -> OutgoingError:
    with pytest.raises(OutgoingError) as failed:
        await http.send("POST", url, headers={}, content=b"{}", timeout_seconds=seconds, **more)  # type: ignore[arg-type]
    assert "sig=" not in failed.value.detail
    assert "secret" not in failed.value.detail
    return failed.value


# What leaves -----------------------------------------------------------------------------------------------------

SIGNED = "/workflows/a%2Fb/../c//d?api-version=2016-06-01&sp=%2Ftriggers%2Frun&sv=1.0&sig=Ab%2fC-_~%3D+x%7e{}|'\"<>&"


@pytest.mark.parametrize("target", [SIGNED, "/", "/?a", "/x;y=1?", "/%zz?%", ""], ids=lambda t: t[:10] or "empty")
async def test_the_url_leaves_byte_for_byte(http: OutgoingHttp, target: str) -> None:
    async with peer(answer()) as there:
        if target.endswith("?"):
            assert (await _failure(http, there.url + target)).kind == "unsafe"
            return
        for _ in range(2):
            await http.send("POST", there.url + target, headers={}, content=b"{}", timeout_seconds=5)
            assert there.lines()[0] == f"POST {target or '/'} HTTP/1.1"


async def test_httpx_keeps_a_signature_too(http: OutgoingHttp) -> None:
    async with peer(answer(b'{"a":1}')) as there:
        got = await http.client().post(there.url + "/x?sig=Ab%2FC%2fd%3D+x", json={})
        assert got.json() == {"a": 1}
        assert there.lines()[0] == "POST /x?sig=Ab%2FC%2fd%3D+x HTTP/1.1"
        assert http.client() is http.client(), "one for one TLS choice"
        assert http.client(verify=False) is not http.client()


async def test_what_is_sent(http: OutgoingHttp) -> None:
    async with peer(answer()) as there:
        url = there.url.replace("//", "//us%20er:pa%3Ass@") + "/cb"
        sent = {"Content-Type": "application/json", "webhook-id": "e1"}
        got = await http.send("POST", url, headers=sent, content=b'{"a":1}', timeout_seconds=5)
        assert (got.status, got.body, got.truncated) == (200, b"ok", False)
        assert got.headers["content-type"] == "text/plain"
        assert got.elapsed_ms > 0
        assert there.requests[0][1] == b'{"a":1}'
        assert there.header("authorization") == "Basic dXMgZXI6cGE6c3M="
        assert there.header("accept-encoding") == "identity"
        assert there.header("webhook-id") == "e1"
        assert there.header("user-agent") == "Ovenbridge"
        assert there.header("host") == f"127.0.0.1:{there.port}"
        assert there.header("cookie") is None
        await http.send("POST", url, headers={"authorization": "Bearer x"}, content=b"", timeout_seconds=5)
        assert there.header("authorization") == "Bearer x", "a header given wins"


async def test_cookies_and_redirects_are_not_followed(http: OutgoingHttp) -> None:
    bait = answer(b"", "302 Found", extra="Location: http://169.254.169.254/latest\r\nSet-Cookie: a=b\r\n")
    async with peer(bait) as there:
        for _ in range(2):
            got = await http.send("GET", there.url, headers={}, content=b"", timeout_seconds=5)
            assert got.status == 302
            assert there.header("cookie") is None
        assert len(there.requests) == 2


async def test_proxies_of_the_environment_are_ignored(http: OutgoingHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with peer(answer()) as there:
        assert (await http.send("GET", there.url, headers={}, content=b"", timeout_seconds=5)).status == 200
        assert (await http.client().get(there.url)).status_code == 200


async def test_a_header_with_a_line_break_goes_nowhere(http: OutgoingHttp) -> None:
    async with peer(answer()) as there:
        with pytest.raises(OutgoingError):
            await http.send("GET", there.url, headers={"X": "a\r\nB: c"}, content=b"", timeout_seconds=5)
        assert there.requests == []


# Which connection ------------------------------------------------------------------------------------------------


async def test_busy_targets_keep_their_connection_and_quiet_ones_do_not(
    usual: OutgoingHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with peer(answer()) as there:
        for _ in range(5):
            await usual.send("POST", there.url, headers={}, content=b"", timeout_seconds=5)
        assert there.header("connection", 0) == "close"
        assert there.connections == 2, "the first is not kept, the other four share one"
        monkeypatch.setattr(http_module, "REUSE_SECONDS", -1.0)
        await usual.send("POST", there.url, headers={}, content=b"", timeout_seconds=5)
        assert there.header("connection") == "close"


async def test_a_kept_connection_that_died_is_tried_once_more(usual: OutgoingHttp) -> None:
    async def dies_on_the_third(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        if len(there.requests) == 3:
            return False
        writer.write(answer())
        await writer.drain()
        return True

    async with peer(dies_on_the_third) as there:
        for _ in range(3):
            got = await usual.send("POST", there.url, headers={}, content=b"x", timeout_seconds=5)
            assert got.status == 200
        assert len(there.requests) == 4
        assert there.connections == 3


async def test_but_not_where_once_is_all(http: OutgoingHttp) -> None:
    async def dies_on_the_third(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        if len(there.requests) == 3:
            return False
        writer.write(answer())
        await writer.drain()
        return True

    async with peer(dies_on_the_third) as there:
        for _ in range(2):
            await http.send("POST", there.url, headers={}, content=b"x", timeout_seconds=5, once=True)
        with pytest.raises(OutgoingError) as failed:
            await http.send("POST", there.url, headers={}, content=b"x", timeout_seconds=5, once=True)
        assert (failed.value.kind, len(there.requests)) == ("reset", 3)


async def test_a_new_connection_that_dies_is_not_tried_again(http: OutgoingHttp) -> None:
    async def dies(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        return False

    async with peer(dies) as there:
        failed = await _failure(http, there.url + "/?sig=1")
        assert failed.kind == "reset"
        assert "without an answer" in failed.detail
        assert len(there.requests) == 1


async def test_two_dead_connections_are_the_end(http: OutgoingHttp) -> None:
    async def dies_from_the_third(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        if len(there.requests) >= 3:
            return False
        writer.write(answer())
        await writer.drain()
        return True

    async with peer(dies_from_the_third) as there:
        for _ in range(2):
            await http.send("POST", there.url, headers={}, content=b"x", timeout_seconds=5)
        assert (await _failure(http, there.url)).kind == "reset"
        assert len(there.requests) == 4


async def test_a_half_answer_is_never_tried_again(http: OutgoingHttp) -> None:
    async def breaks_off(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        if len(there.requests) >= 3:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            await writer.drain()
            return False
        writer.write(answer())
        await writer.drain()
        return True

    async with peer(breaks_off) as there:
        for _ in range(2):
            await http.send("POST", there.url, headers={}, content=b"x", timeout_seconds=5)
        failed = await _failure(http, there.url)
        assert (failed.kind, "in the middle" in failed.detail) == ("reset", True)
        assert len(there.requests) == 3


# Time and size ---------------------------------------------------------------------------------------------------


async def test_a_server_that_takes_the_connection_and_hangs(http: OutgoingHttp) -> None:
    async def hangs(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        await asyncio.Event().wait()
        return False

    async with peer(hangs) as there:
        failed = await _failure(http, there.url, seconds=0.2)
        assert failed.kind == "timeout"
        assert "took the connection but did not answer within 0.2 s" in failed.detail


async def test_a_server_that_drips(http: OutgoingHttp) -> None:
    """Each byte comes in time, the whole never does: only a limit on the total helps."""

    async def drips(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.01)
        return False

    async with peer(drips) as there:
        begun = time.perf_counter()
        failed = await _failure(http, there.url, seconds=0.3)
        assert time.perf_counter() - begun < 2
        assert failed.kind == "timeout"
        assert "began to answer" in failed.detail
        await asyncio.wait_for(there.closed.wait(), 5)


async def test_an_address_that_swallows_everything(http: OutgoingHttp) -> None:
    """A full backlog drops connection attempts, as a machine that is switched off does."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        failed = await _failure(http, f"http://127.0.0.1:{port}/", seconds=0.8)
        for filler in fillers:
            filler.close()
    assert failed.kind == "timeout"
    assert "did not take the connection within 0.8 s" in failed.detail


async def test_a_two_gigabyte_answer_costs_nothing(http: OutgoingHttp) -> None:
    written = 0

    async def endless(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2147483648\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            written += 65_536
            await writer.drain()

    async with peer(endless) as there:
        got = await http.send("POST", there.url, headers={}, content=b"", timeout_seconds=10, max_answer_bytes=1000)
        assert (got.status, got.body, got.truncated) == (200, b"x" * 1000, True)
        await asyncio.wait_for(there.closed.wait(), 5)
    assert written < 32_000_000, "the connection was dropped, not drained"


@pytest.mark.parametrize("size", [0, 999, 1000, 1001])
async def test_the_limit_is_exact(http: OutgoingHttp, size: int) -> None:
    async with peer(answer(b"y" * size)) as there:
        got = await http.send("POST", there.url, headers={}, content=b"", timeout_seconds=5, max_answer_bytes=1000)
        assert (len(got.body), got.truncated) == (min(size, 1000), size > 1000)


async def test_chunks_and_pieces_are_put_together(http: OutgoingHttp) -> None:
    async def chunked(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10):
            writer.write(b"3\r\nabc\r\n")
            await writer.drain()
            await asyncio.sleep(0.001)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async with peer(chunked) as there:
        for limit, expected in ((100, b"abc" * 10), (30, b"abc" * 10), (29, (b"abc" * 10)[:29])):
            got = await http.send("POST", there.url, headers={}, content=b"", timeout_seconds=5, max_answer_bytes=limit)
            assert (got.body, got.truncated) == (expected, limit < 30)


_RAW = zlib.compressobj(wbits=-15)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b'{"a":1}')),
        ("deflate", zlib.compress(b'{"a":1}')),
        ("deflate", _RAW.compress(b'{"a":1}') + _RAW.flush()),
        ("gzip", b'{"a":1}'),
        ("br", b'{"a":1}'),
    ],
    ids=["gzip", "deflate", "raw-deflate", "gzip-by-name-only", "unknown"],
)
async def test_packing_that_was_not_asked_for(http: OutgoingHttp, encoding: str, packed: bytes) -> None:
    async with peer(answer(packed, extra=f"Content-Encoding: {encoding}\r\n")) as there:
        got = await http.send("GET", there.url, headers={}, content=b"", timeout_seconds=5)
        assert (got.body, got.truncated) == (b'{"a":1}', False)


async def test_a_packed_bomb_stays_small(http: OutgoingHttp) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    async with peer(answer(bomb, extra="Content-Encoding: gzip\r\n")) as there:
        got = await http.send("GET", there.url, headers={}, content=b"", timeout_seconds=5, max_answer_bytes=100_000)
        assert (len(got.body), got.truncated) == (100_000, True)


@pytest.mark.parametrize(
    "bomb",
    [b"X: " + b"a" * 2_000_000 + b"\r\n", b"".join(b"X-%d: a\r\n" % n for n in range(5_000))],
    ids=["long", "many"],
)
async def test_header_bombs(http: OutgoingHttp, bomb: bytes) -> None:
    async with peer(b"HTTP/1.1 200 OK\r\n" + bomb + b"Content-Length: 0\r\n\r\n") as there:
        failed = await _failure(http, there.url)
        assert failed.kind == "too_large"
        assert "headers" in failed.detail


async def test_something_that_is_not_http(http: OutgoingHttp) -> None:
    async with peer(b"SSH-2.0-OpenSSH_9.2\r\n\r\n") as there:
        failed = await _failure(http, there.url)
        assert failed.kind == "protocol"
        assert "not HTTP" in failed.detail


async def test_a_reset_in_the_middle(http: OutgoingHttp) -> None:
    async def resets(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()
        return False

    async with peer(resets) as there:
        assert (await _failure(http, there.url)).kind == "reset"


# Who may be reached ----------------------------------------------------------------------------------------------


async def test_nobody_listens(http: OutgoingHttp) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        failed = await _failure(http, f"http://user:secret@127.0.0.1:{port}/x?sig=1")
    assert failed.kind == "refused"
    assert failed.detail == f"Nothing listens on 127.0.0.1:{port} (connection refused): is the service started?"


async def test_a_name_that_does_not_exist(http: OutgoingHttp) -> None:
    failed = await _failure(http, "http://no-such-oven.invalid/?sig=1")
    assert (failed.kind, "no-such-oven.invalid is not found" in failed.detail) == ("dns", True)


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/", "http://[::ffff:169.254.169.254]/", "ftp://x/", "http://[fe80::1]/", "http://0/"]
)
async def test_refused_addresses_are_never_connected_to(http: OutgoingHttp, url: str) -> None:
    assert (await _failure(http, url)).kind == "unsafe"
    with pytest.raises(OutgoingError):
        await http.client().get(url)


class _Names:
    """A name server that says what it is told, each time anew."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


async def test_a_name_with_one_private_address_among_public_ones() -> None:
    names = _Names(["93.184.216.34", "127.0.0.1"])
    http = OutgoingHttp(TargetPolicy(allow_private=False, allow_http=True, resolve=names.resolve))
    async with peer(answer()) as there:
        failed = await _failure(http, f"http://oven.example:{there.port}/")
        assert failed.kind == "unsafe"
        assert "127.0.0.1" in failed.detail
        with pytest.raises(OutgoingError) as refused:
            await http.client().get(f"http://oven.example:{there.port}/")
        assert refused.value.kind == "unsafe"
        assert there.connections == 0
    await http.close()


async def test_a_name_that_turns_to_another_address_after_it_was_vetted() -> None:
    """DNS rebinding: public when registered, the metadata service when called."""
    names = _Names(["93.184.216.34"], ["169.254.169.254"])
    policy = TargetPolicy(allow_private=True, allow_http=True, resolve=names.resolve)
    http = OutgoingHttp(policy)
    await policy.check_resolves("http://oven.example/", field="callbackUrl")
    failed = await _failure(http, "http://oven.example/?sig=1")
    assert (failed.kind, names.asked) == ("unsafe", 2)
    await http.close()


async def test_the_vetted_address_is_the_one_connected_to() -> None:
    """One look-up, and its answer is used: nothing is asked a second time between vetting and connecting."""
    names = _Names(["127.0.0.1"], ["169.254.169.254"])
    http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True, resolve=names.resolve))
    async with peer(answer()) as there:
        got = await http.send("GET", f"http://oven.example:{there.port}/x", headers={}, content=b"", timeout_seconds=5)
        assert got.status == 200
        assert there.header("host") == f"oven.example:{there.port}"
        assert names.asked == 1
    await http.close()


async def test_a_busy_name_is_vetted_anew_and_only_its_vetted_address_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = _Names(["127.0.0.1"], ["127.0.0.1"], ["169.254.169.254"])
    http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True, resolve=names.resolve))
    monkeypatch.setattr(http_module._BusyOrigins, "note", lambda self, origin: True)
    async with peer(answer()) as there:
        url = f"http://oven.example:{there.port}/x"
        for _ in range(3):
            await http.send("POST", url, headers={}, content=b"", timeout_seconds=5)
        assert (names.asked, there.connections) == (1, 1), "looked up once, one connection for all"
        assert there.header("host") == f"oven.example:{there.port}"
        monkeypatch.setattr(busy_module, "DNS_CACHE_SECONDS", -1.0)
        for way in http._busy_targets._ways.values():  # type: ignore[union-attr]
            way.vetted_until = 0
        await http.send("POST", url, headers={}, content=b"", timeout_seconds=5)
        assert (names.asked, there.connections) == (2, 1), "the same address: the connection stays"
        assert (await _failure(http, url)).kind == "unsafe"
        assert len(there.requests) == 4
    await http.close()


async def test_a_name_with_two_addresses_goes_where_both_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    names = _Names(["127.0.0.9", "127.0.0.1"])
    http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True, resolve=names.resolve))
    monkeypatch.setattr(http_module._BusyOrigins, "note", lambda self, origin: True)
    async with peer(answer()) as there:
        got = await http.send("POST", f"http://oven.example:{there.port}/", headers={}, content=b"", timeout_seconds=5)
        assert got.status == 200
    await http.close()


async def test_the_socket_itself_looks_at_its_address() -> None:
    """The last guard: even where a resolver would let an address through, no socket is made for it."""
    vetting = TargetPolicy(allow_private=True, allow_http=True)

    class Gullible(TargetPolicy):
        async def addresses(self, host: str, port: int, *, field: str | None = None) -> tuple[str, ...]:
            return ("127.0.0.1",)

        def vet(self, host: str, addresses: Sequence[str]) -> None:
            vetting.vet(host, ["169.254.169.254" if a == "127.0.0.1" else a for a in addresses])

    http = OutgoingHttp(Gullible(allow_private=True, allow_http=True))
    async with peer(answer()) as there:
        assert (await _failure(http, f"http://oven.example:{there.port}/")).kind == "unsafe"
        assert there.connections == 0
    await http.close()


# TLS -------------------------------------------------------------------------------------------------------------


async def test_own_ca(http: OutgoingHttp, authority: Authority) -> None:
    context, _ = authority.server()
    async with peer(answer(), tls=context) as there:
        for _ in range(2):
            got = await http.send("GET", there.url, headers={}, content=b"", timeout_seconds=5, ca_pem=authority.pem)
            assert got.status == 200
        assert (await http.client(ca_pem=authority.pem).get(there.url)).status_code == 200
        failed = await _failure(http, there.url)
        assert failed.kind == "tls"
        assert "give that CA as ca_certificate" in failed.detail


async def test_self_signed(http: OutgoingHttp, authority: Authority) -> None:
    context, pem = authority.server(self_signed=True)
    async with peer(answer(), tls=context) as there:
        failed = await _failure(http, there.url)
        assert failed.kind == "tls"
        assert "self-signed" in failed.detail
        for choice in ({"verify": False}, {"ca_pem": pem}):
            got = await http.send("GET", there.url, headers={}, content=b"", timeout_seconds=5, **choice)
            assert got.status == 200
        assert (await _failure(http, there.url)).kind == "tls", "one device's choice is not another's"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"valid": (-10, -1)}, "has expired"),
        ({"valid": (1, 10)}, "not valid yet"),
        ({"names": ("10.1.2.3",)}, "not made out to this IP address"),
    ],
    ids=["expired", "early", "other-name"],
)
async def test_certificates_that_are_wrong(
    http: OutgoingHttp, authority: Authority, wrong: dict[str, object], says: str
) -> None:
    context, _ = authority.server(**wrong)  # type: ignore[arg-type]
    async with peer(answer(), tls=context) as there:
        failed = await _failure(http, there.url, ca_pem=authority.pem)
        assert (failed.kind, says in failed.detail) == ("tls", True), failed.detail


async def test_tls_where_none_is_spoken(http: OutgoingHttp, authority: Authority) -> None:
    async def speaks_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"this is plain http", "400 Bad Request"))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(speaks_first, "127.0.0.1", 0) as server:
        failed = await _failure(http, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        assert failed.kind == "tls"
        assert "Is it https://" in failed.detail
    async with peer(answer()) as there:
        failed = await _failure(http, there.url.replace("http:", "https:"), seconds=0.2)
        assert "TLS handshake" in failed.detail
    context, _ = authority.server()
    async with peer(answer(), tls=context) as there:
        assert (await _failure(http, there.url.replace("https:", "http:"))).kind in ("reset", "protocol")


async def test_a_ca_that_is_none(http: OutgoingHttp) -> None:
    assert (await _failure(http, "https://127.0.0.1/", ca_pem="nonsense")).kind == "unsafe"
    with pytest.raises(InvalidInput, match="PEM"):
        http.client(ca_pem="nonsense")


async def test_the_number_of_tls_choices_is_bounded(
    tmp_path: Path, http: OutgoingHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_module, "MAX_TLS_CHOICES", 2)
    cas = [Authority(tmp_path).pem for _ in range(4)]
    clients = [http.client(ca_pem=ca) for ca in cas]
    assert len(http._sessions) == 2
    assert http.client(ca_pem=cas[3]) is clients[3]
    assert http.client(ca_pem=cas[0]) is not clients[0]


async def test_after_closing_it_can_be_used_again() -> None:
    http = OutgoingHttp(PLANT)
    async with peer(answer()) as there:
        for _ in range(2):
            assert (await http.send("GET", there.url, headers={}, content=b"", timeout_seconds=5)).status == 200
            assert (await http.client().get(there.url)).status_code == 200
            await http.close()


async def test_many_at_once_share_few_connections(usual: OutgoingHttp) -> None:
    async with peer(answer()) as there:
        sent = [usual.send("POST", there.url, headers={}, content=b"x", timeout_seconds=20) for _ in range(600)]
        assert {got.status for got in await asyncio.gather(*sent)} == {200}
        assert there.connections <= 101


def test_what_nobody_foresaw_is_still_a_sentence() -> None:
    for strange in (
        RuntimeError("sig=abc"),
        OSError("sig"),
        ExceptionGroup("g", [OSError(1, "x")]),
        OSError(9999, "s"),
    ):
        explained = explain(strange, "oven:80")
        assert explained.kind == "protocol"
        assert explained.detail.startswith("oven:80 could not be talked to")
        assert "sig" not in explained.detail
