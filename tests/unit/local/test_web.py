"""HTTP through a real socket: the local host's own answers, limits and forms, on the sample app."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from local.admin import Admin
from local.bodies import Bodies
from local.cors import Cors
from local.functions import Function, HttpFunction, load
from local.guard import DeveloperGuard
from local.keys import Keys
from local.routes import RouteTable
from local.running import Running
from local.web import Web

KEYS = Keys(master="m" * 40, host=("h" * 40,), by_function={"keyed": ("k" * 40,)})


def sample_functions() -> tuple[Function, ...]:
    return load("tests.unit.local.sample_app")


class Client:
    """Calls a host under test."""

    def __init__(self, web: Web, session: aiohttp.ClientSession, port: int) -> None:
        self.web = web
        self.session = session
        self.port = port

    async def __call__(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, data: Any = None
    ) -> tuple[int, dict[str, str], bytes]:
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.session.request(method, url, headers=headers, data=data, allow_redirects=False) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, await answer.read()

    async def json(self, method: str, path: str, **how: Any) -> Any:
        status, _, body = await self(method, path, **how)
        assert status == 200, body
        return json.loads(body)

    async def raw(self, data: bytes) -> bytes:
        """Send bytes, answer all that comes until the host closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        try:
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def served(**how: Any) -> AsyncIterator[Client]:
    functions = sample_functions()
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    how.setdefault("keys", None)
    web = Web(
        table=RouteTable(f for f in functions if isinstance(f, HttpFunction)),
        running=how.pop("running", Running(None)),
        admin=Admin(functions, {}, f"http://127.0.0.1:{port}"),
        up=True,
        lingering_seconds=0.05,
        **how,
    )
    await web.listen(web.open(), sock)
    try:
        async with aiohttp.ClientSession() as session:
            yield Client(web, session, port)
    finally:
        web.stop_accepting()
        await web.close()


@pytest.fixture
async def call() -> AsyncIterator[Client]:
    async with served() as client:
        yield client


async def test_a_function_sees_the_request_as_under_the_host(call: Client) -> None:
    seen = await call.json(
        "POST",
        "/API/echo/Oven%201?A=1&b=&a=2&c=x+y%26z&d",
        headers={"X-Thing": "V", "Content-Type": "text/plain"},
        data=b"hello",
    )
    assert seen["method"] == "POST"
    assert seen["url"] == f"http://127.0.0.1:{call.port}/API/echo/Oven%201?A=1&b=&a=2&c=x+y%26z&d"
    assert seen["params"] == {"A": "1,2", "c": "x y&z"}
    assert seen["route"] == {"name": "Oven 1"}
    assert seen["headers"]["x-thing"] == "V"
    assert seen["headers"]["content-length"] == "5"
    assert seen["body"] == "hello"


async def test_repeated_header_fields_are_joined(call: Client) -> None:
    head = b"GET /api/echo HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\nx-a: 2\r\nConnection: close\r\n\r\n"
    answer = await call.raw(head)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["headers"]["x-a"] == "1,2"


async def test_an_optional_parameter_may_be_absent(call: Client) -> None:
    assert (await call.json("GET", "/api/echo"))["route"] == {}


async def test_a_chunked_body_arrives_empty(call: Client) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"hello"

    seen = await call.json("POST", "/api/echo", data=chunks())
    assert seen["length"] == 0
    assert seen["headers"]["transfer-encoding"] == "chunked"


async def test_a_compressed_body_arrives_as_it_was_sent(call: Client) -> None:
    seen = await call.json("POST", "/api/echo", headers={"Content-Encoding": "gzip"}, data=b"no gzip at all")
    assert seen["body"] == "no gzip at all"


async def test_a_sync_function_and_its_header_fields(call: Client) -> None:
    async with call.session.get(f"http://127.0.0.1:{call.port}/api/plain") as answer:
        assert answer.headers.getall("X-Twice") == ["2"]
        assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["Server"] == "Ovenbridge"
        assert await answer.read() == b"hello"


