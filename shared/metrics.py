"""What is counted and measured. Rooms record; ``telemetry`` packages, the readiness page and tests listen.

A measure costs a loop over nothing when nobody listens. Names, units and attributes follow OpenTelemetry; equipment ids
are never attributes, because a thousand ovens would be a thousand series.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = [
    "ALL",
    "COSMOS_CHARGE",
    "QUEUE_SENDS",
    "STORE_CALLS",
    "VAULT_CALLS",
    "Measure",
]

Listener = Callable[[float, dict[str, str]], None]


@dataclass(slots=True, eq=False)
class Measure:
    """One thing that is measured."""

    name: str
    unit: str
    description: str
    kind: str = "counter"
    """``counter`` (only grows), ``histogram`` or ``gauge`` (the last value counts)."""
    listeners: list[Listener] = field(default_factory=list)

    def record(self, value: float, **attributes: str) -> None:
        """Note a value, with the words that tell it from others of its kind."""
        for listener in self.listeners:
            listener(value, attributes)


COSMOS_CHARGE = Measure("cosmos.request_charge", "{RU}", "Request units of a Cosmos DB call", "histogram")
STORE_CALLS = Measure("store.calls", "{call}", "Calls to the document store")
QUEUE_SENDS = Measure("queue.sends", "{message}", "Messages sent")
VAULT_CALLS = Measure("vault.calls", "{call}", "Calls to the vault that left the process")

ALL: tuple[Measure, ...] = (COSMOS_CHARGE, STORE_CALLS, QUEUE_SENDS, VAULT_CALLS)
