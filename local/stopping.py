"""SIGTERM and SIGINT: end in good order, and end in any case.

The handlers are Python's own, not the loop's: they run even while a function blocks the loop.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from types import FrameType

__all__ = ["GRACE_SECONDS", "Stopping", "end_now"]

GRACE_SECONDS = 4.0
"""Running calls get so long to end."""
LATEST_SECONDS = 8.5
"""After so long the process ends whatever still runs. What is durable is on disk; what is not was not acknowledged."""


class Stopping:
    """Knows when to stop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event: asyncio.Event | None = None
        self._asked = False

    def install(self) -> None:
        """Take the signals. Before :meth:`attach` a signal ends the process at once, with code 0."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def attach(self) -> asyncio.Event:
        """The event that is set when it is time to stop. Call it inside the running loop."""
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        return self._event

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._loop is None or self._event is None:
            sys.exit(0)
        if not self._asked:
            self._asked = True
            threading.Thread(target=_end_in_any_case, daemon=True).start()
            self._loop.call_soon_threadsafe(self._event.set)


def _end_in_any_case() -> None:
    time.sleep(LATEST_SECONDS)
    end_now()


def end_now() -> None:
    """End without waiting for threads: a sync function that hangs would keep the interpreter for ever."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
