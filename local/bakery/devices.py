"""The plant's own devices: what a relay reads, because no cloud could."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local.bakery import deck, proofer
from local.bakery.plant import SITE

__all__ = ["DEVICES", "PROFILE", "PROFILE_ID", "RELAY_ID", "SampleDevice"]

RELAY_ID = "sample-bakery"
PROFILE_ID = "bakehouse"


@dataclass(frozen=True, slots=True)
class SampleDevice:
    """One device, registered at the hub and read by the relay."""

    id: str
    """Stable over restarts."""
    name: str
    make: str
    model: str
    kind: str
    module: str
    """Its process is ``python -m local.bakery.<module>``."""
    speaks: str
    """For people."""
    protocol: str
    scheme: str
    config: Mapping[str, Any]
    """``additional_config``."""
    every_seconds: int = 5
    remote_control: bool = False
    faults: str = ""
    seed: int = 0
    own_fields: Mapping[str, Any] = field(default_factory=dict)

    def equipment(self) -> dict[str, Any]:
        """The body that registers it."""
        return {
            "id": self.id,
            "name": self.name,
            "type": self.kind,
            "site": SITE,
            "manufacturer": self.make,
            "model": self.model,
            "serial_number": f"SB-{3000 + self.seed}",
            "location": "Bakehouse, back row",
            "relay_id": RELAY_ID,
            "supports_humidity": True,
            "supports_remote_control": self.remote_control,
            **self.own_fields,
        }

    def iot_config(self, port: int) -> dict[str, Any]:
        """The body that connects it."""
        return {
            "protocol": self.protocol,
            "endpoint": f"{self.scheme}://127.0.0.1",
            "port": port,
            "additional_config": dict(self.config),
            "supports_realtime": True,
            "poll_interval_seconds": self.every_seconds,
        }

    def rules(self) -> list[dict[str, Any]]:
        """The bodies of its alert rules, beside those that every machine has."""
        left_open = {
            "equipment_id": self.id,
            "signal": "door.open",
            "kind": "equals",
            "equals": True,
            "on_delay_seconds": 60,
            "severity": "warning",
        }
        return [left_open]


DEVICES = (
    SampleDevice(
        "combi-1",
        "Combi steamer #1",
        "Sample Steamers",
        "CS-10",
        "combi",
        module="combi",
        speaks="OPC UA",
        protocol="opc30200-combi",
        scheme="opc.tcp",
        config={"security_policy": "None", "timeout": 5},
        faults="sensor,error",
        seed=1,
    ),
    SampleDevice(
        "deck-1",
        "Deck oven #1",
        "Sample Decks",
        "D-3",
        "oven",
        module="deck",
        speaks="Modbus TCP",
        protocol="modbus",
        scheme="modbus+tcp",
        config={"unit": deck.UNIT, "timeout": 5, "signals": deck.SIGNALS},
        remote_control=True,
        faults="sensor,error",
        seed=2,
        own_fields={"supports_energy_monitoring": True},
    ),
    SampleDevice(
        "proofer-1",
        "Proofer #1",
        "Sample Proofers",
        "P-6",
        "proofer",
        module="proofer",
        speaks="MQTT",
        protocol="mqtt",
        scheme="mqtt",
        config={"path": proofer.TOPIC, "timestamp_at": "ts", "timeout": 5, "signals": proofer.SIGNALS},
        faults="sensor,offline",
        seed=3,
    ),
)

PROFILE = {
    "tags": {
        "core_temp": {"equipment_id": "combi-1", "signal": "temperature.core", "digits": 1},
        "deck_temp": {"equipment_id": "deck-1", "signal": "temperature.deck1", "digits": 1},
    },
    "on_missing": "null",
}
"""What a work instruction may ask on site."""
