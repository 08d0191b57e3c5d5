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
from pathlib import Path

import httpx

from local.bakery.children import Child, StartFailed, start_host, start_oven, stop_all
from local.bakery.hub import Hub, HubProblem
from local.bakery.plant import OVENS, SampleOven
from local.bakery.screen import LiveView, where_to_look

READY_SECONDS = 60.0
FIRST_READING_SECONDS = 60.0
MOST_RESTARTS = 10
"""Of ovens, over the whole run."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    port: int
    data: Path
    ovens: int
    seed: int
    speed: float
    calm: bool
    once_ready: bool

    @property
    def base_url(self) -> str:
        """Where the hub is."""
        return f"http://127.0.0.1:{self.port}"


class Bakery:
    """The host and the ovens while they run."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.ovens: list[SampleOven] = list(OVENS[: options.ovens])
        self.log_file = options.data / "host.log"
        self.host: Child | None = None
        self.running: dict[str, Child] = {}
        self._restarts = 0

    async def run(self) -> int:
        """Start everything and stay until something ends it; the exit code."""
        try:
            self.options.data.mkdir(parents=True, exist_ok=True)
            self.host = await start_host(self.options.port, self.options.data, self.log_file)
        except OSError as error:
            return _fail(f"{error.filename} cannot be written: {error.strerror}", 2)
        bakes = asyncio.create_task(self._bake())
        host_ends = asyncio.create_task(self.host.process.wait())
        done, _ = await asyncio.wait({bakes, host_ends}, return_when=asyncio.FIRST_COMPLETED)
        if bakes in done:
            host_ends.cancel()
            return bakes.result()
        bakes.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await bakes
        return self._mourn(host_ends.result())

    async def stop(self) -> None:
        """Stop all children; returns when they are gone."""
        children = [*self.running.values(), *([self.host] if self.host is not None else [])]
        await stop_all(children)

    async def _bake(self) -> int:
        options = self.options
        try:
            for oven in self.ovens:
                self.running[oven.id] = await start_oven(
                    oven, seed=options.seed, speed=options.speed, calm=options.calm
                )
        except StartFailed as error:
            return _fail(str(error), 1)
        async with Hub(options.base_url) as hub:
            if not await self._wait_until_ready(hub):
                return _fail(f"The host is not ready after {READY_SECONDS:g} s; {self.log_file} says why.", 1)
            try:
                for oven in self.ovens:
                    await hub.register(oven, self.running[oven.id].port)
            except (HubProblem, httpx.HTTPError) as error:
                return _fail(f"The ovens could not be registered: {error}", 1)
            placed = [(oven, self.running[oven.id].port) for oven in self.ovens]
            print(where_to_look(options.base_url, placed, options.data, self.log_file), flush=True)
            if options.once_ready:
                return await self._first_readings(hub)
            await self._stay(hub)
        return 0

    async def _wait_until_ready(self, hub: Hub) -> bool:
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            if await hub.ready():
                return True
            await asyncio.sleep(0.1)
        return False

    async def _first_readings(self, hub: Hub) -> int:
        missing = await hub.wait_for_readings(self.ovens, FIRST_READING_SECONDS)
        if missing:
            return _fail(f"No reading from {', '.join(oven.id for oven in missing)}.", 1)
        print(f"All {len(self.ovens)} ovens are connected.", flush=True)
        return 0

    async def _stay(self, hub: Hub) -> None:
        watchers = [asyncio.create_task(self._keep_running(oven)) for oven in self.ovens]
        if sys.stdout.isatty():
            watchers.append(asyncio.create_task(LiveView(hub, self.ovens).run()))
        try:
            await asyncio.gather(*watchers)
        finally:
            for watcher in watchers:
                watcher.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)

    async def _keep_running(self, oven: SampleOven) -> None:
        """An oven that ends is started again where it was."""
        while True:
            child = self.running[oven.id]
            code = await child.process.wait()
            self._restarts += 1
            if self._restarts > MOST_RESTARTS:
                print(f"{oven.name} ended again (exit code {code}) and stays off.", flush=True)
                return
            print(f"{oven.name} ended (exit code {code}); starting it again.", flush=True)
            options = self.options
            self.running[oven.id] = await start_oven(
                oven, seed=options.seed, speed=options.speed, calm=options.calm, port=child.port
            )

    def _mourn(self, code: int) -> int:
        """The host ended by itself: say what it said last."""
        with contextlib.suppress(OSError):
            for line in self.log_file.read_text("utf-8", "replace").splitlines()[-5:]:
                print(line[:500], file=sys.stderr)
        return _fail(f"The host ended (exit code {code}); the whole log is {self.log_file}.", 2 if code == 2 else 1)


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
    parser.add_argument("--once-ready", action="store_true", help="stop when every oven has been read once")
    given = parser.parse_args(arguments)
    given.data = given.data.resolve()
    options = Options(**vars(given))
    if not _port_is_free(options.port):
        return _fail(
            f"Port {options.port} is taken. Stop what listens there, or choose another: --port {options.port + 1}", 2
        )
    return asyncio.run(_main(options))


if __name__ == "__main__":
    sys.exit(main())
