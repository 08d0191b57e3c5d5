"""`python -m local.bakery` as a person runs it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.bakery.broker import find_broker
from local.bakery.devices import DEVICES, RELAY_ID, SampleDevice
from local.bakery.hub import Hub
from local.bakery.plant import OVENS
from local.bakery.relay import introduce
from shared.clock import SystemClock, iso
from tests.faults.host_process import running as host

ROOT = Path(__file__).resolve().parents[3]

pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(180)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Run:
    """A bakery that was started."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.base_url = f"http://127.0.0.1:{port}"
        self.said = ""

    async def until_said(self, pattern: str) -> re.Match[str]:
        assert self.process.stdout is not None
        async with asyncio.timeout(90):
            while (found := re.search(pattern, self.said)) is None:
                line = (await self.process.stdout.readline()).decode()
                assert line, f"it ended: {self.said}"
                self.said += line
        return found

    async def end(self, number: int) -> int:
        assert self.process.stdout is not None
        self.process.send_signal(number)
        async with asyncio.timeout(30):
            self.said += (await self.process.stdout.read()).decode()
            return await self.process.wait()


@asynccontextmanager
async def bakery(data: Path, *arguments: str, port: int | None = None) -> AsyncIterator[Run]:
    chosen = port or free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "local.bakery", "--port", str(chosen), "--data", str(data), "--calm", *arguments),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Run(process, chosen)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]
        await asyncio.sleep(0)


