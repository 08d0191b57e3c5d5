"""Containers and queues, read from ``infra/topology.json``: the one place that names them, shared with Bicep."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["ContainerSpec", "QueueSpec", "Topology", "topology"]

RELAY_ID = "[a-z0-9][a-z0-9-]{0,39}"

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
    within: tuple[tuple[str, ...], ...] = ()
    """Combinations of them that are asked for inside a partition, equalities first, then what is ordered or ranged.
    Default: each by itself. More than one name: a composite index in Cosmos."""
    across: tuple[tuple[str, ...], ...] = ()
    """Combinations that are asked for across partitions. Default: none, but each by itself where a partition is one
    document. Documents without the first property are left out of the index."""


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
    relay_commands: QueueSpec
    """What the queue of each relay is like; ``{id}`` stands in its name."""

    def queue(self, name: str) -> QueueSpec | None:
        """A queue by its name, those of relays included; ``None``: there is none of this name."""
        found = self.queues.get(name)
        if found is None and re.fullmatch(self.relay_commands.name.replace("{id}", RELAY_ID), name):
            return replace(self.relay_commands, name=name)
        return found

    def commands_of(self, relay_id: str) -> str:
        """The name of a relay's own queue."""
        return self.relay_commands.name.replace("{id}", relay_id)


def _container(raw: dict[str, Any]) -> ContainerSpec:
    key, indexed = _names(raw["partitionKey"]), _names(raw["indexed"])
    alone = tuple((name,) for name in indexed)
    one_document = key == ("id",)
    return ContainerSpec(
        name=raw["name"],
        partition_key=key,
        ttl_seconds=raw["ttlSeconds"],
        indexed=indexed,
        within=_combinations(raw, "within", () if one_document else alone),
        across=_combinations(raw, "across", alone if one_document else ()),
    )


def _names(paths: list[str]) -> tuple[str, ...]:
    return tuple(path.removeprefix("/") for path in paths)


def _combinations(raw: dict[str, Any], name: str, default: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(_names(paths) for paths in raw[name]) if name in raw else default


def _read(path: Path) -> Topology:
    raw = json.loads(path.read_text("utf-8"))
    containers = [_container(c) for c in raw["containers"]]
    queues = [_queue(q) for q in raw["queues"]]
    commands = _queue(raw["relay"]["commandQueue"])
    return Topology({c.name: c for c in containers}, {q.name: q for q in queues}, commands)


def _queue(raw: dict[str, Any]) -> QueueSpec:
    return QueueSpec(
        name=raw["name"],
        lock_seconds=raw["lockSeconds"],
        max_delivery_count=raw["maxDeliveryCount"],
        duplicate_window_seconds=raw["duplicateWindowSeconds"],
        ttl_seconds=raw["ttlSeconds"],
        dead_letter_on_expiry=raw["deadLetterOnExpiry"],
    )


@cache
def topology() -> Topology:
    """The topology of this deployment; read once."""
    return _read(_FILE)
