"""The one interface of every connector, whatever its protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from shared.errors import DeviceNotSupported
from shared.signals import Reading, SignalValue, Value

if TYPE_CHECKING:
    from shared.clock import Clock
    from shared.connectors.oauth import TokenCache
    from shared.connectors.profiles import Profile
    from shared.outgoing.http import OutgoingHttp

__all__ = ["BaseIoTConnector", "Capabilities", "ConnectionTest", "Connector", "Setup"]


@dataclass(frozen=True, slots=True)
class ConnectionTest:
    """What a person sees after pressing *test connection*."""

    success: bool
    """The device answered something that can be read."""
    status: str
    """``connected``, or the ``DeviceError.code`` of what went wrong."""
    response_time_ms: float | None
    supported_features: tuple[str, ...]
    """From what was read: ``temperature``, ``humidity``, ``energy``, ``door`` ..."""
    error_details: str | None
    """A sentence for a person; beside a success, a hint."""
    signals: Mapping[str, SignalValue] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the device can tell, from its mapping and one read."""

    supports_realtime: bool
    supports_humidity: bool
    supports_energy_monitoring: bool
    supports_remote_control: bool
    temperature_zones: tuple[str, ...]
    signals: tuple[str, ...]


class Connector(ABC):
    """Reads one device. None of the methods raises for a device's problem: it is part of the answer."""

    @abstractmethod
    async def test_connection(self) -> ConnectionTest:
        """Try it now and say what was found, signal by signal."""

    @abstractmethod
    async def get_current_reading(self) -> Reading:
        """Read the device once. A failure is a reading of quality ``bad`` with ``reason`` and ``error_code``."""

    @abstractmethod
    async def get_capabilities(self) -> Capabilities:
        """What the mapping names and one read confirms."""

    async def write(self, key: str, value: Value) -> SignalValue:
        """Write one signal that its mapping calls ``writable``, and read it back.

        ``value`` is in the unit inside (Celsius), as readings show it. Unlike the methods above, this one raises.

        Raises:
            InvalidInput: there is no such signal, it is not writable, or the value is out of its range.
            DeviceError: it could not be written; the sentence says whether it may have been all the same.
        """
        raise DeviceNotSupported(f"{key} cannot be written: devices of this protocol are only read.")

    async def close(self) -> None:
        """Give back what this connector holds for itself; the shared pool stays open."""
        return


BaseIoTConnector = Connector
"""The name the implementation guide uses."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a connector module gets to build from."""

    protocol: str
    equipment_id: str
    config: Mapping[str, Any] = field(repr=False)
    profile: Profile
    http: OutgoingHttp
    clock: Clock
    tokens: TokenCache
    owns_http: bool = False
    """The pool was made for this connector alone, which closes it."""
