"""What responses need of rooms above and beside this one; ``services.py`` plugs it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from shared.access import Caller
from shared.signals import Value
from shared.storage import Document

__all__ = ["Acted", "Outcome", "Tasks", "Writes"]

Outcome = Literal["done", "again", "failed", "unknown"]
"""``again``: certainly not done, and worth another try. ``failed``: certainly not done, and no try would help."""


@dataclass(frozen=True, slots=True)
class Acted:
    """What became of a try."""

    outcome: Outcome
    detail: str
    """One sentence for people."""
    result: Mapping[str, Any] | None = None
    """What to show beside it: ``task_id``, ``ticket_id``, ``http_status``, ``before``, ``after``."""
    retry_after: float | None = None
    """Seconds; ``None``: as usual."""


class Writes(Protocol):
    """Writing to machines."""

    async def check(self, equipment_id: str, signal: str, value: Value) -> str:
        """Whether this may be written, without asking the machine; its name.

        Raises ``NotFound``, ``Conflict``, ``InvalidInput``."""
        ...

    async def write(
        self, equipment_id: str, signal: str, value: Value, *, reason: str, actor: Mapping[str, str]
    ) -> Acted:
        """Write once; never raises for what a machine does."""
        ...


class Tasks(Protocol):
    """Making tasks."""

    async def make(self, task_id: str, *, said: Mapping[str, Any], caller: Caller) -> Document:
        """Make it, once for an id. Raises ``InvalidInput``, ``Unavailable``."""
        ...
