"""Every make of the sample bakery is understood by the real connector, over real HTTP, guarded as its maker would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiohttp import web

from local.bakery.dialects import DIALECTS
from local.bakery.faults import LENGTHS, FaultPlan
from local.bakery.oven import OvenServer
from local.bakery.physics import OvenSimulation
from local.bakery.plant import OVENS, SampleOven
from shared.clock import SystemClock
from shared.connectors import Connectors
from shared.outgoing.http import OutgoingHttp
from shared.outgoing.targets import TargetPolicy
from shared.signals import Quality, Reading


class Standing:
    """One oven that serves on loopback, baking but standing still."""

    def __init__(self, oven: SampleOven, server: OvenServer, port: int, connectors: Connectors) -> None:
        self.oven, self.server, self.port, self._connectors = oven, server, port, connectors

    async def read(self, **other: Any) -> Reading:
        """As the hub reads it."""
        body = self.oven.iot_config(self.port)
        config = {key: body[key] for key in ("endpoint", "port", "credentials", "additional_config")} | other
        connector = self._connectors.open(protocol=body["protocol"], equipment_id=self.oven.id, config=config)
        try:
            return await connector.get_current_reading()
        finally:
            await connector.close()

    async def control(self, **wish: Any) -> httpx.Response:
        """As a person steers it."""
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.post(f"http://127.0.0.1:{self.port}/control", json=wish)


@pytest.fixture(params=OVENS, ids=lambda oven: oven.dialect_name)
async def standing(request: pytest.FixtureRequest) -> AsyncIterator[Standing]:
    oven: SampleOven = request.param
    simulation = OvenSimulation(3)
    while simulation.stage != "baking" or simulation.stage_seconds < 300 or simulation.door_open:
        simulation.advance(1)
    server = OvenServer(oven.dialect, oven.name, simulation, FaultPlan(1, ()), speed=0)
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    http = OutgoingHttp(TargetPolicy(allow_private=True, allow_http=True))
    try:
        yield Standing(oven, server, runner.addresses[0][1], Connectors(http, SystemClock()))
    finally:
        await http.close()
        await runner.cleanup()


async def test_is_read_with_every_value_good(standing: Standing) -> None:
    reading = await standing.read()
    assert (reading.error_code, reading.reason) == (None, None)
    assert {k: v.reason for k, v in reading.values.items() if v.quality is not Quality.GOOD} == {}
    simulation = standing.server.simulation
    values = {key: value.value for key, value in reading.values.items()}
    assert values["temperature.cabinet"] == pytest.approx(simulation.temperature, abs=0.06)
    assert values["temperature.setpoint"] == pytest.approx(simulation.set_point, abs=0.06)
    assert values["temperature.core"] == pytest.approx(simulation.core, abs=0.06)
    assert values["humidity"] == pytest.approx(simulation.humidity, abs=0.6)
    assert values["energy.kwh"] == pytest.approx(simulation.energy, abs=0.01)
    assert values["cycle.progress"] == pytest.approx(simulation.progress, abs=0.6)
    assert (values["status"], values["cycle.stage"]) == ("running", "baking")
    assert values["batch.name"] == simulation.batch_name if "batch.name" in values else True
    assert values.get("door.open") is False


async def test_an_empty_oven_is_read_well_too(standing: Standing) -> None:
    while standing.server.simulation.stage != "idle":
        standing.server.simulation.advance(1)
    reading = await standing.read()
    assert reading.quality is Quality.GOOD, reading
    assert reading.values["status"].value == "idle"


async def test_a_torn_probe_is_one_bad_value_at_most(standing: Standing) -> None:
    await standing.control(fault="sensor")
    reading = await standing.read()
    assert reading.error_code is None
    core = reading.values.get("temperature.core")
    assert core is None or core.quality is Quality.BAD
    assert reading.values["temperature.cabinet"].quality is Quality.GOOD


async def test_wrong_credentials_are_refused(standing: Standing) -> None:
    if not standing.oven.dialect.credentials:
        assert standing.oven.dialect_name == "fahrenheit", "only one make is open"
        return
    credentials = dict.fromkeys(standing.oven.dialect.credentials, "wrong") | {
        key: value for key, value in standing.oven.dialect.credentials.items() if key == "token_url"
    }
    reading = await standing.read(credentials=credentials)
    assert reading.error_code == "authentication_failed"


@pytest.mark.parametrize(("fault", "code"), [("offline", "cannot_connect"), ("error", "unexpected_answer")])
async def test_faults_as_the_hub_sees_them(standing: Standing, fault: str, code: str) -> None:
    await standing.control(fault=fault)
    assert (await standing.read()).error_code in (code, "device_error")
    await standing.control(fault=None)
    assert (await standing.read()).error_code is None


async def test_hanging(standing: Standing) -> None:
    await standing.control(fault="hang")
    options = standing.oven.dialect.iot_config() | {"timeout": 0.2}
    assert (await standing.read(additional_config=options)).error_code == "timeout"


async def test_pinned_temperature_and_refused_wishes(standing: Standing) -> None:
    assert (await standing.control(temperature=260)).json()["temperature"] == 260
    cabinet = (await standing.read()).values["temperature.cabinet"].value
    assert cabinet == pytest.approx(260, abs=0.06)
    assert (await standing.control(fault="fire")).status_code == 400
    assert (await standing.control(temperature="hot")).status_code == 400


def test_every_dialect_stands_in_the_bakery_once() -> None:
    assert sorted(oven.dialect_name for oven in OVENS) == sorted(DIALECTS)
    assert [oven.id for oven in OVENS] == [f"horno-{n}" for n in range(1, 6)]


def test_faults_come_and_go_and_are_the_same_for_the_same_seed() -> None:
    plans = [FaultPlan(7, ("offline", "slow"), every_seconds=100) for _ in range(2)]
    seen = [[plan.at(second) for second in range(3_000)] for plan in plans]
    assert seen[0] == seen[1]
    assert set(seen[0]) == {None, "offline", "slow"}
    longest = run = 0
    for kind in seen[0]:
        run = run + 1 if kind else 0
        longest = max(longest, run)
    assert longest <= LENGTHS["offline"] + 1
    assert seen[0].count(None) > 1_500
    assert {FaultPlan(7, ()).at(second) for second in range(0, 10_000, 100)} == {None}