def children_of(pid: int) -> list[int]:
    """Processes whose parent is this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def runs(pid: int, module: str) -> bool:
    return f"-m\0{module}\0".encode() in Path(f"/proc/{pid}/cmdline").read_bytes()


def is_host(pid: int) -> bool:
    return runs(pid, "local")


def any_left(pids: list[int]) -> bool:
    return any(Path(f"/proc/{pid}").exists() for pid in pids)


async def gone(pids: list[int]) -> bool:
    async with asyncio.timeout(15):
        while any_left(pids):  # noqa: ASYNC110 - processes that are not our children tell nobody
            await asyncio.sleep(0.05)
    return True


async def eventually(url: str, accept: Any, seconds: float = 60) -> Any:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http, asyncio.timeout(seconds):
        while True:
            answer = await http.get(url)
            if answer.status_code == 200 and accept(body := answer.json()):
                return body
            await asyncio.sleep(0.2)


async def test_bakes_until_ctrl_c_and_again_with_its_data(tmp_path: Path) -> None:
    async with bakery(tmp_path / "data", "--no-plant") as run:
        control = (await run.until_said(r"curl -s (http://\S+/control)"))[1]
        children = children_of(run.process.pid)
        assert len(children) == 1 + len(OVENS)
        api = f"{run.base_url}/api/v1/equipment"
        for oven in OVENS:
            data = await eventually(
                f"{api}/{oven.id}/realtime-data",
                lambda d: d["connection_status"] == "connected" and d["temperature"] is not None,
            )
            assert data["equipment_name"] == oven.name
        async with httpx.AsyncClient(trust_env=False) as http:
            await http.post(control, json={"temperature": 275})
        alerts = await eventually(f"{api}/iot-alerts?status=active", lambda a: a["alerts"])
        assert {alert["equipment_id"] for alert in alerts["alerts"]} == {"horno-1"}
        assert await run.end(signal.SIGINT) == 0
        assert await gone(children)
    async with bakery(tmp_path / "data", "--no-plant", "--once-ready") as again:
        await again.until_said("All 5 ovens are connected")
        async with asyncio.timeout(30):
            assert await again.process.wait() == 0


async def test_kill_leaves_nobody_behind(tmp_path: Path) -> None:
    async with bakery(tmp_path / "data", "--no-plant", "--ovens", "1") as run:
        await run.until_said("Ctrl-C stops")
        children = children_of(run.process.pid)
        assert len(children) == 2
        run.process.kill()
        await run.process.wait()
        assert await gone(children)


async def test_the_plant_is_read_and_steered_through_its_relay(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with bakery(data, "--ovens", "1") as run, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        relay, page = (await run.until_said(r"(http://\S+/local/requests/bakehouse) -H 'Origin: ([^']+)'")).groups()
        await run.until_said("Ctrl-C stops")
        children = children_of(run.process.pid)
        api = f"{run.base_url}/api/v1/equipment"
        for device in devices():
            body = (await http.get(f"{api}/{device.id}/realtime-data")).json()
            assert (body["connection_status"], body["quality"]) == ("connected", "good"), body
            machine = (await http.get(f"{api}/{device.id}")).json()
            assert (machine["polled_from"], machine["relay_id"]) == ("relay", "sample-bakery")
        combi = (await http.get(f"{api}/combi-1/realtime-data")).json()
        assert {"cabinet", "core"} <= set(combi["temperature_zones"])
        order = {"signal": "temperature.deck1.setpoint", "value": 201.5, "reason": "rye"}
        written = (await http.post(f"{api}/deck-1/write", json=order)).json()
        assert (written["success"], written["verified"], written["after"]) == (True, True, 201.5), written
        assert (await http.post(f"{api}/deck-1/write", json={**order, "value": 301})).status_code == 400
        assert (await http.post(f"{api}/combi-1/write", json=order)).status_code == 409
        await eventually(f"{api}/deck-1/realtime-data", lambda b: b["setpoints"].get("deck1") == 201.5)
        answer = await http.post(relay, json={}, headers={"Origin": page})
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, page)
        assert all(isinstance(value, float | int) for value in answer.json().values()), answer.text
        assert (await http.post(relay, json={}, headers={"Origin": "https://evil.example"})).status_code == 403
        first = token(data)
        (oven,) = (pid for pid in children if runs(pid, "local.bakery.deck"))
        os.kill(oven, signal.SIGKILL)
        await run.until_said(r"Deck oven #1 ended \(exit code -9\); starting it again")
        now = iso(SystemClock().now())
        await eventually(
            f"{api}/deck-1/realtime-data", lambda b: b["timestamp"] > now and b["connection_status"] == "connected"
        )
        children = children_of(run.process.pid)
        async with asyncio.timeout(10):
            assert await run.end(signal.SIGINT) == 0
            assert await gone(children)
        assert run.said.count("starting it again") == 1, run.said
    for kept in (*data.glob("ovenbridge.db*"), *(data / "vault").iterdir()):
        kept.unlink()  # the hub forgets everything; the relay's own folder stays
    async with bakery(data, "--ovens", "1", "--once-ready") as again:
        await again.until_said(f"All {len(devices())} devices of the plant are read by the relay")
        async with asyncio.timeout(30):
            assert await again.process.wait() == 0
    assert token(data) != first


def devices() -> list[SampleDevice]:
    return [device for device in DEVICES if device.protocol != "mqtt" or find_broker() is not None]


def token(data: Path) -> str:
    file = data / "plant" / "relay.settings.json"
    assert file.stat().st_mode & 0o777 == 0o600
    return str(json.loads(file.read_text())["Values"]["RELAY_TOKEN"])


async def test_the_token_is_made_once(tmp_path: Path) -> None:
    """And again where hub or relay have lost it."""
    settings = tmp_path / "data" / "plant" / "relay.settings.json"
    async with host(tmp_path / "hub") as started, Hub(started.url) as hub:
        await introduce(hub, settings)
        first = token(tmp_path / "data")
        await introduce(hub, settings)
        assert token(tmp_path / "data") == first
        settings.write_text("{")
        await introduce(hub, settings)
        second = token(tmp_path / "data")
        assert not await hub.admits(f"/api/v1/relays/{RELAY_ID}/assignments", first), "there is one token"
        await hub.send("DELETE", f"/api/v1/relays/{RELAY_ID}")
        await introduce(hub, settings)
        assert len({first, second, token(tmp_path / "data")}) == 3


async def test_says_so_when_the_host_dies(tmp_path: Path) -> None:
    async with bakery(tmp_path / "data", "--no-plant", "--ovens", "1") as run:
        await run.until_said("Ctrl-C stops")
        children = children_of(run.process.pid)
        (host,) = filter(is_host, children)
        os.kill(host, signal.SIGKILL)
        await run.until_said(r"The host ended \(exit code -9\)")
        async with asyncio.timeout(30):
            assert await run.process.wait() == 1
        assert await gone(children)


@pytest.mark.parametrize("option", ["--port", "--relay-port"])
async def test_a_taken_port_is_one_line(tmp_path: Path, option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with bakery(tmp_path / "data", option, str(port)) as run:
            assert run.process.stdout is not None
            said = (await run.process.stdout.read()).decode()
            assert await run.process.wait() == 2
    assert said == f"Port {port} is taken. Stop what listens there, or choose another: {option} {port + 1}\n"
    assert not (tmp_path / "data").exists()


async def test_a_data_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with bakery(tmp_path / "file" / "data") as run:
        assert run.process.stdout is not None
        said = (await run.process.stdout.read()).decode()
        assert await run.process.wait() == 2
    assert said.count("\n") == 1
    assert "cannot be written" in said
