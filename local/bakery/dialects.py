"""How ovens of different makes say the same thing, and what has to be configured so that it is understood.

Each dialect renders the simulation as its maker's API would, guards it with its maker's kind of authentication, and
knows the IoT configuration that a person would enter for it.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from local.bakery.physics import OvenSimulation
from shared.clock import iso

__all__ = ["DIALECTS", "SENTINEL", "Dialect", "Said", "core_probe"]

SENTINEL = 32767
"""What an analogue input reads with its sensor torn off."""

PROBE_HOLDER = 31.0
"""Celsius."""

USER = "bakery"
SECRET = "sample-oven-secret"  # noqa: S105 - the sample ovens' own, on loopback
TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path


@dataclass(frozen=True, slots=True)
class Said:
    """What a dialect renders from."""

    oven: OvenSimulation
    at: datetime
    broken_sensor: bool = False
    """The core probe is torn off."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One make."""

    name: str
    path: str
    """Where the data is; ``{equipment_id}`` is filled in."""
    render: Callable[[Said], dict[str, Any]]
    credentials: dict[str, str] = field(default_factory=dict)
    """As they are entered in the IoT configuration."""
    signals: dict[str, Any] | None = None
    """The mapping; ``None``: it speaks the implementation guide's own field names."""
    options: dict[str, Any] = field(default_factory=dict)
    """Further ``additional_config``."""

    def admits(self, headers: Mapping[str, str], tokens: frozenset[str]) -> bool:
        """Does the caller carry what this make asks for?"""
        given = headers.get("Authorization", "")
        if self.name == "guide":
            return _same(given, f"Bearer {SECRET}")
        if self.name == "apikey":
            return _same(headers.get("X-API-Key", ""), SECRET)
        if self.name == "basic":
            return _same(given, "Basic " + base64.b64encode(f"{USER}:{SECRET}".encode()).decode())
        if self.name == "oauth":
            return given.startswith("Bearer ") and given[7:] in tokens
        return True

    def iot_config(self) -> dict[str, Any]:
        """``additional_config`` for this make."""
        config: dict[str, Any] = {"data_endpoint": self.path, "timeout": 5, **self.options}
        if self.signals is not None:
            config["signals"] = self.signals
        return config


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _fahrenheit(celsius: float) -> float:
    return round(celsius * 9 / 5 + 32, 1)


def core_probe(oven: OvenSimulation, *, broken_sensor: bool) -> float | None:
    """What the core probe says; it hangs in its holder when the oven is empty. ``None``: it is torn off."""
    if broken_sensor:
        return None
    return round(PROBE_HOLDER if oven.core is None else oven.core, 1)


def _core(said: Said) -> float | None:
    return core_probe(said.oven, broken_sensor=said.broken_sensor)


def _guide(said: Said) -> dict[str, Any]:
    oven = said.oven
    zones = {"cabinet": round(oven.temperature, 1), "setpoint": round(oven.set_point, 1)}
    if (core := _core(said)) is not None:
        zones["core"] = core
    body = {
        "timestamp": iso(said.at),
        "temperature": round(oven.temperature, 1),
        "temperature_zones": zones,
        "humidity": round(oven.humidity, 1),
        "operational_status": oven.status,
        "cycle_stage": oven.stage,
        "cycle_progress_percentage": _rounded(oven.progress),
        "time_remaining_minutes": _rounded(oven.minutes_left),
        "energy_consumption_kwh": round(oven.energy, 2),
        "motor_speed": oven.fan,
        "door_status": "open" if oven.door_open else "closed",
        "steam_level": round(oven.steam, 1),
        "product_weight": round(oven.load, 1),
        "active_batch_id": f"B-{oven.batch_number}" if oven.batch_name else None,
        "active_batch_name": oven.batch_name,
    }
    return {key: value for key, value in body.items() if value is not None}


