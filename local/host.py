"""The host: starts everything, waits, stops everything."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import azure.functions as func

from local.admin import Admin
from local.bodies import Bodies
from local.check import Checked
from local.cors import Cors
from local.functions import HttpFunction, QueueFunction, TimerFunction
from local.guard import DeveloperGuard
from local.host_json import HostJson
from local.invocation import as_coroutine
from local.keys import Keys
from local.queues import Pump
from local.requests import build_request
from local.routes import RouteTable
from local.running import Running
from local.stopping import GRACE_SECONDS
from local.timers import Timer
from local.tls import SiteCertificate
from local.web import Web
from local.workers import Post, Workers
from shared import services as services_module
from shared.errors import BrokenSettings, OvenbridgeError
from shared.services import Services
from shared.settings import Settings

__all__ = ["Host", "Plan"]

log = logging.getLogger("ovenbridge.host")

WORKERS_SECONDS = 1.5
"""Workers were told to stop when this process was, so they are about as far: so much longer they may take."""

READY_PATH = "/api/health/ready"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that was decided before the start."""

    app: str
    """``cloud`` or ``relay``."""
    checked: Checked
    sock: socket.socket
    """Bound, not listening yet."""
    url: str
    settings: Settings
    host_json: HostJson
    most_body_bytes: int
    cors: Cors
    keys: Keys | None
    """``None``: not asked for."""
    notes: str
    """What a person should know when it is ready."""
    certificate: SiteCertificate | None = None
    """``None``: plain HTTP."""


class Host:
    """One function app, served."""

    def __init__(self, plan: Plan, *, workers: Workers | None = None, post: Post | None = None) -> None:
        """
        Args:
            plan: what to serve.
            workers: the processes that share the work with this first one; ``None``: there are none.
            post: this is one of them, and what place it has.
        """
        self.plan = plan
        self.services = Services(plan.settings)
        self._workers = workers
        self._post = post
        if workers is not None:
            self.services.crew = (0, workers.size)
        elif post is not None:
            self.services.crew = (post.slot, post.size)
        self._running = Running(plan.host_json.function_timeout_seconds)
        functions = plan.checked.functions
        folder = plan.settings.data_dir / "timers"
        self._timers = [
            Timer(f, folder, self.services.clock, self._running) for f in functions if isinstance(f, TimerFunction)
        ]
        self._queues = [f for f in functions if isinstance(f, QueueFunction)]
        self._table = RouteTable(f for f in functions if isinstance(f, HttpFunction))
        self._web = self._make_web()
        self._tasks: dict[asyncio.Task[None], Timer | None] = {}

    def _make_web(self) -> Web:
        plan = self.plan
        by_name: Mapping[str, Timer] = {t.function.name.lower(): t for t in self._timers}
        errors = tuple(str(p) for p in plan.checked.problems)
        return Web(
            table=self._table,
            running=self._running,
            admin=Admin(plan.checked.functions, by_name, plan.url, errors),
            keys=plan.keys,
            cors=plan.cors,
            guard=DeveloperGuard(plan.cors) if plan.settings.access_mode == "developer" else None,
            bodies=Bodies(plan.most_body_bytes),
            most_at_a_time=plan.host_json.max_outstanding_requests,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set.

        Raises:
            BrokenSettings: a backend cannot be opened.
        """
        services_module.use(self.services)
        try:
            await self._open_backends()
            if self._post is None:
                for timer in self._timers:
                    await timer.recall()
            await self._open_door(stop)
            self._start()
            await _first(self._announce(), stop.wait())
            await stop.wait()
        finally:
            await self._stop()

    async def _open_backends(self) -> None:
        """What is on this machine must work now. A service that is away may come: until then we are not ready."""
        azure = self.plan.settings.azure
        house = self.services
        backends = (
            (azure.cosmos, lambda: house.store),
            (azure.service_bus, lambda: house.queue),
            (azure.key_vault, lambda: house.vault),
        )
        try:
            azure.require()  # before anything is written
            for connection, backend in backends:
                if not connection.wanted:
                    await backend().check()
        except OvenbridgeError as err:
            raise BrokenSettings(err.detail) from err

    async def _open_door(self, stop: asyncio.Event) -> None:
        sock, workers, certificate = self.plan.sock, self._workers, self.plan.certificate
        server = self._web.open(certificate.context if certificate is not None else None)
        if self._post is not None:
            self._post.receive(self._web.take, stop.set)
        elif workers is not None:
            workers.start()
            self._spawn("door", lambda: self._web.share(sock, workers.hand_over))
        else:
            await self._web.listen(server, sock)

    def _start(self) -> None:
        self._spawn("watch", self._running.watch)
        if self.plan.certificate is not None:
            self._spawn("certificate", self.plan.certificate.follow)
        for timer in self._timers if self._post is None else ():  # the first process runs them
            self._spawn(timer.function.name, timer.run, timer)
        for function in self._queues:
            pump = Pump(function, self.services.receiver, self.plan.host_json, self._running)
            self._spawn(function.name, pump.run)
        self._web.up = True
        self._web.admin.state = "Running"

    def _spawn(self, name: str, work: Callable[[], Awaitable[None]], timer: Timer | None = None) -> None:
        async def kept_up() -> None:
            while True:
                try:
                    return await work()
                except Exception:
                    # The edge of a loop that must not end: say it, and begin again.
                    log.exception("%s broke down and is started again", name)
                    await asyncio.sleep(1)

        self._tasks[asyncio.create_task(kept_up(), name=name)] = timer

    async def _announce(self) -> None:
        said = False
        while (why := await self._why_not_ready()) is not None:
            if not said:
                log.warning("not ready yet: %s", why)
                said = True
            await asyncio.sleep(0.5)
        if self._post is not None:
            self._post.ready()
            return
        if self._workers is not None:
            await self._workers.all_ready()
        sys.stdout.write(f"Ovenbridge ({self.plan.app}) is ready on {self.plan.url} - {self.plan.notes}\n")
        sys.stdout.flush()

    async def _why_not_ready(self) -> str | None:
        match = self._table.find("GET", READY_PATH)
        if match is None:
            return None
        request = build_request("GET", self.plan.url + READY_PATH, "", {"host": "localhost"}, match.params, b"")
        try:
            answer = await as_coroutine(match.function.handler)(request)
        except Exception as error:
            log.exception("%s failed", match.function.name)
            return type(error).__name__
        if isinstance(answer, func.HttpResponse) and answer.status_code == 200:
            return None
        return answer.get_body().decode(errors="replace")[:500] if isinstance(answer, func.HttpResponse) else "?"

    async def _stop(self) -> None:
        if self._web.up:
            log.info("stopping")
        if self._workers is not None:
            self._workers.tell_to_stop()
        self._web.stop_accepting()
        for task, timer in self._tasks.items():
            if timer is not None:
                timer.stop(task)
            elif task.get_name() != "watch":
                task.cancel()
        await self._running.finish(GRACE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.wait({*self._tasks, asyncio.create_task(self._web.close())}, timeout=1)
        services_module.use(None)
        if self._workers is not None:
            await self._workers.ended(WORKERS_SECONDS)
        try:
            async with asyncio.timeout(1.5):
                await self.services.close()
        except Exception as error:  # noqa: BLE001 - the edge of the process
            # What was acknowledged is on disk, so this must not look like a failed run.
            log.warning("the backends were not closed in good order (%r); nothing is lost by that", error)


async def _first(*work: Awaitable[object]) -> None:
    """Wait until one of them ends, and cancel the others."""
    tasks = [asyncio.ensure_future(w) for w in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
