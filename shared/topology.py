"""Containers and queues, read from ``infra/topology.json``: the one place that names them, shared with Bicep."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["ContainerSpec", "QueueSpec", "Topology", "topology"]

_FILE = Path(__file__).resolve().parent.parent / "infra" / "topology.json"


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One container: its hierarchical partition key, retention and indexed paths."""

    name: str
    partition_key: tuple[str, ...]
    """Property names without the slash, e.g. ``("equipmentId", "day")``."""
    ttl_seconds: int | None
    """How long a document lives after its last write, unless the document has a ``ttl`` of its own (seconds;
    -1: for ever). ``None``: for ever, and a document's own ``ttl`` is ignored."""
    indexed: tuple[str, ...]
    """Top-level property names that queries may filter or order by."""


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """One queue, with the settings of its Service Bus twin."""

    name: str
    lock_seconds: float
    max_delivery_count: int
    duplicate_window_seconds: float
    """A message id seen within this window is accepted and dropped. 0: off."""
    ttl_seconds: float
    dead_letter_on_expiry: bool


@dataclass(frozen=True, slots=True)
class Topology:
    """All containers and queues by name."""

    containers: dict[str, ContainerSpec]
    queues: dict[str, QueueSpec]


def _read(path: Path) -> Topology:
    raw = json.loads(path.read_text("utf-8"))
    containers = [
        ContainerSpec(
            name=c["name"],
            partition_key=tuple(p.removeprefix("/") for p in c["partitionKey"]),
            ttl_seconds=c["ttlSeconds"],
            indexed=tuple(p.removeprefix("/") for p in c["indexed"]),
        )
        for c in raw["containers"]
    ]
    queues = [
        QueueSpec(
            name=q["name"],
            lock_seconds=q["lockSeconds"],
            max_delivery_count=q["maxDeliveryCount"],
            duplicate_window_seconds=q["duplicateWindowSeconds"],
            ttl_seconds=q["ttlSeconds"],
            dead_letter_on_expiry=q["deadLetterOnExpiry"],
        )
        for q in raw["queues"]
    ]
    return Topology({c.name: c for c in containers}, {q.name: q for q in queues})


@cache
def topology() -> Topology:
    """The topology of this deployment; read once."""
    return _read(_FILE)