@pytest.mark.parametrize("path", ["/api/fails", "/api/nothing"])
async def test_an_escaped_exception_is_a_bare_500(call: Client, path: str, caplog: pytest.LogCaptureFixture) -> None:
    status, _, body = await call("GET", path + "?code=hunter2")
    assert (status, body) == (500, b"")
    assert path.rpartition("/")[2] in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "OPTIONS"])
async def test_another_method_is_404_and_names_those_there_are(call: Client, method: str) -> None:
    status, headers, body = await call(method, "/api/echo/x")
    assert status == 404
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["methods"] == ["GET", "POST", "PUT"]


async def test_head_has_no_body(call: Client) -> None:
    status, _, body = await call("HEAD", "/api/echo/x")
    assert (status, body) == (404, b"")


async def test_no_route_is_404(call: Client) -> None:
    status, _, body = await call("GET", "/nowhere?code=hunter2")
    assert status == 404
    assert b"hunter2" not in body
    assert (await call("GET", "/"))[0] == 404


async def test_starting_is_503() -> None:
    async with served() as client:
        client.web.up = False
        status, _, body = await client("GET", "/api/echo")
    assert (status, body) == (503, b"Function host is not running.")


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/api/echo", None, 200),
        ("/api/keyed", None, 401),
        ("/api/keyed", "wrong", 401),
        ("/api/keyed", "ä", 401),
        ("/api/keyed", "k" * 40, 200),
        ("/api/keyed", "h" * 40, 200),
        ("/api/keyed", "m" * 40, 200),
        ("/api/locked", "k" * 40, 401),
        ("/api/locked", "h" * 40, 401),
        ("/api/locked", "m" * 40, 200),
        ("/admin/host/status", None, 401),
        ("/admin/host/status", "h" * 40, 401),
        ("/admin/host/status", "m" * 40, 200),
        ("/admin/host/ping", None, 200),
    ],
)
async def test_keys(path: str, key: str | None, status: int) -> None:
    async with served(keys=KEYS) as client:
        sent = {"x-functions-key": key.encode().decode("latin-1")} if key else None
        found, _, body = await client("GET", path, headers=sent)
        assert found == status
        if status == 401:
            assert body == b""
        if key and key.isascii():
            assert (await client("GET", f"{path}?code={key}"))[0] == status


async def test_the_key_in_the_header_comes_before_the_one_in_the_query() -> None:
    async with served(keys=KEYS) as client:
        wrong = {"x-functions-key": "wrong"}
        assert (await client("GET", f"/api/keyed?code={'h' * 40}", headers=wrong))[0] == 401


async def test_without_keys_everybody_is_in(call: Client) -> None:
    assert (await call("GET", "/api/locked"))[0] == 200


async def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    async with served(bodies=Bodies(most_bytes=10)) as client:
        head = b"POST /api/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\n"
        answer = await client.raw(head)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"11 bytes; this host takes 10" in answer
        assert (await client("POST", "/api/echo", data=b"x" * 10))[0] == 200


async def test_a_body_that_comes_too_slowly_is_given_up() -> None:
    async with served(bodies=Bodies(grace_seconds=0.05)) as client:
        answer = await client.raw(b"POST /api/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhell")
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_too_many_large_bodies_at_once() -> None:
    async with served(bodies=Bodies(most_held=3_000_000)) as client:
        head = b"POST /api/echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2000000\r\n\r\n"
        _, waiting = await asyncio.open_connection("127.0.0.1", client.port)
        waiting.write(head)
        await _until(lambda: client.web.bodies._held == 2_000_000)
        assert (await client.raw(head)).startswith(b"HTTP/1.1 429 ")
        waiting.close()
        await waiting.wait_closed()
        await _until(lambda: client.web.bodies._held == 0)


async def test_expect_continue_is_answered(call: Client) -> None:
    seen = await call.session.post(f"http://127.0.0.1:{call.port}/api/echo", data=b"hello", expect100=True)
    assert (await seen.json())["body"] == "hello"


