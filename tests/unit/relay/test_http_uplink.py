"""The hub over HTTP, against a server that answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy
from shared.relay import http_uplink
from shared.relay.http_uplink import HttpUplink
from shared.relay.messages import Assignments, Command, CommandAnswer, Commands, Heartbeat, pack, unpack
from shared.relay.uplink import HubAway, HubRefused, HubShut, UplinkError
from tests.unit.relay.plant_house import device

AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
BEAT = Heartbeat(relay_id="plant-1", at=AT, version="1", started_at=AT)


@dataclass
class Server:
    url: str = ""
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path_qs, dict(request.headers), await request.read()))
        await asyncio.sleep(self.delay)
        return web.Response(status=self.status, body=self.body, headers=self.headers)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def uplink(server: Server) -> AsyncIterator[HttpUplink]:
    http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True))
    made = HttpUplink(http, hub_url=server.url + "/", relay_id="plant-1", token="ob_secret")
    yield made
    await made.close()


async def test_assignments(server: Server, uplink: HttpUplink) -> None:
    said = Assignments(relay_id="plant-1", etag="e", devices=tuple(device(f"oven-{n}") for n in range(50)))
    server.body = pack(said)
    assert await uplink.assignments(None) == said
    server.status, server.body = 304, b""
    assert await uplink.assignments("e") is None
    (_, path, headers, _), (_, _, again, _) = server.asked
    assert path == "/api/v1/relays/plant-1/assignments"
    assert headers["Authorization"] == "Bearer ob_secret"
    assert "If-None-Match" not in headers
    assert again["If-None-Match"] == '"e"'


async def test_a_batch_leaves_as_it_is(server: Server, uplink: HttpUplink) -> None:
    server.status = 202
    await uplink.send(b"\x1f\x8bbytes", "m")
    method, path, _, body = server.asked[0]
    assert (method, path, body) == ("POST", "/api/v1/relays/plant-1/readings", b"\x1f\x8bbytes")


async def test_a_heartbeat_and_an_answer(server: Server, uplink: HttpUplink) -> None:
    server.status = 204
    answer = CommandAnswer(id="c1", ok=True, at=AT)
    await uplink.heartbeat(BEAT)
    await uplink.answer(answer)
    assert unpack(Heartbeat, server.asked[0][3]) == BEAT
    assert server.asked[1][1] == "/api/v1/relays/plant-1/commands/c1/answer"
    assert unpack(CommandAnswer, server.asked[1][3]) == answer


async def test_commands_are_waited_for_at_most_20_seconds(server: Server, uplink: HttpUplink) -> None:
    command = Command(id="c1", kind="read_now", equipment_id="oven-1", expires_at=AT + timedelta(seconds=5))
    server.body = pack(Commands(commands=(command,)))
    assert await uplink.commands(60) == (command,)
    assert server.asked[0][1].endswith("/commands?wait=20")
    server.status = 204
    assert await uplink.commands(0) == ()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, HubRefused),
        (413, HubRefused),
        (401, HubShut),
        (403, HubShut),
        (404, HubShut),
        (500, HubAway),
        (502, HubAway),
        (429, HubAway),
        (301, HubAway),
    ],
)
async def test_what_the_hub_says_is_told(
    server: Server, uplink: HttpUplink, status: int, kind: type[UplinkError]
) -> None:
    server.status, server.body = status, b'{"detail": "Because of the moon."}'
    with pytest.raises(kind, match="moon") as caught:
        await uplink.send(b"x", "m")
    assert type(caught.value) is kind
    assert "ob_secret" not in caught.value.detail


@pytest.mark.parametrize("given", [("7", 7), ("-1", 0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0), ("1e9", 300)])
async def test_retry_after(server: Server, uplink: HttpUplink, given: tuple[str, float]) -> None:
    server.status, server.headers = 503, {"Retry-After": given[0]}
    with pytest.raises(HubAway) as caught:
        await uplink.heartbeat(BEAT)
    assert caught.value.retry_after == given[1]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"v": 2}', b"\x1f\x8bbroken"])
async def test_an_answer_that_is_none_is_no_reason_to_stop(server: Server, uplink: HttpUplink, body: bytes) -> None:
    server.body = body
    with pytest.raises(HubAway):
        await uplink.assignments(None)


async def test_a_hub_that_hangs(server: Server, uplink: HttpUplink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_uplink, "TIMEOUT_SECONDS", 0.05)
    server.delay = 1.0
    with pytest.raises(HubAway):
        await uplink.heartbeat(BEAT)


async def test_a_hub_that_is_not_there(server: Server) -> None:
    http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True))
    gone: Any = HttpUplink(http, hub_url="http://127.0.0.1:9", relay_id="plant-1", token="ob_secret")
    with pytest.raises(HubAway, match=r"http://127\.0\.0\.1:9"):
        await gone.send(b"x", "m")
    await gone.close()
