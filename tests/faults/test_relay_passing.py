"""A hub that reaches nothing private, a relay, a receiver and a broker on the plant's network: what passes between."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.faults.host_process import HostProcess, running
from tests.faults.test_relay import free_port
from tests.peers.conftest import need
from tests.peers.mosquitto import Broker, installed, publish
from tests.unit.callbacks.receiver import receiving

pytestmark = pytest.mark.process

FORCE = "/ffwebservices/api/v2"
SECRET = "k3y-of-the-line-pc"
CLOUD = {"ALLOW_PRIVATE_TARGETS": "false", "ALLOW_HTTP_TARGETS": "false", "DELIVERY_RETRY_SECONDS": "0.5"}


async def registered(hub: HostProcess) -> Mapping[str, str]:
    status, relay = await hub.call("POST", "/api/v1/relays", json={"id": "hall-1", "name": "Hall 1"})
    assert status == 201, relay
    return {
        "HUB_URL": hub.url,
        "RELAY_ID": "hall-1",
        "RELAY_TOKEN": relay["token"],
        "ACCESS_MODE": "tokens",
        "ALLOW_PRIVATE_TARGETS": "true",
        "ALLOW_HTTP_TARGETS": "true",
    }


async def until_online(hub: HostProcess) -> None:
    async with asyncio.timeout(30):
        while (await hub.call("GET", "/api/v1/relays/hall-1"))[1]["status"] != "online":  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def told(hub: HostProcess, callback_id: str, *, status: str) -> dict[str, Any]:
    """Its one delivery, once it has come so far."""
    async with asyncio.timeout(30):
        while True:
            _, body = await hub.call("GET", f"/api/v1/deliveries?callback_id={callback_id}")
            found = [one for one in body["deliveries"] if one["attempts"]]
            if found and found[0]["status"] == status:
                made: dict[str, Any] = found[0]
                return made
            await asyncio.sleep(0.1)


async def test_a_notification_reaches_the_plant(tmp_path: Path) -> None:
    async with receiving() as line, running(tmp_path / "hub", env=CLOUD) as hub:
        env = await registered(hub)
        wanted = {"eventType": "EXTERNAL", "url": f"{line.url}/line?key={SECRET}", "bearer": SECRET}
        status, refused = await hub.call("POST", f"{FORCE}/callbacks", json=wanted)
        assert status == 400, refused
        status, made = await hub.call("POST", f"{FORCE}/callbacks", json=wanted | {"deliverVia": "hall-1"})
        assert status == 201, made
        callback = made["properties"]["id"]
        status, _ = await hub.call("POST", f"{FORCE}/events", json={"eventType": "EXTERNAL", "data": {"n": 1}})
        assert status == 204
        document = await told(hub, callback, status="pending")
        assert document["attempts"][0]["reason"] == "relay_silent"
        assert "was never heard of" in document["attempts"][0]["detail"]
        async with running(tmp_path / "relay", "--app", "relay", env=env) as relay:
            document = await told(hub, callback, status="confirmed")
            (seen,) = line.seen
            assert (seen.headers["authorization"], seen.path) == (f"Bearer {SECRET}", f"/line?key={SECRET}")
            last = document["attempts"][-1]
            assert (last["via"], last["status_code"], seen.webhook_id) == ("hall-1", 200, document["id"])
            assert last["duration_ms"] < 5_000
            assert (await relay.end())[0] == 0
        assert (await hub.end())[0] == 0
        for process in (hub, relay):
            assert SECRET.encode() not in await process.errors
    for folder in ("hub", "relay"):
        files = [file for file in (tmp_path / folder).rglob("*") if file.is_file()]
        assert files
        assert not [file.name for file in files if SECRET.encode() in file.read_bytes()], "in the vault alone, sealed"


async def inbox(hub: HostProcess, least: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(40):
        while True:
            _, body = await hub.call("GET", "/api/v1/inbox?limit=1000")
            if len(body["messages"]) >= least:
                found: list[dict[str, Any]] = body["messages"]
                return found
            await asyncio.sleep(0.1)


def notification(number: int) -> str:
    said = {"callbackId": "C1", "timestamp": f"2026-11-21T09:30:{number:02}.000Z", "eventType": "TOOL_UPDATED"}
    return json.dumps({"properties": {**said, "objectType": "TOOL", "objectId": "T1", "data": {"n": number}}})


async def test_what_calls_in_on_site_survives_the_hub_and_the_relay(tmp_path: Path) -> None:
    need(installed(), "mosquitto")
    port = free_port()
    async with Broker(tmp_path / "broker") as broker:
        async with running(tmp_path / "hub", port=port, env=CLOUD) as hub:
            env = await registered(hub)
            wanted: dict[str, Any] = {"id": "line", "relay_id": "hall-1"}
            status, line = await hub.call("POST", "/api/v1/hook-sources", json=wanted)
            assert status == 201, line
            lan = {"endpoint": f"mqtt://127.0.0.1:{broker.port}"}
            wanted = {"id": "force", "relay_id": "hall-1", "kind": "force_bridge_mqtt", "broker": lan}
            status, made = await hub.call("POST", "/api/v1/hook-sources", json=wanted)
            assert status == 201, made
            async with running(tmp_path / "relay", "--app", "relay", env=env) as relay:
                async with asyncio.timeout(30):
                    while (await posted(relay, line["local_path"], 0)) == 404:  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
                await inbox(hub, 1)
                async with asyncio.timeout(30):  # the session at the broker has to stand before anything is sent
                    while "ovenbridge-hook-force" not in broker.log():  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
                await hub.end(signal.SIGKILL)
                await asyncio.to_thread(publish, broker.port, [("external/a", notification(n)) for n in range(5)])
                for n in range(1, 4):
                    assert await posted(relay, line["local_path"], n) == 202
                assert await posted(relay, line["local_path"], 3) == 200, "it waits already"
                assert await posted(relay, line["local_path"] + "x", 9) == 404
                await relay.end(signal.SIGKILL)
        async with (
            running(tmp_path / "relay", "--app", "relay", env=env) as relay,
            running(tmp_path / "hub", port=port, env=CLOUD) as hub,
        ):
            found = await inbox(hub, 9)
            assert sorted(m["source"] for m in found) == ["force"] * 5 + ["line"] * 4
            assert sum(m["duplicates"] for m in found) == 0
            async with asyncio.timeout(30):
                while {m["status"] for m in await inbox(hub, 9)} != {"handled"}:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            assert len(await inbox(hub, 9)) == 9
            status, source = await hub.call("GET", "/api/v1/hook-sources/force")
            assert (status, source["broker_error"]) == (200, None)
            assert (await relay.end())[0] == 0


async def posted(relay: HostProcess, path: str, number: int) -> int:
    status, _ = await relay.call("POST", path, json={"n": number}, headers={"webhook-id": f"m{number}"})
    return status
