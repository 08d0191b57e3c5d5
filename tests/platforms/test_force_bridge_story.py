"""The whole story of FORCE Bridge, over sockets, with `kill -9` in between.

A workplace stands still: told thrice, the process killed after the first; the cold oven raises no alert. It produces
again: the oven is read at once, the alert is raised, and its ticket is opened in FORCE Bridge, once, although the
process is killed again while the ticket is being made.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from shared.clock import SystemClock, iso
from tests.faults.host_process import HostProcess, running
from tests.faults.test_walk import free_port
from tests.platforms.force_bridge import CLIENT, SECRET, FakeForceBridge

WORKPLACE = "C0E399EE92C946FBA0B38E5002B51C91"
EQUIPMENT = "/api/v1/equipment/OVEN-1"
KEEP = "/api/v1/connections/plant-1/registrations/keep"
config = {"protocol": "rest_api", "additional_config": {"data_endpoint": "/now"}, "poll_interval_seconds": 3600}


@asynccontextmanager
async def cold_oven() -> AsyncIterator[str]:
    """A device that is 20 degrees, whenever it is asked."""

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"temperature": 20.0, "status": "running"})

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def until(found: Callable[[], Awaitable[Any]], what: str) -> Any:
    async with asyncio.timeout(20):
        while True:
            value = await found()
            if value:
                return value
            await asyncio.sleep(0.05)
    raise AssertionError(what)


async def prepare(host: HostProcess, force: FakeForceBridge) -> None:
    async def done(method: str, path: str, body: Any) -> Any:
        status, said = await host.call(method, path, json=body)
        assert status in (200, 201), said
        return said

    rule = {
        "equipment_id": "OVEN-1",
        "kind": "low",
        "signal": "temperature.cabinet",
        "limit": 150,
        "unless": {"signal": "context.operating_state", "equals": "DOWNTIME"},
        "responses": [{"name": "repair", "on": "raised", "ticket": {"title": "{equipment.name} is cold"}}],
    }
    options = {
        "base_url": force.base,
        "registrations": [{"eventType": "WORKPLACE_OPERATING_STATE_CHANGED", "hook_source": "force"}],
        "workplaces": {WORKPLACE: "OVEN-1"},
        "tickets": {},
        "publish": ["ALERT_RAISED"],
    }
    login = {"client_id": CLIENT, "client_secret": SECRET}
    wanted = {"id": "plant-1", "platform": "force_bridge", "options": options, "credentials": login}
    hook = {"id": "force", "kind": "force_bridge", "options": {"connection": "plant-1"}}
    await done("POST", "/api/v1/equipment", {"id": "OVEN-1", "name": "Oven 1"})
    await done("POST", "/api/v1/alert-rules", rule)
    await done("POST", "/api/v1/hook-sources", hook)
    await done("POST", "/api/v1/connections", wanted)
    said = await done("POST", "/api/v1/connections/plant-1/registrations/keep", None)
    assert said["done"], said


def changed(current: str, previous: str) -> dict[str, Any]:
    return {
        "timestamp": iso(SystemClock().now()),
        "data": {"currentWorkplaceStateId": current, "previousWorkplaceStateId": previous},
        "objectId": WORKPLACE,
        "objectType": "WORKPLACE",
        "eventType": "WORKPLACE_OPERATING_STATE_CHANGED",
    }


async def state(host: HostProcess) -> Any:
    _, said = await host.call("GET", f"{EQUIPMENT}/realtime-data")
    return said.get("context", {}).get("operating_state", {}).get("value")


async def alerts(host: HostProcess) -> list[Any]:
    _, said = await host.call("GET", "/api/v1/equipment/iot-alerts?equipment_id=OVEN-1")
    return [one for one in said["alerts"] if one["alert_type"] == "temperature_deviation"]


@pytest.mark.process
@pytest.mark.timeout(120)
async def test_the_whole_story(tmp_path: Path) -> None:
    port = free_port()
    force = await FakeForceBridge().start()
    try:
        async with cold_oven() as device, ClientSession() as session:
            async with running(tmp_path, port=port) as host:
                await prepare(host, force)
                (name,) = force.callbacks
                still = changed("DOWNTIME", "PRODUCTION")
                assert await force.notify(session, name, still) == 202
                await host.end(signal.SIGKILL)
            async with running(tmp_path, port=port) as host:
                for _ in range(2):
                    assert await force.notify(session, name, still) == 200
                await until(lambda: still_is(host, "DOWNTIME"), "the state is told")
                said = await host.call("POST", f"{EQUIPMENT}/iot-config", json=config | {"endpoint": device})
                assert said[1]["connection_test_result"]["success"], said
                await until(lambda: read(host), "the oven is read")
                assert await alerts(host) == [], "it stands still: it may be cold"
                assert (await host.call("POST", KEEP))[0] == 200
                assert list(force.callbacks) == [name], "registered once, whatever died"
                force.hold_answers = True  # a ticket is made there, and nobody hears of it
                assert await force.notify(session, name, changed("PRODUCTION", "DOWNTIME")) == 202
                await until(lambda: told(force), "a ticket is opened")
                await host.end(signal.SIGKILL)
            force.hold_answers = False
            async with running(tmp_path, port=port) as host:
                assert await state(host) == "PRODUCTION"
                (alert,) = await alerts(host)
                assert alert["alert_type"] == "temperature_deviation"
    finally:
        await force.stop()
    assert len(force.tickets) == 1
    assert force.tickets[0]["workplaceId"] == WORKPLACE


async def read(host: HostProcess) -> bool:
    _, said = await host.call("GET", f"{EQUIPMENT}/realtime-data")
    return said["temperature"] == 20.0 if "temperature" in said else bool(said["signals"])


async def still_is(host: HostProcess, wanted: str) -> bool:
    return bool(await state(host) == wanted)


async def told(force: FakeForceBridge) -> bool:
    return bool(force.tickets)
