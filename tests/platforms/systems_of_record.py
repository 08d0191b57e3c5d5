"""Systems of record over real sockets: Salesforce, Dataverse and an ERP with a plain REST API.

Each keeps what it was told as its like would: an upsert by its key, a create as another row unless the system knows
the idempotency key. They check who asks, count tokens, and can be scripted to answer something else first.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from aiohttp import web

__all__ = ["SystemOfRecord", "system_of_record"]

Answer = Callable[[web.Request], web.StreamResponse | None]
TENANT = "contoso.example"


@dataclass
class SystemOfRecord:
    """All three behind one address; a test uses one of them."""

    url: str = ""
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What it has, by key."""
    calls: list[tuple[str, str, Any, dict[str, str]]] = field(default_factory=list)
    """Method, raw path with query, body, headers of every call that was let in."""
    tokens: set[str] = field(default_factory=set)
    token_requests: list[dict[str, str]] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=lambda: {"app": "s3cret"})
    script: list[Answer] = field(default_factory=list)
    """Answers given in place of its own, before anything is done; ``None``: its own."""
    swallow: int = 0
    """So many calls are done, but their answer never arrives."""
    idempotency: dict[str, dict[str, Any]] = field(default_factory=dict)
    knows_keys: bool = True
    instance_url: str | None = None
    holding: asyncio.Event | None = None
    """Calls wait until it is set."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Everything it serves."""
        if request.path.endswith("/oauth2/token") or request.path.endswith("/oauth2/v2.0/token"):
            return await self._token(request)
        self.arrived.set()
        if self.holding is not None:
            await self.holding.wait()
        if self.script and (answer := self.script.pop(0)(request)) is not None:
            return answer
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self.tokens:
            return self._refused(request)
        raw = await request.read()
        body = json.loads(raw) if raw else None
        self.calls.append((request.method, request.raw_path, body, {k.lower(): v for k, v in request.headers.items()}))
        if request.path.startswith("/services/data/"):
            answer = self._salesforce(request, body)
        elif request.path.startswith("/api/data/"):
            answer = self._dataverse(request, body)
        else:
            answer = self._erp(request, body)
        if self.swallow and request.method != "GET":
            self.swallow -= 1
            assert request.transport is not None
            request.transport.abort()
        return answer

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = {name: values[0] for name, values in parse_qs((await request.read()).decode()).items()}
        self.token_requests.append(form | {"path": request.path})
        known = self.secrets.get(form.get("client_id", ""))
        proof = form.get("refresh_token") if form.get("grant_type") == "refresh_token" else form.get("client_secret")
        if known is None or proof != known:
            return web.json_response({"error": "invalid_client", "error_description": "s3cret is wrong"}, status=401)
        token = f"token-{len(self.token_requests)}"
        self.tokens.add(token)
        said = {"access_token": token, "token_type": "Bearer", "expires_in": 3599}
        if "/services/oauth2/" in request.path:
            del said["expires_in"]  # Salesforce does not say
            said["instance_url"] = self.instance_url or self.url
        return web.json_response(said)

    def _refused(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/services/"):
            said: Any = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
        else:
            said = {"error": {"code": "0x80072560", "message": "Unauthorized"}}
        return web.json_response(said, status=401)

    # Salesforce --------------------------------------------------------------------------------------------------

    def _salesforce(self, request: web.Request, body: Any) -> web.StreamResponse:
        parts = [unquote(part) for part in request.raw_path.partition("?")[0].split("/")][4:]
        if parts[-1] == "describe":
            fields = [
                {"name": "Session_Id__c", "externalId": True, "unique": True},
                {"name": "Minutes__c"},
                {"name": "Name"},
                {"name": "Work_Order__c", "relationshipName": "Work_Order__r"},
            ]
            return web.json_response({"fields": fields})
        _, name, key, value = parts
        if key in body or "Id" in body:
            return self._salesforce_error(400, "INVALID_FIELD", f"The external ID field {key} is in the body")
        place = f"{name}/{key}/{value}"
        row = self.rows.get(place)
        if row is None and request.query.get("updateOnly") == "true":
            return self._salesforce_error(404, "NOT_FOUND", "The requested resource does not exist")
        created = row is None
        row = self.rows.setdefault(place, {"id": f"a0{len(self.rows):016d}", "times": 0})
        row.update(body)
        row["times"] += 1
        return web.json_response(
            {"id": row["id"], "success": True, "errors": [], "created": created}, status=201 if created else 200
        )

    def _salesforce_error(self, status: int, code: str, message: str) -> web.StreamResponse:
        return web.json_response([{"message": message, "errorCode": code}], status=status)

    # Dataverse ---------------------------------------------------------------------------------------------------

    def _dataverse(self, request: web.Request, body: Any) -> web.StreamResponse:
        if request.path.endswith("/WhoAmI"):
            return web.json_response({"UserId": str(uuid.uuid4())})
        if request.method == "GET":
            return web.json_response({"value": []})
        if request.headers.get("OData-Version") != "4.0":
            return web.json_response({"error": {"code": "0x0", "message": "OData-Version is missing"}}, status=400)
        place = unquote(request.raw_path.rpartition("/")[2])
        row = self.rows.get(place)
        if row is None and request.headers.get("If-Match") == "*":
            said = {"error": {"code": "0x80060891", "message": "A record with the specified key values does not exist"}}
            return web.json_response(said, status=404)
        row = self.rows.setdefault(place, {"id": str(uuid.uuid4()), "times": 0})
        row.update(body)
        row["times"] += 1
        entity = f"{self.url}/api/data/v9.2/{place.partition('(')[0]}({row['id']})"
        return web.Response(status=204, headers={"OData-EntityId": entity})

    # An ERP ------------------------------------------------------------------------------------------------------

    def _erp(self, request: web.Request, body: Any) -> web.StreamResponse:
        key = request.headers.get("Idempotency-Key") if self.knows_keys else None
        if key is not None and key in self.idempotency:
            kept = self.idempotency[key]
            if kept["body"] != body:
                return web.json_response({"message": "This key came with another body"}, status=422)
            return web.json_response({"result": {"number": kept["number"]}}, status=201)
        if request.method == "POST":
            number = f"N{len(self.rows) + 1}"
            self.rows[number] = {"path": request.raw_path, "times": 1, **(body or {})}
            if key is not None:
                self.idempotency[key] = {"body": body, "number": number}
            return web.json_response({"result": {"number": number}}, status=201)
        if request.method == "GET":
            return web.json_response({"ok": True})
        number = unquote(request.raw_path.rpartition("/")[2])
        row = self.rows.setdefault(number, {"times": 0})
        row.update(body or {})
        row["times"] += 1
        return web.json_response({"result": {"number": number}})


def says(status: int, body: Any = None, **headers: str) -> Answer:
    """An answer for the script."""
    return lambda request: web.json_response(
        body, status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


@asynccontextmanager
async def system_of_record() -> AsyncIterator[SystemOfRecord]:
    """One on a free port."""
    served = SystemOfRecord()
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
