"""A hub, a relay and ovens, each a process: the hub goes away, the relay is killed; nothing is lost, nothing twice."""

from __future__ import annotations

import asyncio
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.clock import iso, parse_iso
from tests.faults.host_process import ROOT, HostProcess, running

pytestmark = pytest.mark.process

OVENS = 5
PROFILE = {"tags": {"Core": {"equipment_id": "oven-1", "signal": "temperature.cabinet"}}}
ASKED = {"progressId": 7, "row": {"entries": [{"interactionTags": [{"name": "Core", "archived": False}]}]}}
PAGE = "https://bakery.operations1.app"


def free_port() -> int:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@asynccontextmanager
async def farm() -> AsyncIterator[httpx.AsyncClient]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.oven_farm", cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        url = f"http://127.0.0.1:{int(await process.stdout.readline())}"
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            yield http
    finally:
        process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]
        await asyncio.sleep(0)


async def asked(ovens: httpx.AsyncClient) -> int:
    return sum(len(times) for times in (await ovens.get("/asked")).json().values())


async def until_asked(ovens: httpx.AsyncClient, more: int) -> None:
    target = await asked(ovens) + more
    async with asyncio.timeout(30):
        while await asked(ovens) < target:  # noqa: ASYNC110 - another process counts
            await asyncio.sleep(0.05)


async def register(hub: HostProcess, farm_url: str) -> Mapping[str, str]:
    """What the relay needs to be told."""
    status, relay = await hub.call("POST", "/api/v1/relays", json={"id": "hall-1", "name": "Hall 1"})
    assert status == 201, relay
    for n in range(OVENS):
        machine = {
            "id": f"oven-{n}",
            "name": f"Oven {n}",
            "relay_id": "hall-1",
            "iot_protocol": "rest_api",
            "iot_endpoint": farm_url,
            "iot_config": {"data_endpoint": "/ovens/{equipment_id}"},
            "iot_enabled": True,
            "poll_interval_seconds": 1,
        }
        status, body = await hub.call("POST", "/api/v1/equipment", json=machine)
        assert status == 201, body
    status, body = await hub.call("PUT", "/api/v1/request-profiles/core", json=PROFILE)
    assert status == 201, body
    return {
        "HUB_URL": hub.url,
        "RELAY_ID": "hall-1",
        "RELAY_TOKEN": relay["token"],
        "RELAY_CORS_ORIGINS": PAGE,
        "ACCESS_MODE": "tokens",
        "ALLOW_PRIVATE_TARGETS": "true",
        "ALLOW_HTTP_TARGETS": "true",
    }


async def times(hub: HostProcess, n: int) -> list[datetime]:
    """When the hub says that this oven was read, in order."""
    found: list[datetime] = []
    more = ""
    while True:
        status, body = await hub.call("GET", f"/api/v1/equipment/oven-{n}/sensor-history?limit=1000{more}")
        assert status == 200, body
        found += [datetime.fromisoformat(reading["reading_time"]) for reading in body["readings"]]
        if not body.get("continuation"):
            return sorted(found)
        more = f"&continuation={body['continuation']}"


async def until_all(hub: HostProcess, wanted: Callable[[list[list[datetime]]], bool]) -> list[list[datetime]]:
    async with asyncio.timeout(60):
        while True:
            found = [await times(hub, n) for n in range(OVENS)]
            if wanted(found):
                return found
            await asyncio.sleep(0.2)


def spooled(data: Path) -> dict[str, set[str]]:
    """Times that wait on a relay's disk, by machine."""
    found: dict[str, set[str]] = {f"oven-{n}": set() for n in range(OVENS)}
    with closing(sqlite3.connect(data / "relay" / "spool.db")) as connection:
        for machine, at in connection.execute("SELECT equipment, at FROM waiting"):
            found[machine].add(at)
    return found


async def local_request(relay: HostProcess, origin: str | None = PAGE) -> tuple[int, Any, Mapping[str, str]]:
    headers = {} if origin is None else {"Origin": origin}
    async with relay.session.post(relay.url + "/local/requests/core", json=ASKED, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None), answer.headers


async def test_the_hub_goes_away_and_comes_back(tmp_path: Path) -> None:
    port = free_port()
    async with farm() as ovens, running(tmp_path / "hub", port=port) as hub:
        env = await register(hub, str(ovens.base_url))
        async with running(tmp_path / "relay", "--app", "relay", env=env) as relay:
            await until_all(hub, lambda found: all(len(one) >= 3 for one in found))
            await hub.end(signal.SIGKILL)
            await until_asked(ovens, 10 * OVENS)
            status, body, headers = await local_request(relay)
            assert status == 200, body
            assert isinstance(body["Core"], int | float), "a worker is answered with the hub away"
            assert headers["Access-Control-Allow-Origin"] == PAGE
            status, ready = await relay.call("GET", "/api/health/ready")
            assert status == 200
            assert "The hub is away since" in " ".join(ready["warnings"])
            assert all(len(waits) >= 8 for waits in spooled(tmp_path / "relay").values())
            async with running(tmp_path / "hub", port=port) as again:
                now = iso(datetime.now().astimezone())
                found = await until_all(again, lambda all_times: all(iso(one[-1]) >= now for one in all_times if one))
                for one in found:
                    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(one)]
                    assert len(set(one)) == len(one), "none twice"
                    assert max(gaps) < 1.9, "none lost, none with another time than its own"
                    assert min(gaps) > 0.1
                status, state = await again.call("GET", "/api/v1/relays/hall-1")
                assert (status, state["readings_refused"]["count"]) == (200, 0)
                assert (await again.end())[0] == 0
            assert (await relay.end())[0] == 0


