"""Which ovens stand in the sample bakery, and what is registered for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from local.bakery.dialects import DIALECTS, Dialect

__all__ = ["OVENS", "SampleOven"]

POLL_SECONDS = 10
SITE = "sample-bakery"


@dataclass(frozen=True, slots=True)
class SampleOven:
    """One oven of the plant."""

    id: str
    """Stable over restarts."""
    name: str
    make: str
    model: str
    dialect_name: str
    limit: float
    """Celsius in the cabinet from which an alert is due."""
    drifts: bool = False
    faults: str = ""

    @property
    def number(self) -> int:
        """1 for ``horno-1``; the seed of its simulation is made of it."""
        return int(self.id.rpartition("-")[2])

    @property
    def dialect(self) -> Dialect:
        """How it speaks."""
        return DIALECTS[self.dialect_name]

    def equipment(self) -> dict[str, Any]:
        """The body that registers it."""
        return {
            "id": self.id,
            "name": self.name,
            "type": "oven",
            "site": SITE,
            "manufacturer": self.make,
            "model": self.model,
            "serial_number": f"SB-{2000 + self.number}",
            "firmware_version": "3.2.1",
            "location": f"Bakehouse, bay {self.number}",
            "temperature_zones": 2,
            "supports_humidity": True,
            "supports_energy_monitoring": True,
        }

    def iot_config(self, port: int) -> dict[str, Any]:
        """The body that connects it."""
        return {
            "protocol": "rest_api",
            "endpoint": "http://127.0.0.1",
            "port": port,
            "credentials": self.dialect.credentials,
            "additional_config": self.dialect.iot_config(),
            "supports_realtime": True,
            "poll_interval_seconds": POLL_SECONDS,
        }

    def rules(self) -> list[dict[str, Any]]:
        """The bodies of its alert rules, beside those that every machine has."""
        too_hot = {
            "equipment_id": self.id,
            "signal": "temperature.cabinet",
            "kind": "high",
            "limit": self.limit,
            "deadband": 5,
            "severity": "critical",
        }
        left_open = {
            "equipment_id": self.id,
            "signal": "door.open",
            "kind": "equals",
            "equals": True,
            "on_delay_seconds": 30,
            "severity": "warning",
        }
        off_set_point = {
            "equipment_id": self.id,
            "signal": "temperature.cabinet",
            "kind": "deviation",
            "setpoint_signal": "temperature.setpoint",
            "limit": 15,
            "deadband": 5,
            "direction": "above",
            "when": {"signal": "cycle.stage", "equals": "baking"},
            "on_delay_seconds": 10,
            "severity": "warning",
        }
        return [too_hot, left_open, *((off_set_point,) if self.drifts else ())]


OVENS = (
    SampleOven("horno-1", "Horno Principal #1", "Sample Ovens", "Deck 400", "guide", 258, drifts=True),
    SampleOven("horno-2", "Deck Oven East #2", "Yankee Decks", "YD-7", "fahrenheit", 265, faults="slow,error"),
    SampleOven("horno-3", "Rack Oven #3", "Gateway Bakes", "GB-12", "apikey", 265, faults="sensor,slow"),
    SampleOven("horno-4", "Stone Oven #4", "Old Stone", "S-90", "basic", 265, faults="offline,error,sensor"),
    SampleOven("horno-5", "Convection Oven #5", "Cloudy Kitchens", "CK-5", "oauth", 265, faults="slow,offline"),
)
