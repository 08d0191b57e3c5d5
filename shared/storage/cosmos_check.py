"""Can we read and write? Asked by the readiness probe, again and again, so it must cost next to nothing."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from shared.clock import Clock
from shared.errors import NotFound, Unavailable
from shared.storage.cosmos_calls import CosmosCalls, Receipt
from shared.topology import ContainerSpec

__all__ = ["CosmosCheck"]

THOROUGH = timedelta(minutes=5)
"""After a good look at every container, only one is tried at a time for so long."""

PATIENCE_SECONDS = 1.25
PROBE = "readiness-probe"
"""An id and a key that no document has."""

CREATE_ONLY = frozenset({"audit"})
"""Containers whose documents this app may add and read, and nothing else (its role says so)."""


class CosmosCheck:
    """Reads, and deletes what is not there: "not found" proves that it would have been allowed. One request unit each,
    and nothing is left behind."""

    def __init__(self, calls: CosmosCalls, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock
        self._turn = itertools.count()
        self._good: datetime | None = None
        self._troubles = 0

    async def run(self, specs: Iterable[ContainerSpec]) -> None:
        """Returns, or raises ``Unavailable`` naming every container that is missing or that we may not use."""
        now, good = self._clock.now(), self._good
        wanted = list(specs)
        if good is not None and timedelta() <= now - good < THOROUGH and self._troubles == self._calls.troubles:
            wanted = [wanted[next(self._turn) % len(wanted)]]
        else:
            good = now
        self._good = None
        problems = [p for p in await asyncio.gather(*(self._problem(spec) for spec in wanted)) if p is not None]
        if problems:
            sentences = _together(problems)  # settings, containers and roles: fit for strangers
            raise Unavailable(sentences, retry_after=max(p.retry_after for p in problems), advice=sentences)
        self._good, self._troubles = good, self._calls.troubles

    async def _problem(self, spec: ContainerSpec) -> Unavailable | None:
        try:
            await self._try(spec, "read_item")
            if spec.name not in CREATE_ONLY:
                await self._try(spec, "delete_item")
        except Unavailable as problem:
            return problem
        return None

    async def _try(self, spec: ContainerSpec, method: str) -> None:
        key: Any = PROBE if len(spec.partition_key) == 1 else [PROBE] * len(spec.partition_key)

        async def call(proxy: Any, receipt: Receipt) -> None:
            await getattr(proxy, method)(PROBE, key, response_hook=receipt)

        try:
            await self._calls.run(spec, "check", call, patience=PATIENCE_SECONDS)
        except NotFound:
            return


def _together(problems: list[Unavailable]) -> str:
    """Each sentence once."""
    return " ".join(dict.fromkeys(problem.detail for problem in problems))
