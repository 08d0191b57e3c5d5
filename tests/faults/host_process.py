"""Starting `python -m local` as a person would: a process of its own, over a data folder of its own."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parents[2]
SAMPLE_APP = ("--entry", "tests.unit.local.sample_app")


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's, without settings of the app."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")}
    return {**kept, **(more or {})}


@dataclass
class HostProcess:
    """A running host."""

    process: asyncio.subprocess.Process
    url: str
    line: str
    """What it said when it was ready."""
    session: aiohttp.ClientSession
    errors: asyncio.Task[bytes]
    """All of stderr, once it has ended."""

    async def call(self, method: str, path: str, **how: Any) -> tuple[int, Any]:
        """Status, and the body as JSON if it is some."""
        async with self.session.request(method, self.url + path, **how) as answer:
            kind = answer.headers.get("Content-Type", "")
            return answer.status, await answer.json(content_type=None) if "json" in kind else await answer.read()

    async def end(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; the exit code and how many seconds it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        async with asyncio.timeout(20):
            code = await self.process.wait()
        assert code in (0, -signal.SIGKILL), f"exit code {code}: {(await self.errors).decode()[-3000:]}"
        return code, time.monotonic() - began


async def spawn(*arguments: str, env: Mapping[str, str] | None = None) -> asyncio.subprocess.Process:
    """Start it."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "local",
        *arguments,
        cwd=ROOT,
        env=environment(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def refusal(*arguments: str, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Start something that cannot start: exit code, stdout, stderr."""
    process = await spawn(*arguments, env=env)
    try:
        async with asyncio.timeout(30):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def running(
    data: Path, *arguments: str, port: int = 0, env: Mapping[str, str] | None = None
) -> AsyncIterator[HostProcess]:
    """A host that is ready. It is killed at the end if it still runs."""
    process = await spawn("--data", str(data), "--port", str(port), *arguments, env=env)
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    try:
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
        found = re.search(r"http://\S+", line)
        assert found is not None, f"{line!r} {(await errors).decode()[-3000:]}"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as session:
            yield HostProcess(process, found[0], line, session, errors)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await errors
        # The transports of the pipes close with the process; give the loop the turn to see it.
        process._transport.close()  # type: ignore[attr-defined]
        await asyncio.sleep(0)
