"""Many ask for the same thing at once: one fetches it, all get it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["SingleFlight"]

R = TypeVar("R")


class SingleFlight(Generic[R]):
    """Joins askers of the same key to the fetch that is under way.

    A fetch goes on when an asker gives up, so that the others are not disappointed: it must end by itself.
    """

    def __init__(self) -> None:
        self._under_way: dict[object, asyncio.Task[R]] = {}

    def __len__(self) -> int:
        """How many fetches are under way."""
        return len(self._under_way)

    async def join(self, key: object, fetch: Callable[[], Awaitable[R]]) -> R:
        """What the fetch under way for this key brings, or a new one. Raises what it raised."""
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(_run(fetch))
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    def leave(self, key: object) -> None:
        """What is under way for this key is out of date: whoever asks from now on starts anew."""
        self._under_way.pop(key, None)

    async def close(self) -> None:
        """Break off what is under way."""
        tasks = list(self._under_way.values())
        self._under_way.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, key: object, task: asyncio.Task[R]) -> None:
        if self._under_way.get(key) is task:
            del self._under_way[key]
        if not task.cancelled():
            task.exception()  # looked at: perhaps nobody waits for it any more


async def _run(fetch: Callable[[], Awaitable[R]]) -> R:
    return await fetch()
