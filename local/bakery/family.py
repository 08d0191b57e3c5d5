"""Children that are started again when they end by themselves, until there were too many of those."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from local.bakery.children import Child, StartFailed, stop_all

__all__ = ["Family", "Start"]

Start = Callable[[int], Awaitable[Child]]
"""Starts one on a port; 0: any free one. Raises ``StartFailed``."""

MOST_RESTARTS = 10
"""Of each, over the whole run."""
LONGEST_PAUSE = 5.0


class Family:
    """Knows how each is started, and keeps them."""

    def __init__(self) -> None:
        self._members: dict[str, tuple[Start, Child]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def port(self, name: str) -> int:
        """Where it listens."""
        return self._members[name][1].port

    async def begin(self, name: str, start: Start, port: int = 0) -> Child:
        """Start one. Raises ``StartFailed``."""
        child = await start(port)
        self._members[name] = (start, child)
        return child

    async def keep(self) -> None:
        """Watch over all of them, until cancelled; ends when all are off for good."""
        await asyncio.gather(*(self._keep(name) for name in self._members))

    async def stop(self) -> None:
        """Returns when all are gone."""
        await stop_all([child for _, child in self._members.values()])

    async def _keep(self, name: str) -> None:
        start, child = self._members[name]
        what = f"exit code {await child.process.wait()}"
        for attempt in range(MOST_RESTARTS):
            print(f"{name} ended ({what}); starting it again.", flush=True)
            await asyncio.sleep(min(attempt * 0.5, LONGEST_PAUSE))
            try:
                child = await start(child.port)
            except StartFailed as error:
                what = str(error).rstrip(".")
                continue
            self._members[name] = (start, child)
            what = f"exit code {await child.process.wait()}"
        print(f"{name} ended again ({what}) and stays off.", flush=True)
