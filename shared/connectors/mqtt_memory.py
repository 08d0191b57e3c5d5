"""What this process remembers of MQTT sessions: when they were last fetched, and what people should know."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

__all__ = ["Remembered", "memory"]

MOST = 10_000


@dataclass(slots=True)
class Remembered:
    """Of one session."""

    fetched_at: datetime | None = None
    """When its queue was last taken to the end."""
    note: str | None = None
    """Something that a person should know although it works; said once in the log and by every connection test."""


class _Memory:
    def __init__(self) -> None:
        self._known: OrderedDict[str, Remembered] = OrderedDict()

    def of(self, where: str, client_id: str) -> Remembered:
        """What is known of a session; an empty page for a new one."""
        key = f"{where} {client_id}"
        found = self._known.setdefault(key, Remembered())
        self._known.move_to_end(key)
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        return found


memory = _Memory()
