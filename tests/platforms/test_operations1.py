"""The whole story over real sockets, killed in between: a wrong value three times is one alert; a process that a worker
started is started once, and its result is told by the next process; an order is made once.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from shared.platforms.operations1.runs import run_id_of
from tests.faults.host_process import HostProcess, running
from tests.platforms.operations1 import TENANT, TOKEN, FakeOperations1
from tests.unit.callbacks.receiver import receiving
from tests.unit.platforms.operations1.payloads import order_complete, value_webhook

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

ENVIRONMENT = {"ALLOW_PRIVATE_TARGETS": "true", "ALLOW_HTTP_TARGETS": "true"}
ALERTS = "/api/v1/equipment/iot-alerts?status=all"
SECRET = "Sesame-open-71b4-and-more"
STEP = {"orderId": None, "progressId": 880011, "rowId": 21, "stepId": 2, "row": {"id": 21, "entries": []}}


async def made(host: HostProcess, path: str, wanted: dict[str, Any], method: str = "POST") -> Any:
    status, said = await host.call(method, path, json=wanted)
    assert status in (200, 201, 202), said
    return said


async def until(host: HostProcess, path: str, right: Callable[[Any], bool]) -> Any:
    """Ask until it is so."""
    async with asyncio.timeout(40):
        while True:
            status, said = await host.call("GET", path)
            if status in (200, 202) and right(said):
                return said
            await asyncio.sleep(0.05)


def oven(url: str) -> dict[str, Any]:
    """One that is polled, and can be started."""
    signals = {
        "temperature.core": {"at": "core"},
        "status": {
            "at": "state",
            "writable": True,
            "map": {"0": "idle", "1": "baking", "2": "done"},
            "write": {"method": "POST", "path": "/oven", "body": {"state": "{value}"}, "settle": 0},
        },
    }
    return {
        "id": "OVEN-1",
        "name": "Oven 1",
        "iot_protocol": "rest_api",
        "iot_endpoint": url,
        "iot_config": {"path": "/oven", "signals": signals},
        "poll_interval_seconds": 10,
        "supports_remote_control": True,
    }


async def test_a_wrong_value_three_times_and_a_kill_make_one_alert(tmp_path: Path) -> None:
    options = {
        "tenant": TENANT,
        "tags": {"core_temp": {"equipment_id": "OVEN-1", "signal": "temperature.core"}},
        "tolerance": {"absolute": 2},
        "proof": {"in": "header", "name": "X-Webhook-Secret"},
    }
    proof = {"X-Webhook-Secret": SECRET}
    wrong, right = value_webhook(95.0, order=4711), value_webhook(88.0, order=4711)
    async with receiving() as machine:
        machine.answer = lambda _: web.json_response({"core": 87.5, "state": 1})
        async with running(tmp_path, env=ENVIRONMENT) as host:
            await made(host, "/api/v1/equipment", oven(machine.url))
            wanted = {"id": "op1", "kind": "operations1", "signing_secret": SECRET, "options": options}
            source = await made(host, "/api/v1/hook-sources", wanted)
            path = "/api/hooks/" + str(source["url"]).partition("/api/hooks/")[2]
            live = "/api/v1/equipment/OVEN-1/realtime-data"
            await until(host, live, lambda said: (said["temperature_zones"] or {}).get("core") == 87.5)
            assert (await host.call("POST", path, json=wrong))[0] == 401
            assert (await host.call("POST", path, json=wrong, headers=proof))[0] == 202
            await host.end(signal.SIGKILL)
        async with running(tmp_path, env=ENVIRONMENT) as host:
            for _ in range(2):
                assert (await host.call("POST", path, json=wrong, headers=proof))[0] == 200
            (alert,) = (await until(host, ALERTS, lambda said: said["alerts"]))["alerts"]
            assert (alert["alert_type"], alert["value"], alert["compared_value"]) == ("value_mismatch", 95, 87.5)
            newer = wrong | {"version": 2, "fullVersion": "2.0"}
            assert (await host.call("POST", path, json=newer, headers=proof))[0] in (200, 202)
            done = order_complete()
            assert (await host.call("POST", path, json=done, headers=proof))[0] == 202
            assert (await host.call("POST", path, json=right, headers=proof))[0] == 202
            ended = await until(host, ALERTS, lambda said: said["alerts"][0]["status"] == "resolved")
            assert [one["id"] for one in ended["alerts"]] == [alert["id"]]
            inbox = "/api/v1/inbox?source=op1&work_order_id=4711&status=handled"
            found = await until(host, inbox, lambda said: len(said["messages"]) == 3)
            assert {one["verdict"] for one in found["messages"]} == {"verified"}
            await host.end()


async def test_a_process_is_started_once_and_its_result_told_after_a_kill(tmp_path: Path) -> None:
    state, started = {"core": 20.0, "state": 0}, asyncio.Event()

    def answer(asked: Any) -> web.Response:
        if asked.body:
            state["state"] = int(asked.json()["state"])
            started.set()
        return web.json_response(state)

    start = {
        "do": "start",
        "equipment_id": "OVEN-1",
        "signal": "status",
        "value": "baking",
        "wait_seconds": 20,
        "result": {"signal": "temperature.core", "when_equals": ["done"]},
    }
    async with receiving() as machine:
        machine.answer = answer
        async with running(tmp_path, env=ENVIRONMENT) as host:
            await made(host, "/api/v1/equipment", oven(machine.url))
            await made(host, "/api/v1/request-profiles/bake", {"actions": {"core": start}}, "PUT")
            waiting = asyncio.create_task(host.call("POST", "/api/requests/bake", json=STEP))
            async with asyncio.timeout(20):
                await started.wait()
            result = f"/api/v1/requests/results/{run_id_of('bake', 'core', '880011', '2')}"
            await until(host, result, lambda said: said["changed_at"] is not None)
            await host.end(signal.SIGKILL)
            with pytest.raises(aiohttp.ClientError):
                await waiting
        state |= {"core": 93.5, "state": 2}
        async with running(tmp_path, env=ENVIRONMENT) as host:
            status, said = await host.call("POST", "/api/requests/bake", json=STEP)
            assert (status, said) == (200, {"core": 93.5})
            assert sum(1 for call in machine.seen if call.body) == 1
            await host.end()


async def test_an_order_is_made_once_although_killed_between_looking_and_posting(tmp_path: Path) -> None:
    there = FakeOperations1()
    await there.start()
    orders = "/api/v1/operations1/orders"
    wanted = {"custom_order_id": "TKT-1", "name": "Check oven 1"}
    try:
        async with running(tmp_path, env=ENVIRONMENT) as host:
            connection = {"tenant": TENANT, "base_url": there.url, "timeout_seconds": 1}
            credentials = {"token": TOKEN}
            new = {"id": "op1", "platform": "operations1", "options": connection, "credentials": credentials}
            await made(host, "/api/v1/connections", new)
            there.trouble = ["", "hang"]  # it has looked, has the claim, and looks once more before it posts
            waiting = asyncio.create_task(host.call("POST", orders, json=wanted))
            async with asyncio.timeout(20):
                await there.reached.wait()
            await host.end(signal.SIGKILL)
            with pytest.raises(aiohttp.ClientError):
                await waiting
        assert there.posted == 0
        async with running(tmp_path, env=ENVIRONMENT) as host:
            async with asyncio.timeout(40):
                while (answer := await host.call("POST", orders, json=wanted))[0] == 503:
                    assert "somebody else" in answer[1]["detail"]
            assert (answer[0], answer[1]["created"]) == (201, True)
            again = await made(host, orders, wanted)
            assert (again["created"], again["order_id"], there.posted) == (False, answer[1]["order_id"], 1)
            await an_alert_makes_one_too(host, there)
            await host.end()
    finally:
        await there.stop()


async def an_alert_makes_one_too(host: HostProcess, there: FakeOperations1) -> None:
    """A response of its rule calls the hub itself."""
    call = {"url": f"{host.url.rstrip('/')}/api/v1/operations1/orders", "repeatable": True}
    call |= {"body": {"name": "{equipment.name}", "description": "{alert.message}"}}
    rule = {"equipment_id": "OVEN-1", "kind": "high", "signal": "temperature.core", "limit": 200}
    rule |= {"severity": "critical", "responses": [{"name": "order", "on": "raised", "call": call}]}
    async with receiving() as machine:
        machine.answer = lambda _: web.json_response({"core": 287.5, "state": 1})
        await made(host, "/api/v1/equipment", oven(machine.url))
        await made(host, "/api/v1/alert-rules", rule)
        await until(host, "/api/v1/operations1/orders", lambda said: len(said["orders"]) == 2)
    assert there.orders[1]["name"] == "Oven 1"
    assert there.orders[1]["customOrderId"].startswith("OB-")
