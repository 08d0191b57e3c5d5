"""Start, serve, stop and kill `python -m local`."""

from __future__ import annotations

import asyncio
import io
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.faults.host_process import SAMPLE_APP, HostProcess, running

pytestmark = pytest.mark.process

AT_MOST = 10.0
"""Seconds from SIGTERM to the end."""


async def until_seen(host: HostProcess, count: int) -> list[str]:
    """Message ids the queue function saw, once there are so many."""
    async with asyncio.timeout(20):
        while True:
            _, found = await host.call("GET", "/api/seen")
            ids = sorted({m.split()[0] for m in found["queue"]})
            if len(ids) >= count:
                return ids
            await asyncio.sleep(0.02)


async def until_nightly(host: HostProcess, runs: int) -> Any:
    """What was seen, once the nightly timer ran so often."""
    async with asyncio.timeout(10):
        while True:
            _, found = await host.call("GET", "/api/seen")
            if len(found["nightly"]) >= runs:
                return found
            await asyncio.sleep(0.05)


async def test_the_cloud_app_becomes_ready(tmp_path: Path) -> None:
    async with running(tmp_path) as host:
        assert host.line == f"Ovenbridge (cloud) is ready on {host.url} - data in {tmp_path}; Ctrl-C stops it\n"
        status, answer = await host.call("GET", "/api/health/ready")
        assert (status, answer["status"]) == (200, "ready")
        assert "errors" not in (await host.call("GET", "/admin/host/status"))[1]
        code, seconds = await host.end()
        assert code == 0
        assert seconds < AT_MOST


async def test_the_relay_app_becomes_ready(tmp_path: Path) -> None:
    hub = {"HUB_URL": "http://127.0.0.1:9", "RELAY_ID": "plant-1", "RELAY_TOKEN": "ob_none"}
    async with running(tmp_path, "--app", "relay", env=hub) as host:
        status, answer = await host.call("GET", "/api/health/ready")
        assert (status, answer["checks"]["relay"]) == (200, {"status": "ok"}), "it goes on without its hub"
        assert "errors" not in (await host.call("GET", "/admin/host/status"))[1]
        assert (await host.end(signal.SIGINT))[0] == 0


async def test_bad_input_to_the_cloud_app(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"name": "me"}'

    async with running(tmp_path) as host:
        typed = {"Content-Type": "application/json"}
        status, answer = await host.call("POST", "/api/v1/tokens", data=chunks(), headers=typed)
        assert status == 411
        assert "Content-Length" in answer["detail"]
        assert (await host.call("POST", "/api/v1/tokens", data=io.BytesIO(b"x" * 1_048_577), headers=typed))[0] == 413
        status, answer = await host.call("PATCH", "/api/health")
        assert status == 404
        assert answer["methods"] == ["GET"]


@pytest.mark.parametrize("work", ["slow", "stuck", "blocks"])
async def test_sigterm_ends_it_even_with_a_call_that_hangs(tmp_path: Path, work: str) -> None:
    async with running(tmp_path, *SAMPLE_APP) as host:
        hanging = asyncio.create_task(host.call("GET", f"/api/{work}/60"))
        await asyncio.sleep(0.3)
        code, seconds = await host.end()
        assert code == 0
        assert seconds < AT_MOST
        with pytest.raises(aiohttp.ClientError):
            await hanging


async def test_sigterm_lets_running_calls_end(tmp_path: Path) -> None:
    async with running(tmp_path, *SAMPLE_APP) as host:
        slow = asyncio.create_task(host.call("GET", "/api/slow/1"))
        await asyncio.sleep(0.3)
        ending = asyncio.create_task(host.end())
        assert await slow == (200, "at last")
        assert (await ending)[0] == 0


async def test_a_message_that_hangs_at_sigterm_comes_again(tmp_path: Path) -> None:
    async with running(tmp_path, *SAMPLE_APP) as host:
        await host.call("POST", "/api/send/1", data=b"hang")
        await until_seen(host, 1)
        assert (await host.end())[0] == 0
    async with running(tmp_path, *SAMPLE_APP) as host:
        assert await until_seen(host, 1) == ["r:0"]


async def test_kill_9_loses_no_message(tmp_path: Path) -> None:
    """Accepted messages, the process killed in the middle of them, three times: all are seen in the end."""
    seen: set[str] = set()
    sent: set[str] = set()
    for run in ("a", "b", "c"):
        async with running(tmp_path, *SAMPLE_APP) as host:
            assert (await host.call("POST", f"/api/send/300?run={run}", data=b"slow"))[0] == 202
            sent |= {f"{run}:{i}" for i in range(300)}
            seen |= set(await until_seen(host, 1))
            await host.end(signal.SIGKILL)
    assert seen < sent, "it was killed too late to prove anything"
    # What was locked when the process died comes again when its lock ends.
    async with running(tmp_path, *SAMPLE_APP) as host:
        async with asyncio.timeout(90):
            while not sent <= seen:
                _, found = await host.call("GET", "/api/seen")
                seen |= {m.split()[0] for m in found["queue"]}
                await asyncio.sleep(0.1)
        assert (await host.end())[0] == 0


async def test_a_timer_missed_while_down_runs_once_past_due(tmp_path: Path) -> None:
    async with running(tmp_path, *SAMPLE_APP) as host:
        await host.end(signal.SIGKILL)
    state = tmp_path / "timers" / "nightly.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "next": "2020-01-01T03:00:00.000Z"}))
    async with running(tmp_path, *SAMPLE_APP) as host:
        found = await until_nightly(host, 1)
        assert found["nightly"] == ["True"]
        assert "True" not in found["ticks"]
        assert (await host.call("POST", "/admin/functions/nightly", data=b'{"input": ""}'))[0] == 202
        assert (await until_nightly(host, 2))["nightly"] == ["True", "False"]


async def test_keys_are_asked_for_when_told_so(tmp_path: Path) -> None:
    async with running(tmp_path, *SAMPLE_APP, "--enable-auth") as host:
        assert f"function keys in {tmp_path}/keys.json" in host.line
        assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600
        keys = json.loads((tmp_path / "keys.json").read_text())
        assert (await host.call("GET", "/api/keyed"))[0] == 401
        function_key = {"x-functions-key": keys["functionKeys"]["default"]}
        assert (await host.call("GET", "/api/keyed", headers=function_key))[0] == 200
        assert (await host.call("GET", "/admin/host/status"))[0] == 401
        master_key = {"x-functions-key": keys["masterKey"]}
        assert (await host.call("GET", "/admin/host/status", headers=master_key))[0] == 200


async def test_with_tokens_keys_are_asked_for_on_loopback_too(tmp_path: Path) -> None:
    """Otherwise a tunnel to it would open the functions that only a key protects, and /admin."""
    async with running(tmp_path, *SAMPLE_APP, env={"ACCESS_MODE": "tokens"}) as host:
        assert (await host.call("GET", "/api/keyed"))[0] == 401
        assert (await host.call("GET", "/admin/functions", headers={"Host": "tunnel.example"}))[0] == 401


async def test_on_an_open_address_keys_are_asked_for(tmp_path: Path) -> None:
    async with running(tmp_path, *SAMPLE_APP, "--host", "0.0.0.0") as host:
        port = host.url.rpartition(":")[2]
        async with host.session.get(f"http://127.0.0.1:{port}/api/keyed") as answer:
            assert answer.status == 401