async def test_a_header_that_is_too_long_is_refused(call: Client) -> None:
    answer = await call.raw(b"GET /api/echo HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40_000 + b"\r\n\r\n")
    assert b" 400 " in answer[:13]


async def test_what_is_no_http_is_refused_and_not_logged(call: Client, caplog: pytest.LogCaptureFixture) -> None:
    answer = await call.raw(b"GET /api/echo?code=hunter2 HTTP/9.x\r\n\r\n")
    assert b" 400 " in answer[:13]
    assert "hunter2" not in caplog.text


async def test_connections_are_kept(call: Client) -> None:
    one = b"GET /api/echo/1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /api/echo/2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert (await call.raw(one + one + last)).count(b"HTTP/1.1 200 OK") == 3


async def test_more_at_a_time_than_allowed_is_429() -> None:
    async with served(most_at_a_time=1) as client:
        slow = asyncio.create_task(client("GET", "/api/slow/0.3"))
        await _until(lambda: len(client.web.running) == 1)
        status, headers, _ = await client("GET", "/api/echo")
        assert (status, headers["retry-after"]) == (429, "1")
        assert (await slow)[0] == 200
        assert (await client("GET", "/api/echo"))[0] == 200


async def test_a_function_over_the_time_limit_is_ended() -> None:
    async with served(running=Running(5)) as client:
        slow = asyncio.create_task(client("GET", "/api/slow/30"))
        await _until(lambda: len(client.web.running) == 1)
        client.web.running.look(asyncio.get_running_loop().time() + 6)
        assert (await slow)[0] == 500
        assert len(client.web.running) == 0


async def test_cors() -> None:
    cors = Cors(frozenset({"https://tablet.example.com"}), credentials=True)
    asked = {
        "Origin": "https://tablet.example.com",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "x-a",
    }
    async with served(cors=cors, keys=KEYS) as client:
        status, headers, _ = await client("OPTIONS", "/api/keyed", headers=asked)
        assert status == 204
        assert headers["access-control-allow-origin"] == "https://tablet.example.com"
        assert headers["access-control-allow-methods"] == "PUT"
        assert headers["access-control-allow-headers"] == "x-a"
        assert headers["access-control-allow-credentials"] == "true"
        _, headers, _ = await client("GET", "/api/echo", headers={"Origin": "https://tablet.example.com"})
        assert headers["access-control-allow-origin"] == "https://tablet.example.com"
        assert headers["vary"] == "Origin"
        _, headers, _ = await client("GET", "/api/echo", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in headers
        _, headers, _ = await client("OPTIONS", "/api/keyed", headers={**asked, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "LOCALHOST:9"}, 200),
        ({"Host": "[::1]:7071"}, 200),
        ({"Host": "app.localhost"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:7071"}, 403),
        ({"Host": "192.168.1.5:7071"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:5173"}, 200),
        ({"Origin": "https://tablet.example.com"}, 200),
    ],
)
async def test_the_developer_is_kept_from_web_pages(headers: dict[str, str], status: int) -> None:
    cors = Cors(frozenset({"https://tablet.example.com"}))
    async with served(cors=cors, guard=DeveloperGuard(cors)) as client:
        assert (await client("POST", "/api/echo", headers=headers))[0] == status
        assert (await client("POST", "/api/echo"))[0] == 200


async def test_admin_routes(call: Client) -> None:
    assert (await call.json("GET", "/admin/host/status"))["state"] == "Initialized"
    names = [f["name"] for f in await call.json("GET", "/Admin/Functions")]
    assert names == sorted(names)
    assert (await call.json("GET", "/admin/functions/KEYED"))["name"] == "keyed"
    assert (await call("GET", "/admin/functions/none"))[0] == 404
    assert (await call("POST", "/admin/functions/none", data=b"{}"))[0] == 404
    assert (await call("POST", "/admin/functions/nightly"))[0] == 400
    assert (await call("POST", "/admin/functions/echo", data=b"{}"))[0] == 400
    assert (await call("GET", "/admin/other"))[0] == 404


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - somebody else's state
            await asyncio.sleep(0.005)
