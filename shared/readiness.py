"""Can the app work? Asks every backend at once and says what is wrong and what to do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from shared.errors import OvenbridgeError

__all__ = ["Backend", "Probe", "Readiness"]

log = logging.getLogger("ovenbridge.health")

TIMEOUT_SECONDS = 3.0
REMEMBER_SECONDS = 1.0
"""Anybody may ask, so asking often must not become load on the backends."""


class Backend(Protocol):
    """Something that can say whether it works."""

    async def check(self) -> None:
        """Returns, or raises ``Unavailable`` with what to do."""
        ...


@dataclass(frozen=True, slots=True)
class Probe:
    """One backend to ask."""

    backend: Callable[[], Backend]
    """Built only when asked: building may fail too."""
    advice: str
    """What an operator should look at. Public: no paths, no names of machines."""


class Readiness:
    """Asks the backends, at most once a second."""

    def __init__(self, probes: Mapping[str, Probe], *, show_details: bool) -> None:
        self._probes = probes
        self._show_details = show_details
        self._lock = asyncio.Lock()
        self._last: tuple[float, dict[str, Any]] | None = None

    async def check(self) -> dict[str, Any]:
        """``{"status": "ready" | "not_ready", "checks": {name: {"status", "problem"?, "advice"?}}}``.

        ``problem`` is the backend's own sentence: shown on a loopback host, elsewhere only logged.
        """
        async with self._lock:
            if self._last is not None and time.monotonic() - self._last[0] < REMEMBER_SECONDS:
                return self._last[1]
            names = list(self._probes)
            results = await asyncio.gather(*(self._ask(name, self._probes[name]) for name in names))
            ready = all(result["status"] == "ok" for result in results)
            found = {"status": "ready" if ready else "not_ready", "checks": dict(zip(names, results, strict=True))}
            # Only good news is remembered: whoever waits for the app to become ready sees it at once.
            self._last = (time.monotonic(), found) if ready else None
            return found

    async def _ask(self, name: str, probe: Probe) -> dict[str, str]:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await probe.backend().check()
        except TimeoutError:
            problem = f"It did not answer within {TIMEOUT_SECONDS:g} s."
        except OvenbridgeError as error:
            problem = error.detail
        except Exception as error:
            # A readiness probe that fails itself says less than one that names what failed.
            log.exception("The check of the %s failed unexpectedly", name)
            problem = f"The check itself failed ({type(error).__name__}); the log has the details."
        else:
            return {"status": "ok"}
        log.error("Not ready: the %s: %s", name, problem)
        answer = {"status": "unavailable", "advice": probe.advice}
        if self._show_details:
            answer["problem"] = problem
        return answer
