"""Calling the functions of the cloud app in-process, through the route table and request form of the local host."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import azure.functions as func

from local.functions import Function, HttpFunction, QueueFunction, TimerFunction, load
from local.host_json import read_host_json
from local.invocation import as_coroutine, queue_message, timer_request
from local.requests import build_request
from local.routes import RouteTable
from shared.services import Services

__all__ = ["Api", "ApiAnswer", "Drained", "drain_queues", "run_timer"]

BASE = "http://127.0.0.1:7071"


@cache
def cloud_functions() -> tuple[Function, ...]:
    """The cloud app's functions; the SDK lets a process ask once."""
    return load("function_app", read_host_json().route_prefix)


@cache
def _table() -> RouteTable:
    return RouteTable(f for f in cloud_functions() if isinstance(f, HttpFunction))


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """What a function answered. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return jsonlib.loads(self.body)


class Api:
    """``await api.post(path, json=...)``; the path may carry a query string. An exception escapes to the test."""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self.headers = {k.lower(): v for k, v in (headers or {}).items()}

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ApiAnswer:
        """Call the function behind the route; 404 with an empty body when there is none.

        Args:
            method: in upper case.
            path: raw, percent-encoded, with the query string.
            json: sent as application/json.
            body: sent as it is, instead of ``json``.
            headers: beside those of this client; a value given here wins.
        """
        raw, _, query = path.partition("?")
        match = _table().find(method, raw)
        if match is None:
            return ApiAnswer(404, {}, b"")
        data = jsonlib.dumps(json).encode() if body is None and json is not None else body or b""
        data = data.encode() if isinstance(data, str) else data
        fields = {"host": "127.0.0.1:7071", "content-length": str(len(data))}
        if json is not None and body is None:
            fields["content-type"] = "application/json"
        fields |= self.headers | {k.lower(): v for k, v in (headers or {}).items()}
        request = build_request(method, BASE + path, query, fields, match.params, data)
        response = await as_coroutine(match.function.handler)(request)
        assert isinstance(response, func.HttpResponse), f"{match.function.name} answered {type(response).__name__}"
        said = {"content-type": response.mimetype or "text/plain"}
        said |= {k.lower(): v for k, v in response.headers.items()}
        return ApiAnswer(response.status_code, said, response.get_body())

    async def get(self, path: str, **how: Any) -> ApiAnswer:
        """GET."""
        return await self.call("GET", path, **how)

    async def post(self, path: str, **how: Any) -> ApiAnswer:
        """POST."""
        return await self.call("POST", path, **how)

    async def put(self, path: str, **how: Any) -> ApiAnswer:
        """PUT."""
        return await self.call("PUT", path, **how)

    async def patch(self, path: str, **how: Any) -> ApiAnswer:
        """PATCH."""
        return await self.call("PATCH", path, **how)

    async def delete(self, path: str, **how: Any) -> ApiAnswer:
        """DELETE."""
        return await self.call("DELETE", path, **how)


@dataclass(slots=True)
class Drained:
    """What draining the queues did."""

    handled: int = 0
    """Calls of queue functions, failed ones included."""
    failures: list[Exception] = field(default_factory=list)
    """What escaped queue functions; each was abandoned and came again at once, then went to the dead letters."""


async def drain_queues(house: Services, *, queues: tuple[str, ...] | None = None, at_most: int = 2_000) -> Drained:
    """Run the queue functions on all due messages until nothing is due (``at_most`` so many calls)."""
    done = Drained()
    functions = [f for f in cloud_functions() if isinstance(f, QueueFunction) and (queues is None or f.queue in queues)]
    busy = True
    while busy:
        busy = False
        for function in functions:
            if (await house.receiver.depth(function.queue)).active == 0:
                continue
            busy = True
            for received in await house.receiver.receive(function.queue, 32):
                done.handled += 1
                assert done.handled <= at_most, f"still messages after {at_most} calls, now in {function.queue}"
                try:
                    await as_coroutine(function.handler)(queue_message(received))
                except Exception as error:
                    done.failures.append(error)
                    await house.receiver.abandon(function.queue, received)
                else:
                    await house.receiver.complete(function.queue, received)
    return done


async def run_timer(name: str, *, past_due: bool = False) -> None:
    """Run a timer function once, by its name."""
    found = [f for f in cloud_functions() if isinstance(f, TimerFunction) and f.name == name]
    assert found, f"no timer function {name!r}"
    await as_coroutine(found[0].handler)(timer_request(past_due=past_due))
