"""``make run BACKEND=azure``: the sample bakery lives over Azure's SDKs, in processes of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.faults.test_walk import ROOT, free_port

pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(180), pytest.mark.xdist_group("azurite")]


async def test_the_bakery_bakes_over_azure(tmp_path: Path) -> None:
    bakery = ["-m", "local.bakery", "--once-ready", "--port", str(free_port()), "--data", str(tmp_path)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.wire", sys.executable, *bakery),
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 150)
    assert process.returncode == 0, output.decode()
    assert "All 5 ovens are connected." in output.decode()
    assert "devices of the plant are read by the relay." in output.decode()
    assert not (tmp_path / "ovenbridge.db").exists(), "nothing is kept in the embedded store"
    assert not (tmp_path / "vault").exists()
    assert (tmp_path / "plant" / "relay" / "relay" / "spool.db").exists(), "the relay has a disk of its own"
