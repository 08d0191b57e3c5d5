"""A plant for tests: a spool on disk, and machines that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.clock import Clock
from shared.connectors import Capabilities, ConnectionTest, Connector
from shared.connectors.base import ServerCertificate
from shared.json_text import load
from shared.relay.messages import Device
from shared.relay.plant_latest import LatestReadings
from shared.relay.plant_machine import Plant
from shared.relay.plant_secrets import SiteSecrets
from shared.relay.plant_spool import Spool
from shared.secrets.file_vault import FileVault
from shared.signals import Reading, SignalValue, Value

Behaviour = Callable[["Oven"], Awaitable[Reading]]


def device(equipment_id: str = "oven-1", **more: Any) -> Device:
    fields = {"name": "Oven", "protocol": "rest_api", "poll_interval_seconds": 1, "timeout_seconds": 5.0, **more}
    return Device.model_validate({"equipment_id": equipment_id, **fields})


@dataclass
class Oven:
    """A machine."""

    name: str
    clock: Clock
    behaviour: Behaviour
    times: list[float] = field(default_factory=list)
    opened: list[Mapping[str, Any]] = field(default_factory=list)
    closed: int = 0
    written: list[tuple[str, Value]] = field(default_factory=list)
    certificate: ServerCertificate | None = None


async def sound(oven: Oven) -> Reading:
    """It answers something new at every read."""
    return Reading(oven.name, oven.clock.now(), {"temperature.cabinet": SignalValue(float(len(oven.times)), unit="C")})


class OvenConnector(Connector):
    def __init__(self, oven: Oven) -> None:
        self._oven = oven

    async def get_current_reading(self) -> Reading:
        self._oven.times.append(asyncio.get_running_loop().time())
        return await self._oven.behaviour(self._oven)

    async def test_connection(self) -> ConnectionTest:
        reading = await self.get_current_reading()
        return ConnectionTest(reading.error_code is None, "connected", 1.0, (), reading.reason, reading.values)

    async def get_capabilities(self) -> Capabilities:
        raise NotImplementedError

    async def write(self, key: str, value: Value) -> SignalValue:
        self._oven.written.append((key, value))
        return SignalValue(value)

    async def shown_certificate(self) -> ServerCertificate:
        return self._oven.certificate or await super().shown_certificate()

    async def close(self) -> None:
        self._oven.closed += 1


class Ovens:
    """Stands where ``Connectors`` stands."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.of: dict[str, Oven] = {}

    def add(self, name: str, behaviour: Behaviour = sound) -> Oven:
        oven = self.of[name] = Oven(name, self._clock, behaviour)
        return oven

    def open(self, *, protocol: str, equipment_id: str, config: Mapping[str, Any]) -> Connector:
        oven = self.of[equipment_id]
        oven.opened.append(config)
        return OvenConnector(oven)


def plant(folder: Path, clock: Clock, ovens: Any, environment: Mapping[str, str] | None = None) -> Plant:
    spool = Spool.open(folder / "spool.db", clock, max_bytes=10**8, max_days=30)
    secrets = SiteSecrets(FileVault(folder / "vault", clock), clock, environment or {})
    return Plant(ovens, secrets, spool, LatestReadings(), clock)


async def waiting(spool: Spool) -> list[dict[str, Any]]:
    """What waits, in the order in which it leaves; it is taken out."""
    found: list[dict[str, Any]] = []
    while (batch := await spool.next_batch(most=1_000, most_bytes=10**8)) is not None:
        found += [load(body) for body in batch.bodies]
        await spool.acknowledge(batch)
    return found
