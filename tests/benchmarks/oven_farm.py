"""Many fast ovens in one process, for measuring: each answers at once and remembers when it was asked.

``python -m tests.benchmarks.oven_farm [PORTS]`` prints the ports it listens on (one), any of which will do: a hub
treats ovens behind one port as one host. ``/ovens/{id}`` is an oven, ``GET /asked`` the times by id,
``DELETE /asked`` forgets them, ``PUT /hanging`` names the ids that never answer.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict

from aiohttp import web

from shared.clock import SystemClock, iso


class Farm:
    """The ovens and what they remember."""

    def __init__(self) -> None:
        self.asked: defaultdict[str, list[float]] = defaultdict(list)
        self.hanging: frozenset[str] = frozenset()

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/ovens/{id}", self._oven)
        app.router.add_get("/asked", self._times)
        app.router.add_delete("/asked", self._forget)
        app.router.add_put("/hanging", self._hang)
        return app

    async def _oven(self, request: web.Request) -> web.StreamResponse:
        oven = request.match_info["id"]
        times = self.asked[oven]
        times.append(time.time())
        if oven in self.hanging:
            await asyncio.sleep(3600)
        return web.json_response(
            {
                "timestamp": iso(SystemClock().now()),
                "temperature": 180 + len(times) % 7,
                "temperature_zones": {"cabinet": 180 + len(times) % 7, "core": 72},
                "humidity": 65.0,
                "operational_status": "running",
                "cycle_stage": "baking",
                "energy_consumption_kwh": 12.5 + len(times) / 100,
            }
        )

    async def _times(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.asked)

    async def _forget(self, request: web.Request) -> web.StreamResponse:
        self.asked.clear()
        return web.json_response({})

    async def _hang(self, request: web.Request) -> web.StreamResponse:
        self.hanging = frozenset(await request.json())
        return web.json_response({})


async def main() -> None:
    runner = web.AppRunner(Farm().application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 1):
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048).start()
    sys.stdout.write(" ".join(str(address[1]) for address in runner.addresses) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