async def test_a_killed_relay_loses_nothing_and_sends_nothing_twice(tmp_path: Path) -> None:
    port = free_port()
    taken: dict[str, set[str]] = {f"oven-{n}": set() for n in range(OVENS)}
    async with farm() as ovens:
        async with running(tmp_path / "hub", port=port) as hub:
            env = await register(hub, str(ovens.base_url))
            async with running(tmp_path / "relay", "--app", "relay", env=env) as relay:
                await until_all(hub, lambda found: all(len(one) >= 2 for one in found))
                await relay.end(signal.SIGKILL)
            for machine, there in spooled(tmp_path / "relay").items():
                taken[machine] |= there
            await hub.end(signal.SIGKILL)
        # The hub is away: it reads what it was assigned last.
        for _ in range(2):
            async with running(tmp_path / "relay", "--app", "relay", env=env) as relay:
                await until_asked(ovens, 3 * OVENS)
                await relay.end(signal.SIGKILL)
            for machine, there in spooled(tmp_path / "relay").items():
                assert taken[machine] <= there, "what was taken stays until the hub has it"
                taken[machine] |= there
        assert all(len(there) >= 3 for there in taken.values())
        async with (
            running(tmp_path / "hub", port=port) as hub,
            running(tmp_path / "relay", "--app", "relay", env=env) as relay,
        ):
            found = await until_all(
                hub,
                lambda all_times: all(taken[f"oven-{n}"] <= {iso(at) for at in one} for n, one in enumerate(all_times)),
            )
            for one in found:
                assert len(set(one)) == len(one)
                assert all(parse_iso(iso(at)) == at for at in one)


async def test_pages_and_programs_at_the_relay(tmp_path: Path) -> None:
    async with farm() as ovens, running(tmp_path / "hub") as hub:
        env = await register(hub, str(ovens.base_url))
        async with running(tmp_path / "relay", "--app", "relay", env=env) as relay:
            await until_all(hub, all)
            status, body, headers = await local_request(relay, "https://evil.example")
            assert (status, "Access-Control-Allow-Origin" in headers) == (403, False)
            assert headers["Vary"] == "Origin"
            status, body, _ = await local_request(relay, None)
            assert status == 401, body
            asked_first = {
                "Origin": PAGE,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type",
                "Access-Control-Request-Private-Network": "true",
            }
            async with relay.session.options(relay.url + "/local/requests/core", headers=asked_first) as answer:
                assert answer.status == 204
                assert answer.headers["Access-Control-Allow-Origin"] == PAGE
                assert answer.headers["Access-Control-Allow-Credentials"] == "true"
                assert answer.headers["Access-Control-Allow-Private-Network"] == "true"
                assert answer.headers["Access-Control-Allow-Methods"] == "POST"
            evil = asked_first | {"Origin": "https://evil.example"}
            async with relay.session.options(relay.url + "/local/requests/core", headers=evil) as answer:
                assert answer.status == 403
                assert not [name for name in answer.headers if name.startswith("Access-Control")]
            status, state = await hub.call("GET", "/api/v1/relays/hall-1")
            assert status == 200
            assert state["status"] == "online", state
            assert state["equipment"] == [f"oven-{n}" for n in range(OVENS)]


async def test_the_hub_asks_machines_through_their_relay(tmp_path: Path) -> None:
    async with farm() as ovens, running(tmp_path / "hub") as hub:
        env = await register(hub, str(ovens.base_url))
        async with running(tmp_path / "relay", "--app", "relay", env=env) as relay:
            await until_all(hub, all)
            status, tested = await hub.call("POST", "/api/v1/equipment/oven-1/test-connection")
            assert status == 200, tested
            assert tested["success"], tested
            assert "temperature" in tested["supported_features"]
            proposed = {
                "protocol": "rest_api",
                "endpoint": "http://127.0.0.1:9",
                "additional_config": {"data_endpoint": "/ovens/x"},
            }
            status, tested = await hub.call("POST", "/api/v1/equipment/oven-1/test-connection", json=proposed)
            assert (status, tested["success"]) == (200, False), tested
            assert tested["error_details"]
            await relay.end(signal.SIGKILL)