def _fahrenheit_deck(said: Said) -> dict[str, Any]:
    """An American deck oven: nested, Fahrenheit, its own words."""
    oven = said.oven
    words = {"idle": "STBY", "cleaning": "CLEAN"}
    return {
        "oven": {
            "temp": {"deck": _fahrenheit(oven.temperature), "setpt": _fahrenheit(oven.set_point)},
            "probe": None if (core := _core(said)) is None else _fahrenheit(core),
            "rh": round(oven.humidity),
            "door": "open" if oven.door_open else "closed",
        },
        "run": {
            "state": words.get(oven.stage, "RUN"),
            "phase": oven.stage,
            "pct": _rounded(oven.progress),
            "sec_left": round((oven.minutes_left or 0) * 60),
            "batch": {"no": oven.batch_number, "label": oven.batch_name or ""},
        },
        "meter_kwh": round(oven.energy, 2),
        "updated": iso(said.at),
    }


def _tags(said: Said) -> dict[str, Any]:
    """A gateway that lists tags."""
    oven = said.oven
    values = {
        "PV_CHAMBER": round(oven.temperature, 2),
        "SV_CHAMBER": round(oven.set_point, 2),
        "PV_CORE": SENTINEL if said.broken_sensor else _core(said),
        "RH": round(oven.humidity, 1),
        "DOOR": int(oven.door_open),
        "MODE": {"idle": 0, "cleaning": 9}.get(oven.stage, 1),
        "STEP": oven.stage,
        "PROGRESS": _rounded(oven.progress),
        "KWH": round(oven.energy, 2),
        "FAN": oven.fan,
    }
    return {"ts": iso(said.at), "tags": [{"name": name, "value": value} for name, value in values.items()]}


def _registers(said: Said) -> dict[str, Any]:
    """A controller behind a web card: tenths of degrees, sentinels, numbers for words."""
    oven = said.oven
    core = _core(said)
    stages = {"idle": 0, "preheating": 1, "loading": 2, "baking": 3, "unloading": 4, "cleaning": 5}
    return {
        "unit": 1,
        "ai": [
            round(oven.temperature * 10),
            round(oven.set_point * 10),
            SENTINEL if core is None else round(core * 10),
            round(oven.humidity * 10),
        ],
        "di": {"door": oven.door_open},
        "stage": stages[oven.stage],
        "wh": round(oven.energy * 1000),
        "prog": round(oven.progress or 0),
        "batch": oven.batch_name or "",
    }


def _cloud_units(said: Said) -> dict[str, Any]:
    """A vendor's cloud that lists all units of an account."""
    oven = said.oven
    return {
        "updatedAt": iso(said.at),
        "units": [
            {"id": 7, "temps": {"cabinet": 20.0}, "state": "off"},
            {
                "id": 42,
                "state": oven.status,
                "temps": {
                    "cabinet": round(oven.temperature, 1),
                    "target": round(oven.set_point, 1),
                    "core": _core(said),
                },
                "climate": {"humidity": round(oven.humidity, 1), "steam": round(oven.steam, 1)},
                "cycle": {
                    "stage": oven.stage,
                    "progress": _rounded(oven.progress),
                    "minutesLeft": _rounded(oven.minutes_left),
                },
                "energy": {"kWh": round(oven.energy, 2)},
                "doorOpen": oven.door_open,
                "batch": {"id": f"B-{oven.batch_number}", "name": oven.batch_name or ""},
            },
        ],
    }


def _rounded(value: float | None) -> float:
    return round(value or 0.0, 1)


_UNIT = "units[id=42]"

DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect("guide", "/api/v1/equipment/{equipment_id}/data", _guide, {"token": SECRET}),
        Dialect(
            "fahrenheit",
            "/telemetry",
            _fahrenheit_deck,
            signals={
                "temperature.cabinet": {"at": "oven.temp.deck", "unit": "F", "min": -40, "max": 800},
                "temperature.setpoint": {"at": "oven.temp.setpt", "unit": "F"},
                "temperature.core": {"at": "oven.probe", "unit": "F"},
                "humidity": "oven.rh",
                "door.open": {"at": "oven.door", "map": {"open": True, "closed": False}},
                "status": {"at": "run.state", "map": {"RUN": "running", "STBY": "idle", "CLEAN": "cleaning"}},
                "cycle.stage": "run.phase",
                "cycle.progress": "run.pct",
                "time.remaining": {"at": "run.sec_left", "scale": 1 / 60, "digits": 1},
                "energy.kwh": "meter_kwh",
                "batch.id": "run.batch.no",
                "batch.name": "run.batch.label",
            },
        ),
        Dialect(
            "apikey",
            "/gateway/tags",
            _tags,
            {"api_key": SECRET},
            signals={
                "temperature.cabinet": {"at": "tags[name=PV_CHAMBER].value", "unit": "C"},
                "temperature.setpoint": {"at": "tags[name=SV_CHAMBER].value", "unit": "C"},
                "temperature.core": {"at": "tags[name=PV_CORE].value", "unit": "C", "invalid": [SENTINEL]},
                "humidity": "tags[name=RH].value",
                "door.open": {"at": "tags[name=DOOR].value", "map": {"1": True, "0": False}},
                "status": {"at": "tags[name=MODE].value", "map": {"0": "idle", "1": "running", "9": "cleaning"}},
                "cycle.stage": "tags[name=STEP].value",
                "cycle.progress": "tags[name=PROGRESS].value",
                "energy.kwh": "tags[name=KWH].value",
                "motor.speed": "tags[name=FAN].value",
            },
        ),
        Dialect(
            "basic",
            "/card/io.json",
            _registers,
            {"username": USER, "password": SECRET},
            signals={
                "temperature.cabinet": {"at": "ai[0]", "unit": "C", "scale": 0.1, "invalid": [SENTINEL]},
                "temperature.setpoint": {"at": "ai[1]", "unit": "C", "scale": 0.1},
                "temperature.core": {"at": "ai[2]", "unit": "C", "scale": 0.1, "invalid": [SENTINEL]},
                "humidity": {"at": "ai[3]", "scale": 0.1, "digits": 1},
                "door.open": "di.door",
                "status": {
                    "at": "stage",
                    "map": {
                        "0": "idle",
                        "1": "running",
                        "2": "running",
                        "3": "running",
                        "4": "running",
                        "5": "cleaning",
                    },
                },
                "cycle.stage": {
                    "at": "stage",
                    "map": {
                        "0": "idle",
                        "1": "preheating",
                        "2": "loading",
                        "3": "baking",
                        "4": "unloading",
                        "5": "cleaning",
                    },
                },
                "cycle.progress": "prog",
                "energy.kwh": {"at": "wh", "scale": 0.001},
                "batch.name": "batch",
            },
        ),
        Dialect(
            "oauth",
            "/api/units",
            _cloud_units,
            {"client_id": USER, "client_secret": SECRET, "token_url": TOKEN_PATH},
            signals={
                "temperature.cabinet": {"at": f"{_UNIT}.temps.cabinet", "unit": "C"},
                "temperature.setpoint": {"at": f"{_UNIT}.temps.target", "unit": "C"},
                "temperature.core": {"at": f"{_UNIT}.temps.core", "unit": "C"},
                "humidity": f"{_UNIT}.climate.humidity",
                "steam.level": f"{_UNIT}.climate.steam",
                "door.open": f"{_UNIT}.doorOpen",
                "status": f"{_UNIT}.state",
                "cycle.stage": f"{_UNIT}.cycle.stage",
                "cycle.progress": f"{_UNIT}.cycle.progress",
                "time.remaining": f"{_UNIT}.cycle.minutesLeft",
                "energy.kwh": f"{_UNIT}.energy.kWh",
                "batch.id": f"{_UNIT}.batch.id",
                "batch.name": f"{_UNIT}.batch.name",
            },
        ),
    )
}
