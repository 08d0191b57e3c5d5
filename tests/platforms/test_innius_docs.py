"""docs/platforms.md, innius: its commands run as they are written, and every option is explained with its default."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.callbacks.model import DEFAULT_RETRIES, DEFAULT_UNCONFIRMED
from shared.platforms.innius.connection import RestOptions
from shared.platforms.innius.options import InniusOptions, UiBody
from shared.platforms.innius.webhooks import NewKey, WantedWebhook
from shared.platforms.innius.words import EVENTS
from tests.faults.host_process import running
from tests.platforms.test_innius import believed
from tests.unit.callbacks.receiver import receiving

PAGE = (Path(__file__).parents[2] / "docs" / "platforms.md").read_text("utf-8")
SECTION = PAGE.partition("## innius\n")[2].partition("\n## ")[0]
COMMANDS = "\n".join(re.findall(r"```sh innius\n(.*?)```", SECTION, re.DOTALL))


@pytest.mark.process
async def test_the_commands_do_what_they_say(tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    allowed = {"ALLOW_PRIVATE_TARGETS": "true", "ALLOW_HTTP_TARGETS": "true"}
    async with receiving() as receiver, running(tmp_path / "data", env=allowed) as host:
        status, _ = await host.call("POST", "/api/v1/equipment", json={"id": "OVEN-1", "name": "Oven 1"})
        assert status == 201
        given = {
            "HUB": host.url.rstrip("/"),
            "INNIUS_PUBLIC_KEY": base64.b64encode(der).decode(),
            "KEY": str(tmp_path / "key.pem"),
            "RECEIVER": receiver.url,
        }
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-euo",
            "pipefail",
            "-c",
            COMMANDS,
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", **given},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            said, wrong = await process.communicate()
        await host.end()
    assert process.returncode == 0, wrong.decode()
    told = said.decode()
    assert '"status":"accepted"' in told
    assert '"verdict":"verified"' in told
    assert '"status":"handled"' in told
    assert '"severity":"critical"' in told
    assert '"level":"company"' in told
    (call,) = receiver.seen
    assert believed(json.loads((tmp_path / "webhook.json").read_text("utf-8"))["public_key"], call)


@pytest.mark.parametrize(
    "model", [InniusOptions, UiBody, RestOptions, WantedWebhook, NewKey], ids=lambda model: model.__name__
)
def test_every_option_is_explained(model: type) -> None:
    for name in model.model_fields:  # type: ignore[attr-defined]
        assert f"`{name}`" in SECTION, name


def test_what_is_unverified_is_called_so() -> None:
    for name, field in InniusOptions.model_fields.items():
        if "nverified" in (field.description or ""):
            assert any(f"`{name}`" in line and "nverified" in line for line in SECTION.splitlines()), name


def test_numbers_are_those_of_the_code() -> None:
    options, key = InniusOptions(), NewKey.model_validate({})
    assert f"| `retry_seconds` | {options.retry_seconds} |" in SECTION
    assert f"| {DEFAULT_RETRIES}, {DEFAULT_UNCONFIRMED} |" in SECTION
    assert f"`announce_seconds` ({key.announce_seconds:,}" in SECTION
    assert f"`keep_old_seconds` ({key.keep_old_seconds:,}" in SECTION
    assert all(f"`{event}`" in SECTION for event in EVENTS)
