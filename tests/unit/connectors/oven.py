"""An oven for these tests: a real HTTP server that answers as told, and the connector that reads it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from shared.clock import Clock
from shared.connectors import Connector, Connectors
from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy
from tests.unit.outgoing.peers import Peer, answer, peer

__all__ = ["OAuthOven", "json_answer", "reading_of"]


def json_answer(document: Any, status: str = "200 OK", extra: str = "") -> bytes:
    """A JSON document as an answer."""
    return answer(json.dumps(document).encode(), status, "application/json", extra)


@asynccontextmanager
async def reading_of(there: Peer, clock: Clock, **config: Any) -> AsyncIterator[Connector]:
    """A connector for the device at this peer; ``config`` beside the endpoint, ``protocol`` too."""
    http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True))
    protocol = config.pop("protocol", "rest_api")
    try:
        yield Connectors(http, clock).open(
            protocol=protocol, equipment_id="oven-1", config={"endpoint": there.url, **config}
        )
    finally:
        await http.close()


class OAuthOven:
    """Gives tokens for one client and answers only to the newest of them."""

    def __init__(self, *, expires_in: object = 3600, body: dict[str, Any] | None = None) -> None:
        self.tokens = 0
        self.expires_in = expires_in
        self.accepts: set[str] = set()
        self.body = body or {"temperature": 180}
        self.forms: list[str] = []
        self.token_answer: bytes | None = None
        self.asked = asyncio.Event()
        self.slow = asyncio.Event()
        self.slow.set()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Peer]:
        async with peer(self._answer) as there:
            yield there

    async def _answer(self, there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        if head.startswith(b"POST /oauth/token"):
            self.forms.append(body.decode())
            self.asked.set()
            await self.slow.wait()
            self.tokens += 1
            token = f"token-{self.tokens}"
            self.accepts = {token}
            given = {"access_token": token, "token_type": "Bearer", "expires_in": self.expires_in}
            writer.write(self.token_answer or json_answer(given))
        elif any(f"authorization: bearer {token}".encode() in head.lower() for token in self.accepts):
            writer.write(json_answer(self.body))
        else:
            writer.write(json_answer({}, "401 Unauthorized"))
        await writer.drain()
        return True
