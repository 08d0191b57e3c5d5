"""The plant beside the hub: devices that speak what plants speak, and the relay that reads them."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from local.bakery.broker import MISSING, find_broker, start_broker
from local.bakery.children import start_device, start_relay
from local.bakery.devices import DEVICES, SampleDevice
from local.bakery.family import Family, Start
from local.bakery.hub import Hub
from local.bakery.relay import introduce, offer_profile, relay_environment
from shared.clock import SystemClock, iso

__all__ = ["BROKER", "RELAY", "Hall", "HallOptions"]

RELAY = "The relay"
BROKER = "The MQTT broker"
READ_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class HallOptions:
    """How the plant is run."""

    folder: Path
    relay_port: int | None
    """``None``: the one after the hub's if it is free, else any."""
    seed: int
    speed: float
    calm: bool


class Hall:
    """The devices that can be had on this machine, and their relay. ``family`` keeps and stops their processes."""

    def __init__(self, options: HallOptions, family: Family) -> None:
        self.options = options
        self._family = family
        self.devices: list[SampleDevice] = []
        self._since = ""
        self.left_out: list[str] = []
        """Sentences about what is not there, and why."""

    @property
    def log_file(self) -> Path:
        """What the relay says."""
        return self.options.folder / "relay.log"

    @property
    def relay_url(self) -> str:
        """Where pages on site ask."""
        return f"http://127.0.0.1:{self._family.port(RELAY)}"

    def address(self, device: SampleDevice) -> str:
        """Where a device, or its broker, listens."""
        return f"{device.scheme}://127.0.0.1:{self._family.port(device.name)}"

    async def start_devices(self) -> None:
        """All at once: the OPC UA server needs seconds. Raises ``StartFailed``."""
        options = self.options
        options.folder.mkdir(parents=True, exist_ok=True)
        self._since = iso(SystemClock().now())
        program = find_broker()
        self.devices = [device for device in DEVICES if device.protocol != "mqtt" or program is not None]
        broker_port = 0
        if program is None:
            self.left_out.append(MISSING)
        else:
            begun = await self._family.begin(BROKER, partial(start_broker, program, options.folder / "broker"))
            broker_port = begun.port
        starting = [asyncio.create_task(self._start(device, broker_port)) for device in self.devices]
        try:
            await asyncio.gather(*starting)
        finally:
            for task in starting:
                task.cancel()
            await asyncio.gather(*starting, return_exceptions=True)

    async def join(self, hub: Hub, hub_port: int) -> None:
        """Make relay and devices known to the hub, then start the relay. Raises ``HubProblem``."""
        settings = self.options.folder / "relay.settings.json"
        await introduce(hub, settings)
        for device in self.devices:
            await hub.register(device, self._family.port(device.name), test=False)  # nobody is there to test it yet
        await offer_profile(hub)
        port = self.options.relay_port or _free_port(hub_port + 1)
        environment = relay_environment(os.environ)
        data, log_file = self.options.folder / "relay", self.log_file
        await self._family.begin(RELAY, lambda port: start_relay(port, data, settings, log_file, environment), port)

    async def until_read(self, hub: Hub) -> list[SampleDevice]:
        """Wait until the relay has read each device; those that were not in time."""
        return await hub.wait_for_readings(self.devices, READ_SECONDS, since=self._since)

    async def _start(self, device: SampleDevice, broker_port: int) -> None:
        options = self.options
        port = broker_port if device.protocol == "mqtt" else 0
        start = _starter(device, options)
        await self._family.begin(device.name, start, port)


def _starter(device: SampleDevice, options: HallOptions) -> Start:
    return lambda port: start_device(device, seed=options.seed, speed=options.speed, calm=options.calm, port=port)


def _free_port(wished: int) -> int:
    """This one if nobody has it, else any."""
    for port in (wished, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port")
