"""The local host starts while a service is away, says what is missing, and is ready when it comes, as it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.faults.test_walk import ROOT, free_port
from tests.wire.cosmos import CosmosServer

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


async def ask(client: httpx.AsyncClient, path: str, wanted: int) -> httpx.Response:
    """Until it answers with this status."""
    end = time.monotonic() + 60
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if (answer := await client.get(path)).status_code == wanted:
                return answer
        assert time.monotonic() < end, f"{path} never answered {wanted}"
        await asyncio.sleep(0.2)


async def test_a_database_that_comes_later(tmp_path: Path) -> None:
    port, cosmos = free_port(), CosmosServer(port=free_port())
    environment = {**os.environ, "CosmosConnection": cosmos.connection_string, "PYTHONWARNINGS": "ignore"}
    host = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "local", "--port", str(port), "--data", str(tmp_path)),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            await ask(client, "/api/health", 200)
            said = (await ask(client, "/api/health/ready", 503)).json()
            assert said["checks"]["store"]["status"] == "unavailable"
            assert said["checks"]["queue"]["status"] == "ok"
            assert "Cosmos DB" in said["checks"]["store"]["problem"]
            refused = await client.get("/api/v1/equipment")
            assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
            cosmos.create_topology()
            with cosmos:
                await ask(client, "/api/health/ready", 200)
                assert (await client.get("/api/v1/equipment")).json()["equipment"] == []
    finally:
        host.terminate()
        assert await asyncio.wait_for(host.wait(), 20) == 0
