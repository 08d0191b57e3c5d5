"""Reading the machines of a plant: one task each, at a fixed rate, whatever happens to the others.

Slots lie on ``start + n * period`` of the monotonic clock: a slow read leaves slots out and is not caught up, and a
step of the wall clock changes nothing. The start is spread at random, so that not all are read in the same instant.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.relay.messages import Device, DevicesSummary
from shared.relay.plant_machine import Machine, Plant

__all__ = ["Sampler", "SamplerStats"]

log = logging.getLogger("ovenbridge.relay")

SPREAD_SECONDS = 10.0
"""A machine is read for the first time within its period, and within this."""
AGAIN_SECONDS = 1.0
LOOK_SECONDS = 10.0
"""How often new credentials are looked for, in the pause after they were refused."""


@dataclass(slots=True)
class SamplerStats:
    """Since the start."""

    visits: int = 0
    skipped: int = 0
    """Slots left out because a read took longer than the period."""


def _period(device: Device) -> float:
    return float(device.poll_interval_seconds)


class Sampler:
    """Keeps the machines of the assignments read."""

    def __init__(
        self, plant: Plant, *, period: Callable[[Device], float] = _period, chance: Callable[[], float] = random.random
    ) -> None:
        self._plant = plant
        self._period = period
        self._chance = chance
        self._machines: dict[str, Machine] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.stats = SamplerStats()

    async def assign(self, devices: Sequence[Device]) -> None:
        """Read these from now on. Only what changed is stopped and started; the others do not notice."""
        wanted = {device.equipment_id: device for device in devices}
        gone = [name for name, machine in self._machines.items() if wanted.get(name) != machine.device]
        await asyncio.gather(*(self._stop(name) for name in gone))
        for name, device in wanted.items():
            if name not in self._machines:
                machine = self._machines[name] = Machine(device, self._plant)
                self._tasks[name] = asyncio.create_task(self._keep_reading(machine), name=f"sample {name}")
        self._plant.latest.keep_only(wanted.keys())

    def machine(self, equipment_id: str) -> Machine | None:
        """A machine that is read here."""
        return self._machines.get(equipment_id)

    def summary(self) -> DevicesSummary:
        """How they are."""
        failing = [machine.failing for machine in self._machines.values()]
        return DevicesSummary(connected=failing.count(False), failing=failing.count(True))

    async def close(self) -> None:
        """Stop reading."""
        await asyncio.gather(*(self._stop(name) for name in tuple(self._machines)))

    async def _stop(self, name: str) -> None:
        machine, task = self._machines.pop(name), self._tasks.pop(name)
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)
        try:
            await machine.close()
        except Exception as error:  # noqa: BLE001 - a library that stumbles while letting go must not stop the rest
            log.warning("The connection to %s could not be closed in good order: %s", name, type(error).__name__)

    async def _keep_reading(self, machine: Machine) -> None:
        while True:
            try:
                await self._read_at_its_rate(machine)
            except Exception:
                # Nothing may end the reading of a machine but the end of its assignment.
                log.exception("Reading %s broke down and is started again", machine.device.equipment_id)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _read_at_its_rate(self, machine: Machine) -> None:
        loop = asyncio.get_running_loop()
        period = self._period(machine.device)
        due = loop.time() + self._chance() * min(period, SPREAD_SECONDS)
        while True:
            if machine.refused_credentials:
                due = await self._rest(machine, due)
            await asyncio.sleep(due - loop.time())
            pause = await machine.look()
            self.stats.visits += 1
            late = loop.time() - (due + period)
            due += period
            if late > 0:
                missed = math.ceil(late / period)
                self.stats.skipped += missed
                due += missed * period
            if pause > 0:
                # The next slot at or after the end of the pause.
                due += max(0, math.ceil((loop.time() + pause - due) / period)) * period

    async def _rest(self, machine: Machine, due: float) -> float:
        """While the machine refuses its credentials, see at times whether it was given others. The slot, or now."""
        loop = asyncio.get_running_loop()
        while machine.refused_credentials and due - loop.time() > LOOK_SECONDS:
            await asyncio.sleep(LOOK_SECONDS)
            if await machine.deserves_a_look():
                return loop.time()
        return due
