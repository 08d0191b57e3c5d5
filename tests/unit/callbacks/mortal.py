"""A house that dies at its n-th step: store, queue, vault and HTTP raise before or after their n-th call, and from then
on at every call, as a killed process does nothing any more. What is on disk stays for the next house."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.azure_connections import AzureConnections
from shared.callbacks.document import QUEUE
from shared.clock import ManualClock
from shared.services import Services
from shared.settings import Settings

__all__ = ["CrashNow", "Fate", "alive", "work_off"]

_FREE = ("close", "depth", "check")
"""Calls that are no step of the work."""


class CrashNow(BaseException):
    """The process is gone. No ``except Exception`` may see it."""


@dataclass
class Fate:
    """Dies at the ``at``-th point; ``None``: lives on."""

    at: int | None = None
    points: int = 0
    dead: bool = False
    passed: list[str] = field(default_factory=list)

    def point(self, name: str) -> None:
        """Here it may end."""
        if self.dead:
            raise CrashNow(name)
        self.passed.append(name)
        if self.points == self.at:
            self.dead = True
            raise CrashNow(name)
        self.points += 1


class Mortal:
    """Stands before a service and dies with the house."""

    def __init__(self, service: Any, name: str, fate: Fate) -> None:
        self._service = service
        self._name = name
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._service, name)
        if name in _FREE or not inspect.iscoroutinefunction(found):
            return found

        async def mortal(*args: Any, **kwargs: Any) -> Any:
            self._fate.point(f"before {self._name}.{name}")
            result = await found(*args, **kwargs)
            self._fate.point(f"after {self._name}.{name}")
            return result

        return mortal


@asynccontextmanager
async def alive(
    folder: Path,
    clock: ManualClock,
    fate: Fate | None = None,
    *,
    azure: AzureConnections | None = None,
    database: str = "ovenbridge",
) -> AsyncIterator[Services]:
    """A house over this folder, or over Azure services; with a fate, mortal."""
    settings = Settings(
        data_dir=folder,
        allow_private_targets=True,
        allow_http_targets=True,
        azure=azure or AzureConnections(),
        cosmos_database=database,
    )
    house = Services(settings, clock)
    if fate is not None:
        parts = {"store": house.store, "_queue": house.queue, "http": house.http, "vault": house.vault}
        house.__dict__.update({name: Mortal(part, name.strip("_"), fate) for name, part in parts.items()})
    try:
        yield house
    finally:
        await house.close()


async def work_off(house: Services, due: Callable[[], int] | None = None) -> None:
    """What the host does: deliver what is due, one message at a time.

    ``due``: how many messages can be received, from whoever knows it better than the client of a queue, which may count
    those that a dead process has locked.
    """
    while due() if due is not None else (await house.receiver.depth(QUEUE)).active:
        for received in await house.receiver.receive(QUEUE, 8):
            await house.deliveries.deliver(received.body)
            await house.receiver.complete(QUEUE, received)
