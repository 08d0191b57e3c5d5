"""One oven: a process of its own that speaks real HTTP.

``python -m local.bakery.oven --port 0 --dialect guide --name "Horno Principal #1"`` prints where it listens.
``POST /control {"fault": "offline"|"hang"|"slow"|"error"|"sensor"|"drift"|null, "temperature": 260|null}`` steers it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import secrets
import signal
import sys
import time
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from local.bakery.dialects import DIALECTS, SECRET, TOKEN_PATH, USER, Dialect, Said
from local.bakery.faults import FAULTS, FaultPlan
from local.bakery.physics import OvenSimulation

__all__ = ["OvenServer", "main"]

TOKEN_SECONDS = 120
SLOW_SECONDS = 3.0
HANG_SECONDS = 3600.0
MOST_TOKENS = 1_000


class OvenServer:
    """The HTTP face of one simulated oven."""

    def __init__(
        self, dialect: Dialect, name: str, simulation: OvenSimulation, faults: FaultPlan, *, speed: float
    ) -> None:
        self.dialect = dialect
        self.name = name
        self.simulation = simulation
        self.faults = faults
        self.requests = 0
        self._speed = speed
        self._begun = self._advanced = time.monotonic()
        self._tokens: dict[str, float] = {}

    def application(self) -> web.Application:
        """The routes of this make, and the control."""
        app = web.Application()
        app.router.add_post("/control", self._control)
        app.router.add_get("/control", self._show)
        app.router.add_post(TOKEN_PATH, self._token)
        app.router.add_get(self.dialect.path, self._data)
        return app

    def fault(self) -> str | None:
        """What is wrong with it now."""
        return self.faults.at(time.monotonic() - self._begun)

    def catch_up(self) -> None:
        """Let the simulation run to now."""
        now = time.monotonic()
        self.simulation.advance((now - self._advanced) * self._speed)
        self._advanced = now

    async def _data(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        self.catch_up()
        fault = self.fault()
        if fault == "offline":
            return _cut(request)
        if fault == "hang":
            await asyncio.sleep(HANG_SECONDS)
        if fault == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        if fault == "error":
            return web.json_response({"error": "internal controller fault 0x17"}, status=500)
        if not self.dialect.admits(request.headers, self._valid_tokens()):
            return web.json_response({"error": "unauthorized"}, status=401)
        said = Said(self.simulation, datetime.now(UTC), broken_sensor=fault == "sensor")
        return web.json_response(self.dialect.render(said))

    async def _token(self, request: web.Request) -> web.StreamResponse:
        """OAuth2 client credentials, in the body or as Basic."""
        form = await request.post()
        client, secret = form.get("client_id"), form.get("client_secret")
        basic = request.headers.get("Authorization", "")
        if basic.startswith("Basic "):
            with contextlib.suppress(ValueError):
                from aiohttp import BasicAuth

                auth = BasicAuth.decode(basic)
                client, secret = auth.login, auth.password
        if form.get("grant_type") != "client_credentials" or (client, secret) != (USER, SECRET):
            return web.json_response({"error": "invalid_client"}, status=401)
        if len(self._tokens) >= MOST_TOKENS:
            self._tokens.clear()
        token = secrets.token_urlsafe(24)
        self._tokens[token] = time.monotonic() + TOKEN_SECONDS
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS})

    def _valid_tokens(self) -> frozenset[str]:
        now = time.monotonic()
        return frozenset(token for token, until in self._tokens.items() if until > now)

    async def _show(self, request: web.Request) -> web.StreamResponse:
        self.catch_up()
        return web.json_response(self._state())

    async def _control(self, request: web.Request) -> web.StreamResponse:
        try:
            wish: Any = json.loads(await request.read())
        except ValueError:
            wish = None
        if not isinstance(wish, dict):
            return web.json_response({"error": 'send a JSON object such as {"fault": "offline"}'}, status=400)
        fault, pinned = wish.get("fault", self.faults.forced), wish.get("temperature", self.simulation.pinned)
        if fault is not None and fault not in FAULTS:
            return web.json_response({"error": f"fault is one of {', '.join(FAULTS)} or null"}, status=400)
        if pinned is not None and not isinstance(pinned, int | float):
            return web.json_response({"error": "temperature is a number in Celsius or null"}, status=400)
        self.catch_up()
        if fault == "drift":
            self.simulation.start_drift()
        elif self.faults.forced == "drift":
            self.simulation.stop_drift()
        self.faults.forced = fault
        self.simulation.pinned = None if pinned is None else float(pinned)
        if pinned is not None:
            self.simulation.temperature = float(pinned)
        return web.json_response(self._state())

    def _state(self) -> dict[str, Any]:
        oven = self.simulation
        return {
            "name": self.name,
            "dialect": self.dialect.name,
            "fault": self.fault(),
            "temperature": round(oven.temperature, 1),
            "stage": oven.stage,
            "requests": self.requests,
        }


def _cut(request: web.Request) -> web.StreamResponse:
    """Nobody there: the connection ends without an answer."""
    if request.transport is not None:
        request.transport.abort()
    raise web.HTTPServiceUnavailable


async def serve(server: OvenServer, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=0.2, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        bound = runner.addresses[0][1]
        sys.stdout.write(f"{server.name} speaks {server.dialect.name} on http://127.0.0.1:{bound}\n")
        sys.stdout.flush()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await stop.wait()
    finally:
        await runner.cleanup()


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m local.bakery.oven", description="One simulated oven.")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--dialect", choices=sorted(DIALECTS), default="guide")
    parser.add_argument("--name", default="Horno Principal #1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=12.0, help="simulated seconds per second")
    parser.add_argument("--drifts", action="store_true", help="its thermostat creeps away every now and then")
    parser.add_argument("--faults", default="", help=f"those that come by themselves, of {', '.join(FAULTS[:5])}")
    given = parser.parse_args(arguments)
    kinds = tuple(kind for kind in given.faults.split(",") if kind)
    server = OvenServer(
        DIALECTS[given.dialect],
        given.name,
        OvenSimulation(given.seed, drifts=given.drifts),
        FaultPlan(given.seed, kinds),
        speed=given.speed,
    )
    try:
        asyncio.run(serve(server, given.port))
    except OSError as error:
        print(f"{given.name} cannot listen on port {given.port}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
