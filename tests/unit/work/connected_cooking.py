"""ConnectedCooking's HACCP service for these tests: a real HTTP server with the public contract's names and rules.

After its haccp-list reference: `from` and `to` mean the last update, `page` counts from 0, `size` is at most 100,
`x-total-count` and `Link` lead on, a bearer token lets in. It can fall silent, refuse, throttle and talk nonsense.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from shared.clock import iso, parse_iso
from tests.unit.outgoing.peers import Peer, answer, peer

__all__ = ["PATH", "ConnectedCooking", "haccp"]

PATH = "/api/public/haccp-service/haccps"


def haccp(
    id: str, serial: str, started: datetime, *, minutes: int = 30, finished: bool = True, **more: Any
) -> dict[str, Any]:
    """A batch as the service tells it; finished ones were updated at their end."""
    ended = started + timedelta(minutes=minutes)
    item: dict[str, Any] = {
        "id": id,
        "name": "Croissant",
        "startDate": iso(started),
        "finished": finished,
        "deviceSerialNumber": serial,
        "updatedAt": iso(ended if finished else started),
    }
    if finished:
        item["duration"] = minutes * 60
    return item | more


class ConnectedCooking:
    """One account."""

    def __init__(self) -> None:
        self.batches: list[Any] = []
        self.secret = "s3cret-of-the-client"
        self.tokens = 0
        self.accepts: str | None = None
        self.answers: list[bytes] = []
        """Given before anything else, one for each question about batches."""
        self.queries: list[dict[str, str]] = []
        self.before: Callable[[dict[str, str]], None] = lambda query: None
        """Happens while a question is on its way."""
        self.link = True
        self.total = True
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def config(self, **options: Any) -> dict[str, Any]:
        """What is posted to iot-config; batches only."""
        return {
            "protocol": "rational",
            "endpoint": self.url,
            "credentials": {"token_url": "/oauth/token", "client_id": "hub", "client_secret": self.secret},
            "additional_config": {"batch_page_size": 4, **options},
            "supports_realtime": False,
        }

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[ConnectedCooking]:
        async with peer(self._answer) as there:
            self.port = there.port
            yield self

    async def _answer(self, there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        line, _, rest = head.decode().partition("\r\n")
        writer.write(self._token(body) if line.startswith("POST /oauth/token ") else self._haccps(line, rest))
        await writer.drain()
        return True

    def _token(self, body: bytes) -> bytes:
        if b"grant_type=client_credentials" not in body:
            return answer(b"{}", "400 Bad Request", "application/json")
        self.tokens += 1
        self.accepts = f"token-{self.tokens}"
        return _json({"access_token": self.accepts, "expires_in": 3600})

    def _haccps(self, line: str, headers: str) -> bytes:
        target = urlsplit(line.split(" ")[1])
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        self.queries.append(query)
        self.before(query)
        if self.answers:
            return self.answers.pop(0)
        if self.accepts is None or f"bearer {self.accepts}".lower() not in headers.lower():
            return answer(b"{}", "401 Unauthorized", "application/json")
        if target.path != PATH:
            return answer(b"{}", "404 Not Found", "application/json")
        found = [item for item in self.batches if self._wanted(item, query)]
        found.sort(key=lambda item: str(item["id"]) if isinstance(item, dict) and "id" in item else "")
        page, size = int(query.get("page", "0")), min(100, int(query.get("size", "20")))
        part = found[page * size : (page + 1) * size]
        if query.get("entries") != "true":
            part = [_without_entries(item) for item in part]
        extra = f"x-total-count: {len(found)}\r\n" if self.total else ""
        if self.link:
            links = [f'<{self.url}{PATH}?page=0&size={size}>; rel="first"']
            if (page + 1) * size < len(found):
                links.append(f'<{self.url}{PATH}?page={page + 1}&size={size}>; rel="next"')
            extra += f"Link: {', '.join(links)}\r\n"
        return _json(part, extra)

    @staticmethod
    def _wanted(item: Any, query: dict[str, str]) -> bool:
        if not isinstance(item, dict):
            return True
        if not item.get("finished", True) and query.get("incomplete") != "true":
            return False
        updated = item.get("updatedAt")
        if not isinstance(updated, str):
            return True
        return parse_iso(query["from"]) <= parse_iso(updated) <= parse_iso(query["to"])


def _without_entries(item: Any) -> Any:
    return {k: v for k, v in item.items() if k != "entries"} if isinstance(item, dict) else item


def _json(document: Any, extra: str = "") -> bytes:
    return answer(json.dumps(document).encode(), kind="application/json", extra=extra)
