"""What the plant's devices have in common: a simulation that follows the clock, faults, an end when they are told."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any, Protocol

from local.bakery.faults import FaultPlan

__all__ = ["Running", "device_parser", "fault_kinds", "run_device", "say_ready", "until_told"]


class Simulation(Protocol):
    """Anything that time passes for."""

    def advance(self, seconds: float) -> None:
        """Let so many simulated seconds pass."""


class Running:
    """Keeps a simulation at the time it is. Nothing runs between two looks: an unread device costs nothing."""

    def __init__(self, simulation: Simulation, faults: FaultPlan, *, speed: float) -> None:
        self._simulation = simulation
        self.faults = faults
        self._speed = speed
        self._begun = self._advanced = time.monotonic()

    def catch_up(self) -> None:
        """Let the simulation run to now."""
        now = time.monotonic()
        self._simulation.advance((now - self._advanced) * self._speed)
        self._advanced = now

    def fault(self) -> str | None:
        """What is wrong with it now."""
        return self.faults.at(time.monotonic() - self._begun)


def device_parser(name: str, description: str, *, faults: str) -> argparse.ArgumentParser:
    """The options that every device takes."""
    parser = argparse.ArgumentParser(prog=f"python -m local.bakery.{name}", description=description)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=12.0, help="simulated seconds per second")
    parser.add_argument("--faults", default="", help=f"those that come by themselves, of {faults}")
    return parser


def fault_kinds(text: str) -> tuple[str, ...]:
    """Of ``--faults``."""
    return tuple(kind for kind in text.split(",") if kind)


def say_ready(sentence: str) -> None:
    """The one line that whoever started the process waits for."""
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


async def until_told() -> None:
    """Until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


def run_device(name: str, port: int, serving: Coroutine[Any, Any, None]) -> int:
    """The exit code."""
    try:
        asyncio.run(serving)
    except OSError as error:
        print(f"{name} cannot listen on port {port}: {error.strerror or error}", file=sys.stderr)
        return 2
    return 0
