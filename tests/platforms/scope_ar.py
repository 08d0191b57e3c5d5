"""A WorkLink CMS: sign-in, GraphQL and files over a real socket, after the published contract; and its webhooks.

It answers by what a question asks for, not by what a test expects: only fields that the query names are given, lists
are paged by ``first`` and ``after``, what the token may not read is null with an error or left out of a list.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from shared.clock import iso

__all__ = [
    "CALL_ID",
    "SECRET",
    "SESSION_ID",
    "TOKEN",
    "WorkLink",
    "generation_1",
    "generation_2",
    "lately",
    "session",
    "worklink",
]

TOKEN = "t-0123456789"
SECRET = "a shared secret of 2026"
SESSION_ID = "l1Zb/8+Kq2mA7vY0sR9wXc3dEfGhIjKlMnOpQrStUv0="
CALL_ID = "Q2FsbC8xMjM0NTY3ODkwYWJjZGVmZ2hpamtsbW5vcHFy-_8PZ0xHQ1dXQ2E4Zmpz"


def session(**more: Any) -> dict[str, Any]:
    """A session as the CMS knows it."""
    return {
        "__typename": "ScenarioSession",
        "id": SESSION_ID,
        "databaseId": 4711,
        "startedAt": "2026-11-21T09:20:00Z",
        "endedAt": None,
        "duration": None,
        "idleDuration": None,
        "numberOfStepsPossible": 4,
        "numberOfStepsViewed": 2,
        "percentOfStepsViewed": 50.0,
        "state": "started",
        "sessionType": "work_instruction",
        "externalData": {"work_order_id": "WO-7/2+1", "equipment_id": "oven1", "batch_id": "B-9"},
        "completedSteps": [{"id": "step1"}],
        "parts": [{"databaseId": 1, "createdBy": {"id": "u1", "name": "Ada Baker"}}],
        "scenarioRelease": {
            "type": "published",
            "version": 3,
            "scenario": {"name": "Clean the steam generator", "originGroup": {"id": "g", "name": "Plant 1"}},
        },
        "steps": [
            {
                "scenarioStep": {
                    "id": f"step{n}",
                    "name": f"Step {n}",
                    "orderIndex": n,
                    "scenarioSequence": {"name": "A"},
                }
            }
            for n in (1, 2)
        ],
        "events": [{"id": "e1", "createdAt": "2026-11-21T09:21:00Z", "type": "TEXT", "externalData": {"ok": "yes"}}],
        **more,
    }


def completed(**more: Any) -> dict[str, Any]:
    """The same at its end."""
    steps = [{"scenarioStep": {"id": f"step{n}", "name": f"Step {n}", "orderIndex": n}} for n in (1, 2, 3, 4)]
    return session(
        endedAt="2026-11-21T09:50:00Z",
        duration=1790,
        numberOfStepsViewed=4,
        percentOfStepsViewed=100,
        state="completed",
        steps=steps,
        completedSteps=[{"id": f"step{n}"} for n in (1, 2, 3, 4)],
        **more,
    )


def lately() -> dict[str, Any]:
    """The same, ended half an hour ago by the real clock."""
    ended = datetime.now(UTC) - timedelta(minutes=30)
    return completed() | {"startedAt": iso(ended - timedelta(minutes=30)), "endedAt": iso(ended)}


@dataclass
class WorkLink:
    """The CMS."""

    url: str = ""
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    captures: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    scheme: str = "Token"
    users: dict[str, str] = field(default_factory=lambda: {"ops": "pw"})
    unreadable: set[str] = field(default_factory=set)
    script: list[Callable[[web.Request], web.StreamResponse | None]] = field(default_factory=list)
    """Answers given before its own, one per question; ``None``: its own."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    """Query strings."""
    sign_ins: int = 0
    sign_in_answer: str | None = None
    """In place of a token."""
    fetched: list[str] = field(default_factory=list)
    holding: asyncio.Event | None = None
    """Questions wait until it is set."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def graphql(self) -> str:
        """Its address."""
        return f"{self.url}/api/v3/graphql"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Everything it serves."""
        if request.path == "/api/v2/users/sign_in.json":
            return await self._sign_in(request)
        if request.path.startswith("/files/"):
            self.fetched.append(request.path)
            if request.path in self.redirects:
                return web.Response(status=302, headers={"Location": self.redirects[request.path]})
            kind, body = self.files.get(request.path, ("", b""))
            return web.Response(body=body, content_type=kind) if kind else web.Response(status=404)
        if request.path != "/api/v3/graphql":
            return web.Response(status=404)
        return await self._graphql(request)

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        self.sign_ins += 1
        user = (await request.json())["user"]
        if self.users.get(user["username"]) != user["password"]:
            return web.json_response({"error": "Invalid login"}, status=401)
        if self.sign_in_answer is not None:
            return web.Response(text=self.sign_in_answer, content_type="application/json")
        token = f"signed-in-{self.sign_ins}"
        self.tokens.add(token)
        return web.json_response({"auth_token": token, "user": {"name": user["username"]}})

    async def _graphql(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.queries.append(request.query_string)
        self.arrived.set()
        if self.holding is not None:
            await self.holding.wait()
        if self.script and (answer := self.script.pop(0)(request)) is not None:
            return answer
        if not any(request.headers.get("Authorization") == f"{self.scheme} token={t}" for t in self.tokens):
            return web.json_response({"error": "unauthorized"}, status=401)
        return web.json_response(self._answer(body["query"], body.get("variables") or {}))

    def _answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "__type" in query and "__type(name" in query:
            names = [{"name": name} for name in session() if not name.startswith("_")]
            return {"data": {"session": {"fields": names}, "call": {"fields": [{"name": "externalData"}]}}}
        for name, kind in (("scenarioSessions", "ScenarioSession"), ("calls", "Call")):
            if f"{name}(" in query:
                return {"data": {name: self._listed(kind, variables)}}
        if "scenarioSessionEvents" in query:
            found = self.captures.get(str(variables["id"]), [])
            return {"data": {"scenarioSessionEvents": _page(found, variables["first"], variables.get("after"))}}
        wanted = str(variables["id"])
        node = self.nodes.get(wanted)
        if wanted in self.unreadable:
            return {"data": {"node": None}, "errors": [{"message": "Not authorized to read object", "path": ["node"]}]}
        if node is None:
            return {"data": {"node": None}}
        return {"data": {"node": self._selected(node, query, variables)}, **node.get("_beside", {})}

    def _listed(self, kind: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Newest first, as far as the token may read them; the others are left out without a word."""
        since = variables.get("since", "")
        nodes = [
            {name: node.get(name) for name in ("__typename", "id", "startedAt", "endedAt", "state")}
            for node in self.nodes.values()
            if node["__typename"] == kind and node["id"] not in self.unreadable and node["startedAt"] >= since
        ]
        nodes.sort(key=lambda node: str(node["startedAt"]), reverse=True)
        return _page(nodes, variables["first"], variables.get("after"))

    def _selected(self, node: dict[str, Any], query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if f"on {node['__typename']}" not in query:
            return {"__typename": node["__typename"]}
        shown = {name: value for name, value in node.items() if re.search(rf"\b{name}\b", query)}
        for name in ("completedSteps", "parts"):
            if name in shown:
                shown[name] = {"nodes": shown[name]}
        for name, cursor in (("steps", "after"), ("events", "eventsAfter")):
            if name in shown:
                shown[name] = _page(shown[name], variables["first"], variables.get(cursor))
        return shown


def _page(nodes: list[Any], first: int, after: str | None) -> dict[str, Any]:
    assert 1 <= first <= 100, "`first` of 1 to 100 is required on every connection"
    start = int(base64.b64decode(after)) if after else 0
    end = start + first
    cursor = base64.b64encode(str(end).encode()).decode()
    return {"nodes": nodes[start:end], "pageInfo": {"hasNextPage": end < len(nodes), "endCursor": cursor}}


@asynccontextmanager
async def worklink() -> AsyncIterator[WorkLink]:
    """A CMS on a free port."""
    served = WorkLink()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", served.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    served.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    try:
        yield served
    finally:
        if served.holding is not None:
            served.holding.set()
        await runner.cleanup()


def generation_2(
    body: Any = None,
    *,
    webhook_id: str = "b54557e4",
    topic: str = "scenario_session/completed",
    secret: str | None = SECRET,
) -> tuple[bytes, dict[str, str]]:
    """A webhook of generation 2: raw body and headers."""
    if body is None:
        body = {"data": {"id": SESSION_ID, "url": "http://169.254.169.254/latest/meta-data"}}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {
        "Content-Type": "application/json",
        "X-Scope-Topic": topic,
        "X-Scope-Topic-Version": "1.1",
        "X-Scope-API-Version": "3",
        "X-Scope-Domain": "company.example",
        "X-Scope-Webhook-Type": "node",
        "X-Scope-Webhook-Id": webhook_id,
    }
    if secret is not None:
        headers["X-Scope-Hmac-Sha256"] = base64.b64encode(hmac.digest(secret.encode(), raw, hashlib.sha256)).decode()
    return raw, headers


def generation_1(
    event: str = "update", *, resource_id: str = SESSION_ID, resource_type: str = "ScenarioSession", **more: Any
) -> bytes:
    """A webhook of generation 1."""
    resource = {
        "resource-id": resource_id,
        "resource-url": "http://169.254.169.254/latest/meta-data",
        "resource-type": resource_type,
    }
    return json.dumps(
        {"time": "2026-11-21T09:59:58Z", "event": event, "type": "resource", "data": resource} | more
    ).encode()
