"""docs/platforms.md, Scope AR: its commands run as they are written, and every option is explained with its default."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from shared.platforms.scope_ar.options import ConnectionOptions, HookOptions
from tests.faults.host_process import running
from tests.platforms.scope_ar import SECRET, SESSION_ID, TOKEN, completed, worklink

PAGE = (Path(__file__).parents[2] / "docs" / "platforms.md").read_text("utf-8")
SECTION = PAGE.partition("## Scope AR (WorkLink)\n")[2].partition("\n## ")[0]
COMMANDS = "\n".join(re.findall(r"```sh scope\n(.*?)```", SECTION, re.DOTALL))


@pytest.mark.process
async def test_the_commands_do_what_they_say(tmp_path: Path) -> None:
    async with worklink() as cms:
        cms.nodes[SESSION_ID] = completed()
        allowed = {"ALLOW_PRIVATE_TARGETS": "true", "ALLOW_HTTP_TARGETS": "true"}
        async with running(tmp_path, env=allowed) as host:
            script = COMMANDS.replace("https://cms.scopear.com/api/v3/graphql", cms.graphql)
            given = {"HUB": host.url.rstrip("/"), "WORKLINK_TOKEN": TOKEN, "SECRET": SECRET, "SESSION": SESSION_ID}
            process = await asyncio.create_subprocess_exec(
                "bash",
                "-euo",
                "pipefail",
                "-c",
                script,
                env={"PATH": "/usr/bin:/bin", **given},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            async with asyncio.timeout(60):
                said, wrong = await process.communicate()
            await host.end()
    assert process.returncode == 0, wrong.decode()
    told = said.decode()
    assert '"success":true' in told
    assert '"status":"accepted"' in told
    assert '"verdict":"verified"' in told
    assert '"status":"handled"' in told
    assert '"work_order_id":"WO-7/2+1"' in told


@pytest.mark.parametrize("name", [*ConnectionOptions.model_fields, *HookOptions.model_fields])
def test_every_option_is_explained(name: str) -> None:
    assert f"`{name}`" in SECTION


def test_numbers_are_those_of_the_code() -> None:
    connection, hook = ConnectionOptions(), HookOptions()
    numbers = (connection.timeout_seconds, connection.page_size, connection.max_pages)
    assert f"| {numbers[0]:g}, {numbers[1]}, {numbers[2]} |" in SECTION
    assert f"{connection.max_capture_bytes:,}" in SECTION
    assert f"`identical_within_seconds` ({hook.identical_within_seconds})" in SECTION
    assert all(f"`{word}`" in SECTION for word in connection.ended_states)


@pytest.mark.parametrize("model", [ConnectionOptions, HookOptions])
def test_what_is_unverified_is_called_so(model: type[ConnectionOptions | HookOptions]) -> None:
    for name, field in model.model_fields.items():
        if "nverified" in (field.description or ""):
            line = next(line for line in SECTION.splitlines() if f"`{name}`" in line and "nverified" in line)
            assert line
