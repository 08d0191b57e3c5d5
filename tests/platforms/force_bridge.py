"""A FORCE Bridge server over a real socket, as far as its answers were recorded: v2 and v3, both token dialects."""

from __future__ import annotations

import asyncio
import base64
from typing import Any
from urllib.parse import parse_qs

from aiohttp import ClientSession, web

CLIENT = "GitHub"
SECRET = "hidden-client-secret"


class FakeForceBridge:
    """Keeps registrations, workplaces, operations, tickets and events; posts notifications.

    ``spelling``: under which name it keeps and repeats the retry count; ``None``: under none.
    ``trouble``: what the next calls meet, one by one: a status, ``lost`` (done, and no answer), ``html``.
    """

    def __init__(self) -> None:
        self.callbacks: dict[str, dict[str, Any]] = {}
        self.workplaces: dict[str, dict[str, Any]] = {}
        self.operations: dict[str, dict[str, Any]] = {}
        self.tickets: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.series: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        self.spelling: str | None = "maxRedeliveryAttempts"
        self.trouble: list[int | str] = []
        self.asked: list[str] = []
        self.languages: set[str] = set()
        self.page_limit = 100
        self.token_kind = "bearer"
        self.hold_answers = False
        """Tickets are made, and that is never answered."""
        self.url = ""
        self._count = 0
        self._runner: web.AppRunner | None = None

    @property
    def base(self) -> str:
        """What a connection is given."""
        return f"{self.url}/ffwebservices/api/v3"

    def count(self, prefix: str) -> int:
        """How often something was asked."""
        return sum(line.startswith(prefix) for line in self.asked)

    async def start(self) -> FakeForceBridge:
        app = web.Application(middlewares=[self._admit])
        app.router.add_route("*", "/ffauth/oauth2.0/accessToken", self._token)
        for version in ("v2", "v3"):
            base = f"/ffwebservices/api/{version}"
            app.router.add_post(f"{base}/oauth/token", self._token)
            app.router.add_get(f"{base}/callbacks", self._list_callbacks)
            app.router.add_post(f"{base}/callbacks", self._create_callback)
            app.router.add_delete(f"{base}/callbacks/{{id}}", self._delete_callback)
            app.router.add_get(f"{base}/workplaces", self._list_workplaces)
            app.router.add_get(f"{base}/workplaces/{{id}}", self._workplace)
            app.router.add_get(f"{base}/operations/{{id}}", self._operation)
            app.router.add_get(f"{base}/tickets", self._list_tickets)
            app.router.add_post(f"{base}/tickets", self._create_ticket)
            app.router.add_post(f"{base}/events", self._event)
            app.router.add_get(f"{base}/devices/{{id}}/recordedTimeSeries", self._recorded)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        server = site._server
        assert isinstance(server, asyncio.Server)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def new_id(self) -> str:
        self._count += 1
        return f"{self._count:032X}"

    @web.middleware
    async def _admit(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path.rpartition('/api/')[2].partition('/')[2] or request.path}")
        if not request.path.endswith(("oauth/token", "accessToken")):
            kind, _, token = request.headers.get("Authorization", "").partition(" ")
            if kind != self.token_kind or token not in self.tokens:
                return web.Response(status=401)  # without a body, as it may be
            self.languages.add(request.headers.get("Accept-Language", ""))
        trouble = self.trouble.pop(0) if self.trouble else None  # of any call, tokens too
        if trouble == "html":
            return web.Response(text="<html>Sign in</html>", content_type="text/html")
        if isinstance(trouble, int):
            said = {"code": "123", "message": "Test error", "status": trouble}
            return web.json_response(said, status=trouble) if trouble != 502 else web.Response(status=502)
        answer: web.StreamResponse = await handler(request)
        if self.hold_answers and request.method == "POST" and request.path.endswith("/tickets"):
            await asyncio.Event().wait()  # until whoever asked is gone
        if trouble == "lost" and request.transport is not None:
            request.transport.abort()
        return answer

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: values[0] for name, values in parse_qs((await request.read()).decode()).items()}
        given = {**request.query, **form}
        pair = (given.get("client_id"), given.get("client_secret"))
        if request.headers.get("Authorization", "").startswith("Basic "):
            client, _, secret = base64.b64decode(request.headers["Authorization"][6:]).decode().partition(":")
            pair = (client, secret)
        if pair != (CLIENT, SECRET) or given.get("grant_type") != "client_credentials":
            return web.json_response({"error": "invalid_client", "error_description": f"no {pair[1]}"}, status=401)
        token = f"token-{self.new_id()}"
        self.tokens.add(token)
        return web.json_response(
            {
                "access_token": token,
                "token_type": self.token_kind,
                "refresh_token": "r",
                "expires_in": 43199,
                "scope": "read write",
            }
        )

    def _page(self, request: web.Request, name: str, items: list[dict[str, Any]]) -> web.Response:
        offset = int(request.query.get("offset", 0))
        limit = min(int(request.query.get("limit", 100)), self.page_limit)
        part = items[offset : offset + limit]
        pagination = {"offset": offset, "total": len(items), "count": len(part), "limit": limit}
        here = f"http://localhost:24080{request.path}"
        links = {"self": {"method": "GET", "href": f"{here}?offset={offset}&limit={limit}"}}
        if offset + limit < len(items):
            links["next"] = {"method": "GET", "href": f"{here}?offset={offset + limit}&limit={limit}"}
        return web.json_response(
            {
                "pagination": pagination | {"firstIdentifier": None, "lastIdentifier": None},
                "_embedded": {name: part},
                "_links": links,
            }
        )

    def _hal(self, path: str, properties: dict[str, Any]) -> dict[str, Any]:
        href = f"http://localhost:24080/ffwebservices/api/v2/{path}"
        return {"properties": properties, "_links": {"self": {"method": "GET", "embeddable": False, "href": href}}}

    # Callbacks

    async def _list_callbacks(self, request: web.Request) -> web.Response:
        return self._page(request, "callbacks", [self._hal(f"callbacks/{k}", v) for k, v in self.callbacks.items()])

    async def _create_callback(self, request: web.Request) -> web.Response:
        said = await request.json()
        name = self.new_id()
        kept = {
            "id": name,
            "objectFilter": said.get("objectFilter", []),
            "eventType": said["eventType"],
            "eventName": said.get("eventName"),
            "url": said["url"],
            "creationDate": f"2026-11-21T10:00:00.{self._count:03d}Z",
            "maxUnconfirmedMessages": said.get("maxUnconfirmedMessages", 1),
        }
        if self.spelling is not None:
            kept[self.spelling] = said.get(self.spelling, 1)
        self.callbacks[name] = kept
        return web.json_response(self._hal(f"callbacks/{name}", kept))

    async def _delete_callback(self, request: web.Request) -> web.Response:
        if self.callbacks.pop(request.match_info["id"], None) is None:
            return web.json_response({"code": "404", "message": "Not found", "status": 404}, status=404)
        return web.Response(status=200)

    async def notify(self, session: ClientSession, name: str, said: dict[str, Any], **auth: Any) -> int:
        """Post a notification to where a registration wants it; the status of the answer."""
        href = f"http://localhost:24080/ffwebservices/api/v2/callbacks/{name}"
        body = {
            "properties": {"callbackId": name, **said},
            "_links": {"callback": {"method": "GET", "embeddable": True, "href": href}},
        }
        async with session.post(self.callbacks[name]["url"], json=body, **auth) as answer:
            return answer.status

    # What it knows

    async def _list_workplaces(self, request: web.Request) -> web.Response:
        return self._page(request, "workplaces", [self._hal(f"workplaces/{k}", v) for k, v in self.workplaces.items()])

    async def _workplace(self, request: web.Request) -> web.Response:
        return self._one("workplaces", request.match_info["id"], self.workplaces)

    async def _operation(self, request: web.Request) -> web.Response:
        return self._one("operations", request.match_info["id"], self.operations)

    def _one(self, kind: str, name: str, known: dict[str, dict[str, Any]]) -> web.Response:
        if name not in known:
            return web.json_response({"code": "404", "message": "Not found", "status": 404}, status=404)
        return web.json_response(self._hal(f"{kind}/{name}", known[name]))

    def workplace(self, name: str, state: str, description: str = "") -> None:
        """As ``GET workplaces/{id}`` shows it."""
        self.workplaces[name] = {
            "id": name,
            "number": "100",
            "description": "Workplace100",
            "operatingState": {
                "id": "4022D2948C98470FB4A66A3FB168F069",
                "description": description or state.title(),
                "code": "000",
                "workplaceStateId": state,
            },
            "isManualWorkplace": False,
        }

    async def _recorded(self, request: web.Request) -> web.Response:
        """By time, three at once, newest first; without offset. The next page begins with the last of this one."""
        before = request.query.get("paginationTimestamp", "~")
        found = sorted((one for one in self.series if one[0] <= before), reverse=True)
        part = found[:3]
        links = {}
        if len(found) > 3:
            href = f"http://localhost:24080{request.path.replace('v3', 'v1')}?tag=1&paginationTimestamp={part[-1][0]}"
            links["next"] = {"method": "GET", "href": href + "&paginationDirection=NEXT"}
        return web.json_response(
            {
                "properties": {"elements": [{"timestamp": t, "value": v} for t, v in part]},
                "pagination": {"total": len(self.series), "count": len(part), "limit": 3},
                "_links": links,
            }
        )

    # What it is told

    async def _list_tickets(self, request: web.Request) -> web.Response:
        items = [self._hal(f"tickets/{t['id']}", t) for t in reversed(self.tickets)]
        return self._page(request, "tickets", items)

    async def _create_ticket(self, request: web.Request) -> web.Response:
        said = await request.json()
        ticket = {"id": self.new_id(), "number": str(len(self.tickets) + 1), **said}
        self.tickets.append(ticket)
        return web.json_response(self._hal(f"tickets/{ticket['id']}", ticket), status=201)

    async def _event(self, request: web.Request) -> web.Response:
        self.events.append(await request.json())
        return web.Response(status=204)
