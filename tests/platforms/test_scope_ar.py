"""The whole story over real sockets: a webhook of generation 2 comes three times, its signature is right, the CMS is
asked, the host is killed (SIGKILL) in the middle of the question, and the session is joined to its work order once.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.host_process import HostProcess, running
from tests.platforms.scope_ar import SECRET, SESSION_ID, TOKEN, WorkLink, completed, generation_2, session, worklink
from tests.unit.callbacks.receiver import Receiver, receiving

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

ORDER = "/api/v1/work-orders/WO-7%2F2%2B1"
PHOTO = b"\xff\xd8\xff\xe0 a photo"
ENVIRONMENT = {"ALLOW_PRIVATE_TARGETS": "true", "ALLOW_HTTP_TARGETS": "true"}


async def made(host: HostProcess, path: str, wanted: dict[str, Any]) -> Any:
    status, said = await host.call("POST", path, json=wanted)
    assert status in (200, 201), said
    return said


async def until(host: HostProcess, path: str, right: Callable[[Any], bool]) -> Any:
    """Ask until it is so."""
    async with asyncio.timeout(60):
        while True:
            status, said = await host.call("GET", path)
            if status == 200 and right(said):
                return said
            await asyncio.sleep(0.05)


async def prepare(host: HostProcess, cms: WorkLink, receiver: Receiver) -> str:
    """The oven, the connection, the source, a subscriber, a task of the order; the path of the webhooks."""
    await made(host, "/api/v1/equipment", {"id": "oven1", "name": "Deck oven 1", "type": "deck_oven"})
    await made(
        host,
        "/api/v1/connections",
        {"id": "cms", "platform": "scope_ar", "options": {"url": cms.graphql}, "credentials": {"token": TOKEN}},
    )
    await made(host, "/api/v1/tasks", {"title": "Clean it", "work_order_id": "WO-7/2+1", "equipment_id": "oven1"})
    await made(host, "/ffwebservices/api/v2/callbacks", {"eventType": "SESSION_RECORDED", "url": f"{receiver.url}/c"})
    source = await made(
        host,
        "/api/v1/hook-sources",
        {"id": "worklink", "kind": "scope_ar", "signing_secret": SECRET, "options": {"connection": "cms"}},
    )
    return "/api/hooks/" + str(source["url"]).partition("/api/hooks/")[2]


async def post(host: HostProcess, path: str, **how: Any) -> int:
    raw, headers = generation_2(**how)
    status, _ = await host.call("POST", path, data=raw, headers=headers)
    return status


async def test_three_webhooks_a_kill_and_one_session(tmp_path: Path) -> None:
    async with worklink() as cms, receiving() as receiver:
        cms.nodes[SESSION_ID] = session()
        cms.files["/files/1"] = ("image/jpeg", PHOTO)
        photo = {"id": "cap/1", "type": "PHOTO", "photo": {"fileUrl": f"{cms.url}/files/1"}}
        async with running(tmp_path, env=ENVIRONMENT) as host:
            path = await prepare(host, cms, receiver)
            assert await post(host, path, webhook_id="w-1", topic="scenario_session/created") == 202
            await until(host, ORDER, lambda order: len(order["sessions"]) == 1)

            # It is completed; the CMS takes the question and the host dies before the answer.
            cms.nodes[SESSION_ID] = completed()
            cms.captures[SESSION_ID] = [photo]
            cms.holding = asyncio.Event()
            cms.arrived.clear()
            assert await post(host, path, webhook_id="w-2") == 202
            assert await post(host, path, webhook_id="w-2") == 200
            assert await post(host, path, webhook_id="w-2", secret="not the secret") == 401
            async with asyncio.timeout(20):
                await cms.arrived.wait()
            await host.end(signal.SIGKILL)
            cms.holding.set()
            cms.holding = None

        async with running(tmp_path, env=ENVIRONMENT) as host:
            assert await post(host, path, webhook_id="w-2") == 200, "the third time: it is known, over the kill"

            # A message is found by its order once its effect is written down, which comes last; what is gathered is
            # not of one moment.
            def all_there(order: Any) -> bool:
                return len(order["messages"]) == 2 and bool(order["sessions"][0]["captures_copied"])

            order = await until(host, ORDER, all_there)
            (found,) = order["sessions"]
            assert (found["state"], found["ended"], found["equipment_name"]) == ("completed", True, "Deck oven 1")
            assert found["captures_copied"] == 1
            assert [task["title"] for task in order["tasks"]] == ["Clean it"]
            assert sorted(one["event"] for one in order["messages"]) == [
                "scenario_session/completed",
                "scenario_session/created",
            ]
            async with asyncio.timeout(30):
                while len(receiver.ids()) < 2:
                    receiver.arrived.clear()
                    await receiver.arrived.wait()
            changes = sorted(one.json()["properties"]["data"]["change"] for one in receiver.seen)
            status, bytes_of_it = await host.call(
                "GET", (await host.call("GET", f"/api/v1/sessions/{found['id']}"))[1]["captures"][0]["url"]
            )
            await host.end()
        assert (status, bytes_of_it) == (200, PHOTO)
        assert changes == ["completed", "recorded"], "two things happened, each was told once"
        assert cms.fetched == ["/files/1"]
