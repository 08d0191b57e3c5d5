"""An oven on a real socket, and what is needed around it, for the tests of this room and its functions."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.services import Services
from tests.unit.outgoing.peers import Peer, answer, peer

__all__ = ["ANSWER", "SECRET", "Oven", "basic", "everything_in", "oven"]

SECRET = "Gl0tt3rb0ck-und-Backofen"
"""A password. It must turn up nowhere but in the vault and at the oven."""

ANSWER: dict[str, Any] = {
    "temperature": 185.5,
    "temperature_zones": {"cabinet": 180, "core": 72},
    "humidity": 65.0,
    "operational_status": "running",
    "cycle_stage": "baking",
    "cycle_progress_percentage": 45.0,
    "time_remaining_minutes": 12,
    "energy_consumption_kwh": 12.5,
    "active_batch_id": "batch-uuid",
    "active_batch_name": "Baguettes - Batch #123",
}
"""What the implementation guide's oven says."""


@dataclass
class Oven:
    """An oven that answers as told."""

    there: Peer
    says: Mapping[str, Any] = field(default_factory=lambda: dict(ANSWER))
    password: str | None = None
    hangs: bool = False

    @property
    def url(self) -> str:
        return self.there.url

    @property
    def asked(self) -> int:
        return len(self.there.requests)

    async def handle(self, there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        if self.hangs:
            await asyncio.Event().wait()
        if self.password is not None and basic("baker", self.password) != there.header("authorization"):
            writer.write(answer(b"{}", "401 Unauthorized", "application/json"))
        else:
            writer.write(answer(json.dumps(self.says).encode(), "200 OK", "application/json"))
        await writer.drain()
        return True


@asynccontextmanager
async def oven(**how: Any) -> AsyncIterator[Oven]:
    """Serve one; ``password``: only to the user ``baker`` with it."""
    made: list[Oven] = []

    async def handle(there: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        return await made[0].handle(there, head, body, writer)

    async with peer(handle) as there:
        made.append(Oven(there, **how))
        yield made[0]


def basic(user: str, password: str) -> str:
    """As it stands in the header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def everything_in(house: Services) -> bytes:
    """All bytes on the disk of this house: store, queue, write-ahead log, vault."""
    return b"".join(path.read_bytes() for path in sorted(Path(house.settings.data_dir).rglob("*")) if path.is_file())
