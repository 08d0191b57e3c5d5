"""What a device or server tells of itself when it is asked what there is; the same for every protocol that can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.signals import Value

__all__ = ["DiscoveredDevice", "DiscoveredNode", "Discovery"]


@dataclass(frozen=True, slots=True)
class DiscoveredDevice:
    """A device whose type we know, with a mapping that is ready to be used."""

    name: str
    type: str
    """As the standard calls it: ``CombiSteamerDeviceType``."""
    profile: str
    """The protocol name that knows this type."""
    address: str
    signals: Mapping[str, Mapping[str, Any]]
    """The mapping of docs/equipment-mapping.md."""


@dataclass(frozen=True, slots=True)
class DiscoveredNode:
    """One value that can be mapped."""

    at: str
    path: str
    """Names from the top, joined by ``/``: for people."""
    data_type: str
    value: Value = None
    unit: str | None = None
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Discovery:
    """All that was found within the limits."""

    devices: tuple[DiscoveredDevice, ...] = ()
    nodes: tuple[DiscoveredNode, ...] = field(default=())
    notes: tuple[str, ...] = ()
    """What a person should know: where it stopped and why."""
