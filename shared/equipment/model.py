"""A machine as Ovenbridge knows it: what it is, and how it is read. Never its credentials, only where they lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from shared.clock import iso, parse_iso
from shared.storage import Document

__all__ = ["DEFAULT_POLL_SECONDS", "Equipment"]

DEFAULT_POLL_SECONDS = 30

_TEXTS = {
    "site": "site",
    "type": "type",
    "model": "model",
    "manufacturer": "manufacturer",
    "serial_number": "serialNumber",
    "firmware_version": "firmwareVersion",
    "location": "location",
    "profile": "profile",
    "protocol": "protocol",
    "endpoint": "endpoint",
    "port": "port",
    "credential_ref": "credentialRef",
    "relay_id": "relayId",
    "relay_credential_ref": "relayCredentialRef",
}
"""Attribute -> property; left out of the document when there is none."""

_ALWAYS = {
    "iot_enabled": "iotEnabled",
    "iot_config": "iotConfig",
    "polled_from": "polledFrom",
    "supports_realtime": "supportsRealtime",
    "supports_humidity": "supportsHumidity",
    "supports_energy_monitoring": "supportsEnergyMonitoring",
    "supports_remote_control": "supportsRemoteControl",
    "poll_interval_seconds": "pollIntervalSeconds",
    "temperature_zones": "temperatureZones",
    "shared": "shared",
}


@dataclass(frozen=True, slots=True)
class Equipment:
    """One machine of the registry; the fields of the implementation guide."""

    id: str
    name: str
    created_at: datetime
    updated_at: datetime
    site: str | None = None
    type: str | None = None
    model: str | None = None
    manufacturer: str | None = None
    serial_number: str | None = None
    firmware_version: str | None = None
    location: str | None = None
    profile: str | None = None
    """Whose default alert rules hold: ``deck_oven``, ``combi`` ..."""
    iot_enabled: bool = False
    protocol: str | None = None
    endpoint: str | None = None
    port: int | None = None
    credential_ref: str | None = None
    """Name of the credential set in the vault; several machines may name the same one."""
    credentials_set_at: datetime | None = None
    iot_config: Mapping[str, Any] = field(default_factory=dict)
    """The guide's ``additional_config``: paths, timeout, TLS, and the ``signals`` mapping. No secrets."""
    polled_from: Literal["cloud", "relay"] = "cloud"
    relay_id: str | None = None
    """Which relay reads it, where ``polled_from`` is ``relay``."""
    relay_credential_ref: str | None = None
    """Under which name the relay finds its credentials on site, where they do not lie in our vault."""
    supports_realtime: bool = True
    supports_humidity: bool = False
    supports_energy_monitoring: bool = False
    supports_remote_control: bool = False
    poll_interval_seconds: int = DEFAULT_POLL_SECONDS
    """At least 10; at least 1 where a relay reads it."""
    temperature_zones: int = 1
    shared: bool = False
    """Somebody else's machine, shared with us: who is told of all our machines is not told of this one."""

    def to_document(self) -> Document:
        """The stored form."""
        document: Document = {"id": self.id, "name": self.name}
        document |= {key: getattr(self, name) for name, key in _ALWAYS.items()}
        document |= {key: value for name, key in _TEXTS.items() if (value := getattr(self, name)) is not None}
        if self.credentials_set_at is not None:
            document["credentialsSetAt"] = iso(self.credentials_set_at)
        document["createdAt"] = iso(self.created_at)
        document["updatedAt"] = iso(self.updated_at)
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Equipment:
        """The machine back from its stored form."""
        given = {name: document[key] for name, key in (_TEXTS | _ALWAYS).items() if key in document}
        set_at = document.get("credentialsSetAt")
        return cls(
            id=document["id"],
            name=document["name"],
            created_at=parse_iso(document["createdAt"]),
            updated_at=parse_iso(document["updatedAt"]),
            credentials_set_at=parse_iso(set_at) if set_at is not None else None,
            **given,
        )

    @property
    def stale_after_seconds(self) -> float:
        """An older reading says nothing about now: three intervals, and 20 s for a slow answer."""
        return 3.0 * self.poll_interval_seconds + 20.0
