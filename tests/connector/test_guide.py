"""docs/power-automate.md: its commands run as they stand there; its tables name what there is."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from shared.platforms.power_automate.triggers import TRIGGERS
from tests.faults.host_process import running
from tests.unit.callbacks.receiver import receiving
from tests.unit.platforms.power_automate.conftest import SIGNED

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "power-automate.md").read_text("utf-8")


def blocks(text: str, kind: str) -> str:
    return "\n".join(re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


async def run(folder: Path, script: str, **given: str) -> str:
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", script),
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **given},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        said, wrong = await shell.communicate()
    assert shell.returncode == 0, wrong.decode()
    return said.decode()


@pytest.mark.process
async def test_the_commands_do_what_they_say(tmp_path: Path) -> None:
    async with receiving() as flow, running(tmp_path) as host:
        flow.answer = 202
        hub = host.url.rstrip("/")
        said = await run(tmp_path, blocks(PAGE, "sh"), HUB=hub, FLOW_URL=flow.url + SIGNED)
        signed = await run(
            tmp_path, blocks((DOCS / "callbacks.md").read_text("utf-8"), "sh signed"), HUB=hub, RECEIVER=flow.url
        )
        lists = await run(tmp_path, blocks((DOCS / "platforms.md").read_text("utf-8"), "sh flows"), HUB=hub)
        await host.end()
    assert '"ovens":[' in lists
    assert flow.seen[0].path == SIGNED
    assert flow.seen[0].json()["is_test"] is True
    assert '"status":"confirmed"' in said
    assert "202" in said.partition("HTTP/1.1 ")[2][:4]
    assert '"event_types":[' in said
    assert "aB%2Fc" not in said
    assert signed.count("whsec_") == 2


def test_every_trigger_is_named() -> None:
    for trigger in TRIGGERS.values():
        if trigger.event_type is not None:
            assert f"`{trigger.key}`" in PAGE
    assert "When any event happens (checked on a schedule)" in PAGE
    assert "(power-automate.md)" in (DOCS / "platforms.md").read_text("utf-8")
