"""Child processes: started apart from the terminal, stopped in order, never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import re
import signal
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from local.bakery.devices import SampleDevice
from local.bakery.plant import SampleOven

__all__ = [
    "Child",
    "StartFailed",
    "spawn",
    "start_device",
    "start_host",
    "start_oven",
    "start_relay",
    "stop_all",
]

ROOT = Path(__file__).resolve().parents[2]

DEVICE_START_SECONDS = 45.0
HOST_STOP_SECONDS = 12.0
"""The host promises to be gone within ten."""

LONGEST_LOG = 10_000_000
"""Bytes. A longer log of earlier runs is put aside."""

_LISTENS = re.compile(r" [a-z.+]+://127\.0\.0\.1:(\d+)$")
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class StartFailed(Exception):
    """A child did not come up; the text is for people."""


@dataclass(slots=True)
class Child:
    """One running child."""

    name: str
    process: asyncio.subprocess.Process
    port: int
    chatter: asyncio.Task[None] | None = None
    """Keeps its output pipe empty."""


def _die_with_parent() -> None:
    # The kernel ends the child should we be killed without a chance to do it.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def spawn(
    *command: str, stdout: int, stderr: int, environment: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Start a program that ends with us."""
    return await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,  # Ctrl-C is ours alone; we stop them in order
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    )


async def start_host(port: int, data: Path, log_file: Path) -> Child:
    """``python -m local``, its log going to a file so that the screen stays readable."""
    return await _start_app("the host", ("--port", str(port), "--data", str(data)), port, log_file, None)


async def start_relay(port: int, data: Path, settings: Path, log_file: Path, environment: Mapping[str, str]) -> Child:
    """``python -m local --app relay``, likewise."""
    arguments = ("--app", "relay", "--port", str(port), "--data", str(data), "--settings", str(settings))
    return await _start_app("the relay", arguments, port, log_file, environment)


async def _start_app(
    name: str, arguments: tuple[str, ...], port: int, log_file: Path, environment: Mapping[str, str] | None
) -> Child:
    _put_long_log_aside(log_file)
    with log_file.open("ab") as log:
        process = await spawn(
            *(sys.executable, "-m", "local", *arguments),
            stdout=log.fileno(),
            stderr=log.fileno(),
            environment=environment,
        )
    return Child(name, process, port)


def _put_long_log_aside(log_file: Path) -> None:
    if log_file.exists() and log_file.stat().st_size > LONGEST_LOG:
        log_file.replace(log_file.with_suffix(".old.log"))


async def start_oven(oven: SampleOven, *, seed: int, speed: float, calm: bool, port: int = 0) -> Child:
    """One oven on a free port. Raises ``StartFailed``."""
    return await _start_speaker(
        oven.name,
        "local.bakery.oven",
        *("--port", str(port), "--dialect", oven.dialect_name, "--name", oven.name),
        *("--seed", str(seed * 100 + oven.number), "--speed", str(speed)),
        *(("--drifts",) if oven.drifts and not calm else ()),
        *(("--faults", oven.faults) if oven.faults and not calm else ()),
    )


async def start_device(device: SampleDevice, *, seed: int, speed: float, calm: bool, port: int = 0) -> Child:
    """One device of the plant; ``port``: its own, or its broker's. Raises ``StartFailed``."""
    return await _start_speaker(
        device.name,
        f"local.bakery.{device.module}",
        *("--port", str(port), "--seed", str(seed * 100 + 50 + device.seed), "--speed", str(speed)),
        *(("--faults", device.faults) if device.faults and not calm else ()),
    )


async def _start_speaker(name: str, module: str, *arguments: str) -> Child:
    """A process whose first line says where it listens."""
    process = await spawn(
        *(sys.executable, "-m", module, *arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    child = Child(name, process, 0)
    said = ""
    try:
        async with asyncio.timeout(DEVICE_START_SECONDS):
            said = await _first_line(process.stdout)
    except TimeoutError:
        said = f"nothing within {DEVICE_START_SECONDS:g} s"
    except asyncio.CancelledError:
        await stop_all([child])  # nobody else knows of it yet
        raise
    found = _LISTENS.search(said)
    if found is None:
        await stop_all([child])
        raise StartFailed(f"{name} did not start: {said or 'it says nothing'}")
    child.port = int(found[1])
    child.chatter = asyncio.create_task(_swallow(process.stdout))
    return child


async def _first_line(stream: asyncio.StreamReader | None) -> str:
    return "" if stream is None else (await stream.readline()).decode(errors="replace").rstrip()


async def _swallow(stream: asyncio.StreamReader | None) -> None:
    while stream is not None and await stream.read(65_536):
        pass


async def stop_all(children: Iterable[Child]) -> None:
    """SIGTERM to all, SIGKILL to who does not go; returns when every one is gone."""
    running = list(children)
    for child in running:
        with contextlib.suppress(ProcessLookupError):
            child.process.terminate()
    await asyncio.gather(*(_gone(child) for child in running))


async def _gone(child: Child) -> None:
    try:
        async with asyncio.timeout(HOST_STOP_SECONDS):
            await child.process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.process.kill()
        await child.process.wait()
    if child.chatter is not None:
        await child.chatter
