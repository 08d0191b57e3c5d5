"""The host's own routes under ``/admin``: state, the list of functions, running a timer now."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from local.answers import SERVER, empty, problem
from local.functions import Function, HttpFunction, OtherFunction, QueueFunction, TimerFunction
from local.timers import Timer
from shared.ids import new_id

__all__ = ["Admin", "describe"]

log = logging.getLogger("ovenbridge.host")


def describe(function: Function, base_url: str) -> dict[str, object]:
    """A function as ``/admin/functions`` lists it."""
    said: dict[str, object] = {"name": function.name, "language": "python", "isDisabled": False}
    match function:
        case HttpFunction():
            said["invoke_url_template"] = f"{base_url}/{function.route}"
            trigger: dict[str, object] = {
                "type": "httpTrigger",
                "route": function.route,
                "methods": sorted(m.lower() for m in function.methods) if function.methods else None,
                "authLevel": function.auth_level,
            }
        case QueueFunction():
            trigger = {"type": "serviceBusTrigger", "queueName": function.queue, "connection": function.connection}
        case TimerFunction():
            trigger = {"type": "timerTrigger", "schedule": function.schedule}
        case OtherFunction():
            trigger = {"type": function.trigger}
    said["config"] = {"bindings": [{"name": function.argument, "direction": "in", **trigger}]}
    return said


@dataclass(slots=True)
class Admin:
    """Answers what is below ``/admin/``."""

    functions: tuple[Function, ...]
    timers: Mapping[str, Timer]
    """By lower-case function name."""
    base_url: str
    errors: tuple[str, ...] = ()
    state: str = "Initialized"
    _began: float = field(default_factory=time.monotonic)
    _instance: str = field(default_factory=new_id)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def answer(self, method: str, path: str, body: bytes, *, allowed: bool) -> web.Response:
        """Answer. ``allowed``: the caller has the master key, or is the developer on loopback."""
        parts = path.strip("/").lower().split("/")[1:]
        if parts == ["host", "ping"] and method in ("GET", "POST"):
            return empty(200)
        if not allowed:
            return empty(401)
        match method, parts:
            case "GET", ["host", "status"]:
                return _json(200, self._status())
            case "GET", ["functions"]:
                return _json(200, [describe(f, self.base_url) for f in self.functions])
            case "GET", ["functions", name]:
                found = self._find(name)
                return _json(200, describe(found, self.base_url)) if found else empty(404)
            case "POST", ["functions", name]:
                return self._run(name, body)
            case _:
                return empty(404)

    def _find(self, name: str) -> Function | None:
        return next((f for f in self.functions if f.name.lower() == name), None)

    def _run(self, name: str, body: bytes) -> web.Response:
        found = self._find(name)
        if found is None:
            return empty(404)
        if not _is_object(body):
            return problem(400, "Invalid input", 'Send a JSON body with the input, e.g. {"input": ""}.')
        timer = self.timers.get(name)
        if timer is None:
            return problem(400, "Invalid input", f"{found.name} is no timer; this host runs only timers by hand.")
        task = asyncio.create_task(timer.fire())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return empty(202)

    def _status(self) -> dict[str, object]:
        return {
            "id": f"ovenbridge-{os.getpid()}",
            "state": self.state,
            "version": "4.0.0-local",
            "versionDetails": f"python -m local on Python {platform.python_version()}",
            "instanceId": self._instance,
            "computerName": platform.node(),
            "processUptime": round((time.monotonic() - self._began) * 1000),
            **({"errors": list(self.errors)} if self.errors else {}),
        }


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except ValueError:
        return False


def _json(status: int, body: object) -> web.Response:
    return web.Response(
        body=json.dumps(body).encode(),
        status=status,
        headers={"Server": SERVER, "Content-Type": "application/json"},
    )
