"""``python -m local.bakery``: the hub and a bakery beside it, on one machine. What ``make run`` starts."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from local.bakery.children import Child, StartFailed, start_host, start_oven, stop_all
from local.bakery.devices import SampleDevice
from local.bakery.family import Family
from local.bakery.hall import Hall, HallOptions
from local.bakery.hub import Hub, HubProblem
from local.bakery.plant import OVENS, SampleOven
from local.bakery.screen import GOOD_BYE, LiveView, plant_to_look_at, where_to_look

READY_SECONDS = 60.0
FIRST_READING_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    port: int
    data: Path
    ovens: int
    seed: int
    speed: float
    calm: bool
    plant: bool
    relay_port: int | None
    once_ready: bool

    @property
    def base_url(self) -> str:
        """Where the hub is."""
        return f"http://127.0.0.1:{self.port}"


class Bakery:
    """The host, the ovens and the plant while they run."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.ovens: list[SampleOven] = list(OVENS[: options.ovens])
        self.log_file = options.data / "host.log"
        self.host: Child | None = None
        self.family = Family()
        self.hall: Hall | None = None
        if options.plant:
            hall = HallOptions(options.data / "plant", options.relay_port, options.seed, options.speed, options.calm)
            self.hall = Hall(hall, self.family)
        self._unread: list[SampleDevice] = []
        """Devices of the plant that were not read in time."""

    async def run(self) -> int:
        """Start everything and stay until something ends it; the exit code."""
        try:
            self.options.data.mkdir(parents=True, exist_ok=True)
            self.host = await start_host(self.options.port, self.options.data, self.log_file)
        except OSError as error:
            return _fail(f"{error.filename} cannot be written: {error.strerror}", 2)
        bakes = asyncio.create_task(self._bake())
        host_ends = asyncio.create_task(self.host.process.wait())
        try:
            await asyncio.wait({bakes, host_ends}, return_when=asyncio.FIRST_COMPLETED)
            if bakes.done():
                return bakes.result()
        finally:  # before anybody is stopped: nobody is started again then
            host_ends.cancel()
            bakes.cancel()
            await asyncio.wait({bakes})
        return self._mourn(host_ends.result())

    async def stop(self) -> None:
        """Stop all children; returns when they are gone."""
        await asyncio.gather(self.family.stop(), stop_all([self.host] if self.host is not None else []))

    async def _bake(self) -> int:
        try:
            await self._start_ovens()
        except StartFailed as error:
            return _fail(str(error), 1)
        async with Hub(self.options.base_url) as hub:
            if not await self._wait_until_ready(hub):
                return _fail(f"The host is not ready after {READY_SECONDS:g} s; {self.log_file} says why.", 1)
            try:
                await self._open(hub)
            except StartFailed as error:
                return _fail(str(error), 1)
            except (HubProblem, httpx.HTTPError) as error:
                return _fail(f"The machines could not be registered: {error}", 1)
            print(GOOD_BYE, flush=True)
            if self.options.once_ready:
                return await self._first_readings(hub)
            await self._stay(hub)
        return 0

    async def _start_ovens(self) -> None:
        options = self.options
        for oven in self.ovens:
            start = partial(_start_oven, oven, options)
            await self.family.begin(oven.name, start)

    async def _open(self, hub: Hub) -> None:
        """The ovens first: they are there at once. The plant's devices need seconds."""
        options = self.options
        placed = [(oven, self.family.port(oven.name)) for oven in self.ovens]
        for oven, port in placed:
            await hub.register(oven, port)
        print(where_to_look(options.base_url, placed, options.data, self.log_file), flush=True)
        if self.hall is None:
            return
        print("The plant's own devices and the relay that reads them are starting ...", flush=True)
        await self.hall.start_devices()
        await self.hall.join(hub, options.port)
        self._unread = await self.hall.until_read(hub)
        print(plant_to_look_at(options.base_url, self.hall, self._unread), flush=True)

    async def _wait_until_ready(self, hub: Hub) -> bool:
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            if await hub.ready():
                return True
            await asyncio.sleep(0.1)
        return False

    async def _first_readings(self, hub: Hub) -> int:
        missing = await hub.wait_for_readings(self.ovens, FIRST_READING_SECONDS)
        names = [oven.id for oven in missing] + [device.id for device in self._unread]
        if names:
            return _fail(f"No reading from {', '.join(names)}.", 1)
        print(f"All {len(self.ovens)} ovens are connected.", flush=True)
        if self.hall is not None:
            print(f"All {len(self.hall.devices)} devices of the plant are read by the relay.", flush=True)
        return 0

    async def _stay(self, hub: Hub) -> None:
        watchers = [asyncio.create_task(self.family.keep())]
        if sys.stdout.isatty():
            machines = [*self.ovens, *(self.hall.devices if self.hall is not None else ())]
            watchers.append(asyncio.create_task(LiveView(hub, machines).run()))
        try:
            await asyncio.gather(*watchers)
            await asyncio.Event().wait()  # all of them may be off for good; the hub is not
        finally:
            for watcher in watchers:
                watcher.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)

    def _mourn(self, code: int) -> int:
        """The host ended by itself: say what it said last."""
        with contextlib.suppress(OSError):
            for line in self.log_file.read_text("utf-8", "replace").splitlines()[-5:]:
                print(line[:500], file=sys.stderr)
        return _fail(f"The host ended (exit code {code}); the whole log is {self.log_file}.", 2 if code == 2 else 1)


async def _start_oven(oven: SampleOven, options: Options, port: int) -> Child:
    return await start_oven(oven, seed=options.seed, speed=options.speed, calm=options.calm, port=port)


def _fail(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr, flush=True)
    return code


async def _main(options: Options) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    bakery = Bakery(options)
    run = asyncio.create_task(bakery.run())
    asked = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({run, asked}, return_when=asyncio.FIRST_COMPLETED)
        if run.done():
            return run.result()
        print("\nStopping ...", flush=True)
        run.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await run
        return 0
    finally:
        asked.cancel()
        await bakery.stop()


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m local.bakery", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--port", type=int, default=7071, help="of the hub (default %(default)s)")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that keeps everything (default ./data)")
    parser.add_argument("--ovens", type=int, choices=range(1, len(OVENS) + 1), default=len(OVENS))
    parser.add_argument("--seed", type=int, default=7, help="another seed bakes other bread")
    parser.add_argument("--speed", type=float, default=12.0, help="simulated seconds per second (default %(default)s)")
    parser.add_argument("--calm", action="store_true", help="nothing goes wrong by itself")
    parser.add_argument("--no-plant", dest="plant", action="store_false", help="the REST ovens alone, without a relay")
    parser.add_argument("--relay-port", type=int, help="of the relay (default: the one after the hub's, if it is free)")
    parser.add_argument("--once-ready", action="store_true", help="stop when every machine has been read once")
    given = parser.parse_args(arguments)
    given.data = given.data.resolve()
    options = Options(**vars(given))
    for port, option in ((options.port, "--port"), (options.relay_port, "--relay-port")):
        if port is not None and not _port_is_free(port):
            return _fail(f"Port {port} is taken. Stop what listens there, or choose another: {option} {port + 1}", 2)
    return asyncio.run(_main(options))


if __name__ == "__main__":
    sys.exit(main())
