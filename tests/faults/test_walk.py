"""The walk of the README, done as its reader would: `make run`'s bakery, curl, a listener - and `kill -9`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
PENDING = 500

pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(420),
    pytest.mark.xdist_group("walk"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="the walk is made with curl"),
]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


async def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:g} s for: {what}"
        await asyncio.sleep(0.1)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}


@asynccontextmanager
async def running(*command: str, cwd: Path, ready: str, output: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command whose output goes to a file, ready when a text stands there; its whole process group ends with it."""
    with output.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=cwd, env=environment(), stdout=file, stderr=file, start_new_session=True
        )
    try:
        await until(lambda: _says(output, ready) or process.returncode is not None, 120, f"{ready!r} of {command[-1]}")
        assert process.returncode is None, f"it ended; see {output}"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _says(output: Path, text: str) -> bool:
    return text in output.read_text()


def bakery(port: int, data: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "local.bakery", "--port", str(port), "--data", str(data), "--ovens", "1", *more]


async def test_the_readme_can_be_walked(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    walk = text.split("<!-- walk:start -->")[1].split("<!-- walk:end -->")[0]
    # What the page about relays tries on the same bakery comes after it.
    walk += (
        (ROOT / "docs" / "relay.md")
        .read_text("utf-8")
        .split("<!-- sample:start -->")[1]
        .split("<!-- sample:end -->")[0]
    )
    blocks = re.findall(r"```sh\n(.*?)```", walk, re.DOTALL)
    hub, relay, oven, listener = free_port(), free_port(), free_port(), free_port()
    script = "\n".join(blocks)
    for told, here in ((":7071", f":{hub}"), (":7072", f":{relay}"), ("9100", str(oven)), ("9000", str(listener))):
        assert told in script
        script = script.replace(told, here)
    script = script.replace(".venv/bin/python", sys.executable)
    # Calm: what the plant's faults do by themselves after some minutes is not what the walk is about.
    started = bakery(hub, tmp_path / "data", "--relay-port", str(relay), "--calm")
    output, errors = tmp_path / "walk.log", tmp_path / "walk.err"  # apart: the listener speaks there, in between
    async with running(*started, cwd=ROOT, ready="Ctrl-C stops", output=tmp_path / "hub.log"):
        with output.open("wb") as file, errors.open("wb") as error_file:
            shell = await asyncio.create_subprocess_exec(
                *("bash", "-eu", "-c", script),
                cwd=tmp_path,
                env=environment(),
                stdout=file,
                stderr=error_file,
                start_new_session=True,
            )
        try:
            # The shell's own end: its children in the background stay.
            code = await asyncio.wait_for(shell.wait(), 180)
        except TimeoutError:
            pytest.fail(f"the walk does not end: {output.read_text()}{errors.read_text()}")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            await shell.wait()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{hub}") as client:
            audit = await client.get("/api/v1/audit", params={"stream": "equipment:deck-1"})
    told = output.read_text()
    assert code == 0, told + errors.read_text()
    assert "rye, second batch" in audit.text, audit.text
    assert '"success":true' in told, told
    assert '"status":"connected"' in told, told
    assert '"temperature":182.5' in told, "the reading before the heat"
    assert '"alert_type":"temperature_deviation"' in told, told
    assert '"severity":"critical"' in told, told
    notes = [json.loads(line) for line in (tmp_path / "notifications.jsonl").read_text().splitlines()]
    assert [note["event_type"] for note in notes] == ["ALERT_RAISED"]
    assert notes[0]["data"]["equipment_id"] == "my-oven"
    assert notes[0]["data"]["value"] == 262
    answers = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    combi = next(body for body in answers if body.get("equipment_name") == "Combi steamer #1")
    assert (combi["quality"], combi["connection_status"]) == ("good", "connected"), (tmp_path / "hub.log").read_text()
    assert combi["temperature_zones"]["core"] > 20
    written = next(body for body in answers if body.get("signal") == "temperature.deck1.setpoint")
    assert (written["status"], written["after"], written["verified"]) == ("written", 200, True)
    on_site = [body for body in answers if "core_temp" in body]
    assert len(on_site) == 2, told
    assert min(body["core_temp"] for body in on_site) > 20
    assert "HTTP/1.1 204 No Content" in told
    assert "Access-Control-Allow-Private-Network: true" in told


async def test_killed_among_five_hundred_pending_nothing_is_lost(tmp_path: Path) -> None:
    seed = int(os.environ.get("OVENBRIDGE_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
    chance = random.Random(seed)
    hub, listener = free_port(), free_port()
    data, received = tmp_path / "data", tmp_path / "received.jsonl"
    base = f"http://127.0.0.1:{hub}"
    started = bakery(hub, data, "--no-plant")
    async with running(*started, cwd=ROOT, ready="Ctrl-C stops", output=tmp_path / "first.log") as first:
        await _subscribe(base, listener)
        acknowledged = await _publish(base, PENDING)  # nobody listens yet: all of them are pending
        await asyncio.sleep(chance.uniform(0, 0.5))
        async with _listening(listener, received, tmp_path):
            await until(lambda: _count(received) >= chance.randrange(1, PENDING // 2), 120, "some notifications")
            os.killpg(first.pid, signal.SIGKILL)
            await first.wait()
            before = _count(received)
            again = tmp_path / "second.log"
            async with running(*started, cwd=ROOT, ready="Ctrl-C stops", output=again):
                numbers = {json.loads(line)["data"]["number"] for line in received.read_text().splitlines()}
                end = time.monotonic() + 120
                while numbers != acknowledged and time.monotonic() < end:
                    await asyncio.sleep(0.2)
                    numbers = {json.loads(line)["data"]["number"] for line in received.read_text().splitlines()}
    lines = [json.loads(line) for line in received.read_text().splitlines()]
    ids = {(line["data"]["number"], line["webhook_id"]) for line in lines}
    twice = sum(count - 1 for count in Counter(line["data"]["number"] for line in lines).values())
    print(f"seed {seed}: killed after {before} of {PENDING}, {twice} arrived twice")
    assert numbers == acknowledged, f"seed {seed}: lost {sorted(acknowledged - numbers)[:10]}"
    assert len(ids) == len(acknowledged), f"seed {seed}: the same event under two webhook-ids"


def _count(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


async def _subscribe(base: str, port: int) -> None:
    async with httpx.AsyncClient(base_url=base) as client:
        answer = await client.post(
            "/ffwebservices/api/v2/callbacks",
            json={
                "eventType": "EXTERNAL",
                "url": f"http://127.0.0.1:{port}/all",
                "maxRedeliverAttempts": 50,
                "maxUnconfirmedMessages": 1000,
            },
        )
        assert answer.is_success, answer.text


async def _publish(base: str, count: int) -> set[int]:
    """Publish at concurrency 20; which were acknowledged."""
    acknowledged: set[int] = set()
    gate = asyncio.Semaphore(20)
    async with httpx.AsyncClient(base_url=base, timeout=30) as client:

        async def publish(number: int) -> None:
            async with gate:
                body = {"eventType": "EXTERNAL", "data": {"number": number}}
                answer = await client.post("/ffwebservices/api/v2/events", json=body)
                assert answer.is_success, answer.text
                acknowledged.add(number)

        await asyncio.gather(*(publish(n) for n in range(count)))
    return acknowledged


@asynccontextmanager
async def _listening(port: int, received: Path, folder: Path) -> AsyncIterator[None]:
    errors = folder / "listener.log"
    with received.open("ab") as out, errors.open("ab") as err:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "local.listener",
            "--port",
            str(port),
            cwd=ROOT,
            env=environment(),
            stdout=out,
            stderr=err,
        )
    try:
        await until(lambda: "Listening" in errors.read_text(), 20, "the listener")
        yield
    finally:
        process.terminate()
        await process.wait()
