"""Can the app work? Asks settings and backends at once and says what is wrong and what to do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shared.errors import OvenbridgeError, Unavailable

__all__ = ["Backend", "Probe", "Readiness"]

log = logging.getLogger("ovenbridge.health")

TIMEOUT_SECONDS = 5.0
REMEMBER_SECONDS = 1.0
"""Anybody may ask, so asking often must not become load on the backends."""
REMEMBER_BAD_SECONDS = 0.2
"""Short: whoever waits for the app to become ready should see it at once."""
LOG_AGAIN_SECONDS = 60.0
"""The same trouble is logged once a minute, however often somebody asks."""


class Backend(Protocol):
    """Something that can say whether it works."""

    async def check(self) -> None:
        """Returns, or raises ``Unavailable`` with what to do."""
        ...


class Ending(Protocol):
    """A credential that ends soon."""

    @property
    def sentence(self) -> str:
        """Which, when, and what to do."""
        ...


@dataclass(frozen=True, slots=True)
class Probe:
    """One backend to ask."""

    backend: Callable[[], Backend]
    """Built only when asked: building may fail too."""
    advice: str
    """What an operator should look at. Public: no paths, no names of machines."""


@dataclass(frozen=True, slots=True)
class _Trouble:
    problem: str
    """The backend's own sentence: it may name paths, accounts and machines."""
    advice: str
    """For anybody."""


class Readiness:
    """Asks, at most once a second."""

    def __init__(
        self,
        probes: Mapping[str, Probe],
        *,
        show_details: bool,
        expiring: Callable[[], Awaitable[Sequence[Ending]]] | None = None,
    ) -> None:
        """Args:
        probes: whom to ask, by name.
        show_details: to everybody; on a loopback host.
        expiring: credentials that end soon, for who may see details.
        """
        self._probes = probes
        self._show_details = show_details
        self._expiring = expiring
        self._asking: asyncio.Task[dict[str, _Trouble | None]] | None = None
        self._last: tuple[float, dict[str, _Trouble | None]] | None = None
        self._logged: dict[str, tuple[str, float]] = {}

    async def check(self, *, details: bool = False) -> dict[str, Any]:
        """``{"status": "ready" | "not_ready", "checks": {name: {"status", "advice"?, "problem"?}}, "warnings"?}``.

        Args:
            details: the caller may see ``problem``, the backend's own sentence, and which credentials end soon.
                Everybody else sees what fails and what to do, and the log has the rest.
        """
        found = await self._found()
        shown = details or self._show_details
        ready = all(trouble is None for trouble in found.values())
        answer: dict[str, Any] = {
            "status": "ready" if ready else "not_ready",
            "checks": {name: _rendered(trouble, shown) for name, trouble in found.items()},
        }
        if shown and ready and (warnings := await self._warnings()):
            answer["warnings"] = warnings
        return answer

    async def _found(self) -> dict[str, _Trouble | None]:
        if self._last is not None and time.monotonic() < self._last[0]:
            return self._last[1]
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all())
            self._asking.add_done_callback(self._asked)
        # Whoever comes meanwhile shares the answer, and whoever leaves does not take it along.
        return await asyncio.shield(self._asking)

    def _asked(self, task: asyncio.Task[dict[str, _Trouble | None]]) -> None:
        self._asking = None
        if not task.cancelled():
            task.exception()

    async def _ask_all(self) -> dict[str, _Trouble | None]:
        names = list(self._probes)
        results = await asyncio.gather(*(self._ask(name, self._probes[name]) for name in names))
        found = dict(zip(names, results, strict=True))
        good = all(trouble is None for trouble in results)
        self._last = (time.monotonic() + (REMEMBER_SECONDS if good else REMEMBER_BAD_SECONDS), found)
        return found

    async def _ask(self, name: str, probe: Probe) -> _Trouble | None:
        advice = ""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await probe.backend().check()
        except TimeoutError:
            problem = f"It did not answer within {TIMEOUT_SECONDS:g} s."
        except Unavailable as error:
            problem, advice = error.detail, error.advice
        except OvenbridgeError as error:
            problem = error.detail
        except Exception as error:
            # A readiness probe that fails itself says less than one that names what failed.
            log.exception("The check of the %s failed unexpectedly", name)
            problem = f"The check itself failed ({type(error).__name__}); the log has the details."
        else:
            self._note(name, "")
            return None
        self._note(name, problem)
        return _Trouble(problem, advice or probe.advice)

    def _note(self, name: str, problem: str) -> None:
        known, until = self._logged.get(name, ("", 0.0))
        if not problem:
            if known:
                log.info("Ready again: the %s", name)
                del self._logged[name]
            return
        if problem != known or time.monotonic() >= until:
            log.error("Not ready: the %s: %s", name, problem)
            self._logged[name] = (problem, time.monotonic() + LOG_AGAIN_SECONDS)

    async def _warnings(self) -> list[str]:
        if self._expiring is None:
            return []
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return [ending.sentence for ending in await self._expiring()]
        except (OvenbridgeError, TimeoutError) as error:
            return [f"Which credentials expire soon could not be read: {getattr(error, 'detail', 'it took too long.')}"]


def _rendered(trouble: _Trouble | None, shown: bool) -> dict[str, str]:
    if trouble is None:
        return {"status": "ok"}
    answer = {"status": "unavailable", "advice": trouble.advice}
    if shown:
        answer["problem"] = trouble.problem
    return answer
