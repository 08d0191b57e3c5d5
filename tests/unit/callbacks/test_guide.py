"""The commands of docs/callbacks.md, run as they stand there, one after the other, against the real host."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.benchmarks.wire import start
from tests.unit.callbacks.receiver import receiving

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "callbacks.md"


@pytest.mark.process
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_every_command_works(tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 7
    async with receiving() as receiver:
        process, line = await asyncio.to_thread(start, "-m", "local", "--port", "0", "--data", str(tmp_path / "data"))
        try:
            base = f"http://127.0.0.1:{line.split('http://127.0.0.1:')[1].split()[0]}"
            script = "set -euo pipefail\n" + "\n".join(f"echo '### {n}'\n{b}" for n, b in enumerate(blocks))
            shell = await asyncio.create_subprocess_exec(
                "bash", "-c", script,
                cwd=tmp_path,
                env={**os.environ, "OVENBRIDGE": base, "RECEIVER": receiver.url},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            said, _ = await asyncio.wait_for(shell.communicate(), 60)
            assert shell.returncode == 0, said.decode()
            async with asyncio.timeout(10):
                while len(receiver.seen) < 2:
                    receiver.arrived.clear()
                    await receiver.arrived.wait()
        finally:
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait)
            assert process.stdout is not None
            process.stdout.close()
    told = {n.json()["properties"]["eventType"]: n.json()["properties"] for n in receiver.seen}
    assert told["EXTERNAL"]["data"] == {"myData1": "123", "myData2": "456"}
    assert set(told) == {"EXTERNAL", "TEST"}


def test_the_guide_names_every_reason_and_limit() -> None:
    from shared.callbacks import model
    from shared.events.catalogue import CATALOGUE, EXTERNAL, TEST

    text = GUIDE.read_text("utf-8")
    for reason in ("max_attempts", "max_unconfirmed", "gone", "callback_disabled", "callback_deleted"):
        assert f"`{reason}`" in text
    for number in (model.DEFAULT_RETRIES, model.DEFAULT_UNCONFIRMED, model.MAX_RETRIES, model.MAX_UNCONFIRMED):
        assert f"{number:,}" in text
    assert all(f"`{name}`" in text for name in CATALOGUE.keys() - {TEST})
    assert EXTERNAL in text
