"""docs/platforms.md, Operations1, and external-requests.md: commands run, examples are profiles, options are told."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from shared.platforms.operations1.calculate import FUNCTIONS
from shared.platforms.operations1.connection import ACCEPT_VERSION, RestOptions
from shared.platforms.operations1.profile import RequestProfile
from shared.platforms.operations1.webhook_options import KNOWN_REALMS, WebhookOptions
from tests.faults.host_process import running
from tests.platforms.operations1 import TOKEN, FakeOperations1

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "platforms.md").read_text("utf-8")
SECTION = PAGE.partition("## Operations1\n")[2].partition("\n## ")[0]
COMMANDS = "\n".join(re.findall(r"```sh operations1\n(.*?)```", SECTION, re.DOTALL))
REQUESTS = (DOCS / "external-requests.md").read_text("utf-8")
EXAMPLES = [
    found
    for block in re.findall(r"```json\n(.*?)```", REQUESTS, re.DOTALL)
    if (found := json.loads(block)).keys() & {"actions", "template"}
]


@pytest.mark.process
async def test_the_commands_do_what_they_say(tmp_path: Path) -> None:
    there = FakeOperations1()
    await there.start()
    try:
        allowed = {"ALLOW_PRIVATE_TARGETS": "true", "ALLOW_HTTP_TARGETS": "true"}
        async with running(tmp_path, env=allowed) as host:
            assert (await host.call("POST", "/api/v1/equipment", json={"id": "OVEN-1", "name": "Oven 1"}))[0] == 201
            script = COMMANDS.replace("https://api.operations1.app", there.url)
            given = {"HUB": host.url.rstrip("/"), "OPERATIONS1_TOKEN": TOKEN, "SECRET": "Sesame-open-71b4-and-more"}
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
    finally:
        await there.stop()
    assert process.returncode == 0, wrong.decode()
    told = said.decode()
    for expected in (
        '"verdict":"verified"',
        '"eventType":"WORK_ORDER_COMPLETED"',
        '"work_order_id":"FA-815"',
        "OVEN-1 has not been read",
        '"success":true',
        '"created":true',
        '"custom_order_id":"TKT-1"',
    ):
        assert expected in told, expected
    assert there.posted == 1


@pytest.mark.parametrize("name", [*WebhookOptions.model_fields, *RestOptions.model_fields])
def test_every_option_is_explained(name: str) -> None:
    assert f"`{name}`" in SECTION


@pytest.mark.parametrize("name", RequestProfile.model_fields)
def test_every_field_of_a_profile_is_explained(name: str) -> None:
    assert f"`{name}" in REQUESTS


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: next(iter(one)))
def test_every_recipe_is_a_profile(example: dict[str, Any]) -> None:
    tags = {"tags": {"core_temp": {"equipment_id": "OVEN-1", "signal": "temperature.core"}}}
    assert RequestProfile.model_validate(tags | example)


def test_numbers_and_words_are_those_of_the_code() -> None:
    rest = RestOptions(tenant="x")
    assert f"`{ACCEPT_VERSION}`" in SECTION
    assert f"| {rest.page_size}, {rest.max_pages} |" in SECTION
    assert json.dumps(KNOWN_REALMS) in SECTION
    assert " ".join(sorted(FUNCTIONS)) in REQUESTS
    assert len(EXAMPLES) == 4
