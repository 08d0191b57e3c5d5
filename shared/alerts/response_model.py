"""What a response is: something Ovenbridge does by itself when an alert is raised, seen, over, or seen by nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = [
    "ACTIONS",
    "DEFAULT_COOLDOWN_SECONDS",
    "MAX_PER_HOUR",
    "MAX_RESPONSES",
    "SETTLED",
    "Response",
    "ResponseStatus",
    "Trigger",
]

MAX_RESPONSES = 5
"""Of one rule."""
DEFAULT_COOLDOWN_SECONDS = 300.0
"""A response of a rule is not begun again on the same machine within this time, unless the rule says otherwise."""
MAX_PER_HOUR = 20
"""So many responses of all rules together are begun on one machine in an hour."""

ACTIONS = ("write", "call", "task", "ticket")


class Trigger(StrEnum):
    """When a response is due."""

    RAISED = "raised"
    """The alert is told for the first time."""
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    """It is over, by itself or by a person."""
    UNACKNOWLEDGED_FOR = "unacknowledged_for"
    """It was raised so many minutes ago, goes on, and nobody has seen it."""


class ResponseStatus(StrEnum):
    """Where a response stands."""

    PENDING = "pending"
    """It is due later, or will be tried again."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """For good: it was not done."""
    SKIPPED = "skipped"
    """On purpose; the outcome says why."""
    UNKNOWN = "unknown"
    """It may have been done, and is not repeated blindly: a person has to look."""


SETTLED = frozenset({ResponseStatus.DONE, ResponseStatus.FAILED, ResponseStatus.SKIPPED, ResponseStatus.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Response:
    """One response of a rule."""

    name: str
    """Unique in its rule."""
    on: Trigger
    kind: str
    """One of ``ACTIONS``."""
    action: Mapping[str, Any] = field(hash=False)
    """The fields of its form (``response_forms.py``), as they were written; without those that were left out."""
    minutes: float | None = None
    """Of ``unacknowledged_for``."""
    enabled: bool = True

    def as_written(self) -> dict[str, Any]:
        """As its author wrote it; also its stored form."""
        said: dict[str, Any] = {"name": self.name, "on": self.on.value}
        if self.minutes is not None:
            said["minutes"] = self.minutes
        return {**said, self.kind: dict(self.action), "enabled": self.enabled}

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Response:
        """Back from what :meth:`as_written` gave, or from a form that was found good."""
        kind = next(k for k in ACTIONS if said.get(k) is not None)
        action = {k: v for k, v in said[kind].items() if v is not None}
        enabled = said.get("enabled")
        return cls(said["name"], Trigger(said["on"]), kind, action, said.get("minutes"), enabled is not False)
