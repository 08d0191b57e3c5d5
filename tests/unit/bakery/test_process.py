"""`python -m local.bakery` as a person runs it."""

from __future__ import annotations

import asyncio
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

from local.bakery.plant import OVENS

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


def is_host(pid: int) -> bool:
    return b"local\0--port" in Path(f"/proc/{pid}/cmdline").read_bytes()


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
    async with bakery(tmp_path / "data") as run:
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
    async with bakery(tmp_path / "data", "--once-ready") as again:
        await again.until_said("All 5 ovens are connected")
        async with asyncio.timeout(30):
            assert await again.process.wait() == 0


async def test_kill_leaves_nobody_behind(tmp_path: Path) -> None:
    async with bakery(tmp_path / "data", "--ovens", "1") as run:
        await run.until_said("Ctrl-C stops")
        children = children_of(run.process.pid)
        assert len(children) == 2
        run.process.kill()
        await run.process.wait()
        assert await gone(children)


async def test_says_so_when_the_host_dies(tmp_path: Path) -> None:
    async with bakery(tmp_path / "data", "--ovens", "1") as run:
        await run.until_said("Ctrl-C stops")
        children = children_of(run.process.pid)
        (host,) = filter(is_host, children)
        os.kill(host, signal.SIGKILL)
        await run.until_said(r"The host ended \(exit code -9\)")
        async with asyncio.timeout(30):
            assert await run.process.wait() == 1
        assert await gone(children)


async def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with bakery(tmp_path / "data", port=port) as run:
            assert run.process.stdout is not None
            said = (await run.process.stdout.read()).decode()
            assert await run.process.wait() == 2
    assert said == f"Port {port} is taken. Stop what listens there, or choose another: --port {port + 1}\n"
    assert not (tmp_path / "data").exists()


async def test_a_data_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with bakery(tmp_path / "file" / "data") as run:
        assert run.process.stdout is not None
        said = (await run.process.stdout.read()).decode()
        assert await run.process.wait() == 2
    assert said.count("\n") == 1
    assert "cannot be written" in said
