"""What a process remembers of OPC UA servers between two polls, so that a poll is one connection and one read.

Nothing here is believed without being checked: a certificate is found by its own digest, namespaces are read again with
every poll, and a mapping is forgotten as soon as its nodes are gone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from shared.connectors.opc_ua_application import OpcUaApplication
    from shared.connectors.opc_ua_plan import NodeSignal

__all__ = ["OpcUaMemory"]

MOST = 2_000
"""Servers, or devices, of each kind; then it begins anew."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class OpcUaMemory:
    """Shared by all OPC UA connectors of a process."""

    application: OpcUaApplication | None = None
    """Our own certificate; ``None``: only servers without security can be read."""
    certificates: dict[str, bytes] = field(default_factory=dict)
    """Servers' certificates in DER by SHA-256 fingerprint."""
    namespaces: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """URIs by index, by the server's URL."""
    mappings: dict[tuple[str, ...], tuple[NodeSignal, ...]] = field(default_factory=dict)
    """Nodes of devices whose type we know, by server, profile and device."""

    @staticmethod
    def keep(shelf: dict[K, V], key: K, value: V) -> V:
        """Remember; bounded."""
        if len(shelf) >= MOST:
            shelf.clear()
        shelf[key] = value
        return value
