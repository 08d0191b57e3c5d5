"""A flow's whole story over real sockets, with the host killed at its worst moments."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from infra.connector.__main__ import HERE
from tests.faults.host_process import HostProcess, running
from tests.unit.callbacks.receiver import Receiver, receiving
from tests.unit.platforms.power_automate.conftest import SIGNED

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

DEFINITION: dict[str, Any] = json.loads((HERE / "apiDefinition.swagger.json").read_text("utf-8"))
ALERT = "/api/v1/flows/subscriptions/alert-raised"
ANY = "/api/v1/flows/subscriptions"


@asynccontextmanager
async def hot_oven() -> AsyncIterator[str]:
    """An oven that says 260 C."""

    async def say(_: web.BaseRequest) -> web.Response:
        return web.json_response({"t": 260.0})

    runner = web.ServerRunner(web.Server(say), handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/now"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def host(folder: Path) -> AsyncIterator[HostProcess]:
    async with running(folder, env={"DELIVERY_RETRY_SECONDS": "1"}) as started:
        yield started


async def subscribe(hub: HostProcess, path: str, url: str, **filters: str) -> str:
    """As the connector would: with every field of its form, what is empty left empty. The path of `Location`."""
    asked = DEFINITION["paths"][path]["post"]["parameters"][0]["schema"]["properties"]
    body = dict.fromkeys(asked, "") | {"callback_url": url} | filters
    async with hub.session.post(hub.url + path, json=body) as answer:
        assert answer.status == 201, await answer.text()
        location = answer.headers["Location"]
    assert location.startswith("http")
    return "/api" + location.partition("/api")[2]


async def told(flow: Receiver, times: int, path: str) -> None:
    async with asyncio.timeout(40):
        while len(flow.at(path)) < times:
            flow.arrived.clear()
            await flow.arrived.wait()


async def raise_event(hub: HostProcess, name: str) -> None:
    status, said = await hub.call("POST", "/api/v1/flows/events", json={"name": name})
    assert status == 201, said


async def test_from_the_oven_to_the_flow(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with hot_oven() as oven, receiving() as flow:
        flow.answer = 202
        async with host(data) as hub:
            assert (await hub.call("PUT", "/api/v1/equipment/OVEN-1", json={"name": "Horno #1"}))[0] == 201
            rule = {"equipment_id": "OVEN-1", "kind": "high", "signal": "temperature.cabinet", "limit": 250}
            assert (await hub.call("POST", "/api/v1/alert-rules", json=rule))[0] == 201
            mine = await subscribe(hub, ALERT, flow.url + SIGNED, equipment_id="OVEN-1")
            # It said 201: it may die now.
            await hub.end(signal.SIGKILL)
        flow.hang = True
        async with host(data) as hub:
            signals = {"temperature.cabinet": {"at": "t", "unit": "C"}}
            config = {"protocol": "rest_api", "endpoint": oven, "additional_config": {"signals": signals}}
            status, said = await hub.call("POST", "/api/v1/equipment/OVEN-1/iot-config", json=config)
            assert status == 200, said
            await told(flow, 1, SIGNED)
            # The flow has it and has not answered: it dies before it knows.
            await hub.end(signal.SIGKILL)
        flow.hang = False
        async with host(data) as hub:
            await told(flow, 2, SIGNED)
            first, second = flow.at(SIGNED)[:2]
            assert first.webhook_id == second.webhook_id
            assert first.json() == second.json()
            body = second.json()
            assert body["value"] == 260.0
            assert body["equipment_name"] == "Horno #1"
            schema = DEFINITION["paths"][ALERT]["post"]["x-ms-notification-content"]["schema"]
            assert list(body) == list(schema["properties"])
            await nothing_more_after_the_end(hub, flow, mine)


async def nothing_more_after_the_end(hub: HostProcess, flow: Receiver, mine: str) -> None:
    """A second flow shows that events are told; the first one has ended its subscription."""
    ended = await subscribe(hub, ANY, flow.url + "/ended", event_type="EXTERNAL")
    await subscribe(hub, ANY, flow.url + "/goes-on", event_type="EXTERNAL")
    await raise_event(hub, "ONE")
    await told(flow, 1, "/ended")
    await told(flow, 1, "/goes-on")
    for subscription in (mine, ended, ended):
        assert (await hub.call("DELETE", subscription))[0] == 204
    await raise_event(hub, "TWO")
    await told(flow, 2, "/goes-on")
    assert [n.json()["name"] for n in flow.at("/ended")] == ["ONE"]
    assert len(flow.at(SIGNED)) == 2
