"""docs/platforms.md, FORCE Bridge: its commands run as they are written, and every option is explained."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from shared.clock import SystemClock, iso
from shared.platforms.force_bridge.kind import SourceOptions
from shared.platforms.force_bridge.options import DeclaredRegistration, ForceOptions, TicketOptions
from tests.faults.host_process import running
from tests.platforms.force_bridge import CLIENT, SECRET, FakeForceBridge

PAGE = (Path(__file__).parents[2] / "docs" / "platforms.md").read_text("utf-8")
SECTION = PAGE.partition("## FORCAM FORCE Bridge\n")[2].partition("\n## ")[0]
COMMANDS = "\n".join(re.findall(r"```sh force_bridge\n(.*?)```", SECTION, re.DOTALL))


@pytest.mark.process
async def test_the_commands_do_what_they_say(tmp_path: Path) -> None:
    force = await FakeForceBridge().start()
    try:
        async with running(tmp_path / "data") as host:
            assert (await host.call("POST", "/api/v1/equipment", json={"id": "OVEN-1", "name": "Oven 1"}))[0] == 201
            status, made = await host.call("POST", "/api/v1/tokens", json={"name": "mes", "roles": ["engineer"]})
            assert status == 201
            given = {
                "HUB": host.url.rstrip("/"),
                "FORCE": force.base,
                "CLIENT_ID": CLIENT,
                "CLIENT_SECRET": SECRET,
                "OUR_CLIENT_ID": made["id"],
                "OUR_CLIENT_SECRET": made["token"],
                "NOW": iso(SystemClock().now()),
            }
            process = await asyncio.create_subprocess_exec(
                "bash",
                "-euo",
                "pipefail",
                "-c",
                COMMANDS,
                env={"PATH": "/usr/bin:/bin", **given},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            async with asyncio.timeout(60):
                said, wrong = await process.communicate()
            await host.end()
    finally:
        await force.stop()
    assert process.returncode == 0, wrong.decode()
    told = said.decode()
    assert '"success":true' in told
    assert '"done":true' in told
    assert '"status":"handled"' in told
    assert '"operating_state":{"value":"DOWNTIME"' in told
    assert '"pagination"' in told
    assert len(force.callbacks) == 2


@pytest.mark.parametrize("model", [ForceOptions, TicketOptions, SourceOptions, DeclaredRegistration])
def test_every_option_is_explained(model: type) -> None:
    for name, field in model.model_fields.items():  # type: ignore[attr-defined]
        assert f"`{field.alias or name}`" in SECTION, name


def test_what_is_unverified_is_called_so() -> None:
    unverified = [name for name, f in ForceOptions.model_fields.items() if "nverified" in (f.description or "")]
    assert unverified
    for name in unverified:
        assert any(f"`{name}`" in line and "nverified" in line for line in SECTION.splitlines()), name
