"""The one interface of every connector, whatever its protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from shared.errors import DeviceNotSupported
from shared.signals import Reading, SignalValue, Value

if TYPE_CHECKING:
    from shared.clock import Clock
    from shared.connectors.discovery import Discovery
    from shared.connectors.oauth import TokenCache
    from shared.connectors.opc_ua_memory import OpcUaMemory
    from shared.connectors.profiles import Profile
    from shared.connectors.rest_shared import SharedReads
    from shared.outgoing.http import OutgoingHttp

__all__ = ["BaseIoTConnector", "Capabilities", "ConnectionTest", "Connector", "ServerCertificate", "Setup"]


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A certificate as a device shows it. Whether it may be trusted a person decides."""

    fingerprint: str
    """SHA-256, 64 lower-case hex digits."""
    thumbprint: str
    """SHA-1, as many devices show it."""
    subject: str
    valid_until: datetime
    trusted: bool
    """It is the one that is pinned in the configuration."""


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
    server_certificate: ServerCertificate | None = None
    """The one that is not trusted yet, for a person to compare."""


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

    acknowledges: ClassVar[bool] = False
    """``True``: its readings wait in a queue elsewhere until they are acknowledged. Then go on like this, and close it
    only afterwards: ``get_readings``, store them, ``acknowledge``; again while that says so."""

    @abstractmethod
    async def test_connection(self) -> ConnectionTest:
        """Try it now and say what was found, signal by signal."""

    @abstractmethod
    async def get_current_reading(self) -> Reading:
        """Read the device once. A failure is a reading of quality ``bad`` with ``reason`` and ``error_code``."""

    async def read_now(self) -> Reading:
        """Like :meth:`get_current_reading`, and never what another machine's call brought a moment ago: for somebody
        who is about to change something."""
        return await self.get_current_reading()

    async def get_readings(self) -> list[Reading]:
        """What there is to be stored, in order of time: one reading of now, or all that waited in a queue.

        Empty: the device's broker answers, and nothing came. That is no failed read, and no reading either. Readings
        out of a queue have a ``source`` of their own, made of their content; ``poll`` stands for the attempt itself.
        """
        return [await self.get_current_reading()]

    async def acknowledge(self) -> bool:
        """What ``get_readings`` answered is stored, and need not come again. ``True``: there is more, ask again."""
        return False

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

    async def discover(self, seconds: float) -> Discovery:
        """Look what there is, in at most so many seconds; a mapping is not needed.

        Raises:
            DeviceError: the device could not be asked.
        """
        raise DeviceNotSupported("Devices of this protocol cannot be asked what they have: write the mapping by hand.")

    async def shown_certificate(self) -> ServerCertificate:
        """The certificate that the device shows to anybody, for a person to compare and trust.

        Raises:
            DeviceError: the device could not be asked, or shows none.
        """
        raise DeviceNotSupported("Certificates are trusted one by one for OPC UA only.")

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
    opc_ua: OpcUaMemory | None = None
    """What the OPC UA connectors of this process share; made where it is missing."""
    shared: SharedReads | None = None
    """What the REST connectors of this process share; made where it is missing."""
    owns_http: bool = False
    """The pool was made for this connector alone, which closes it."""
