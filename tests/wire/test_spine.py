"""The whole way over Azure's SDKs: an oven is read, an alert is raised, a subscriber is told - also in trouble.

Every run has one Azure of its own, one oven and one receiver that speak real HTTP. After each fault the same must hold
in the end: every reading stored once, one alert, and each notification of it received, duplicates under one webhook-id.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from local.functions import QueueFunction
from local.invocation import as_coroutine, queue_message
from shared import services as services_module
from shared.clock import ManualClock
from shared.errors import OvenbridgeError
from shared.services import Services
from shared.settings import Settings
from tests.api import Api, cloud_functions, run_timer
from tests.unit.callbacks.receiver import Receiver, receiving
from tests.wire.azure import AzureWire
from tests.wire.cosmos import Fault

OVEN = "deck-1"
LIMIT = 250


@dataclass
class Oven:
    """Answers like the guide's ovens."""

    url: str = ""
    temperature: float = 180.0

    async def answer(self, request: web.BaseRequest) -> web.Response:
        return web.json_response({"temperature": self.temperature, "status": "running"})


@asynccontextmanager
async def baking() -> AsyncIterator[Oven]:
    oven = Oven()
    runner = web.ServerRunner(web.Server(oven.answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        oven.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield oven
    finally:
        await runner.cleanup()


@dataclass
class Plant:
    """One Azure, one house, one oven, one receiver."""

    azure: AzureWire
    house: Services
    clock: ManualClock
    oven: Oven
    receiver: Receiver
    api: Api = field(default_factory=Api)

    async def set_up(self) -> None:
        """Oven, rule and callback, through the API."""
        equipment = {"id": OVEN, "name": "Deck 1", "temperature_zones": 1, "poll_interval_seconds": 10}
        assert (await self.api.post("/api/v1/equipment", json=equipment)).status == 201
        iot = {"protocol": "rest_api", "endpoint": self.oven.url, "credentials": {"token": "oven-secret"}}
        answer = await self.api.post(f"/api/v1/equipment/{OVEN}/iot-config", json=iot)
        assert answer.json()["success"] is True, answer.body
        rule = {"equipment_id": OVEN, "signal": "temperature.cabinet", "kind": "high", "limit": LIMIT}
        assert (await self.api.post("/api/v1/alert-rules", json={**rule, "severity": "critical"})).status == 201
        for number in range(2):
            wanted = {"eventType": "ALERT_RAISED", "url": f"{self.receiver.url}/{number}"}
            assert (await self.api.post("/ffwebservices/api/v2/callbacks", json=wanted)).status == 201
        await self.work()

    async def poll(self, temperature: float) -> None:
        """Ten seconds pass and the oven is read."""
        self.oven.temperature = temperature
        self.clock.advance(10)
        await self.timer("plan_polls")
        await self.work()

    async def timer(self, name: str) -> None:
        """As the host fires it: a failure is logged, the next firing comes."""
        try:
            await run_timer(name)
        except OvenbridgeError:
            self.clock.advance(10)
            await run_timer(name)

    async def work(self) -> None:
        """What the Functions host does with the queues, until nothing is due."""
        queues = [f for f in cloud_functions() if isinstance(f, QueueFunction)]
        while due := [f for f in queues if self.azure.service_bus.depth(f.queue)]:
            for function in due:
                for received in await self.house.receiver.receive(function.queue, 16):
                    try:
                        await as_coroutine(function.handler)(queue_message(received))
                    except OvenbridgeError:
                        await self.house.receiver.abandon(function.queue, received)
                    else:
                        await self.house.receiver.complete(function.queue, received)

    async def let_time_heal(self) -> None:
        """Locks expire, sweeps find what was left, retries become due."""
        for _ in range(6):
            self.clock.advance(70)
            self.azure.service_bus.advance(0)
            for name in ("sweep_deliveries", "watch_alerts"):
                await self.timer(name)
            await self.work()

    async def readings(self) -> list[dict[str, Any]]:
        """All that are stored."""
        found: list[dict[str, Any]] = self.azure.cosmos.documents("readings")
        return [document for document in found if document["equipmentId"] == OVEN]

    async def alerts(self) -> list[dict[str, Any]]:
        """As the API lists them."""
        answer = await self.api.get(f"/api/v1/equipment/iot-alerts?equipment_id={OVEN}")
        found: list[dict[str, Any]] = answer.json()["alerts"]
        return found


@asynccontextmanager
async def plant(folder: Path, clock: ManualClock) -> AsyncIterator[Plant]:
    with AzureWire(clock=clock) as azure:
        settings = Settings(
            data_dir=folder,
            allow_private_targets=True,
            allow_http_targets=True,
            access_mode="developer",
            serves_loopback=True,
            azure=azure.connections,
        )
        house = Services(settings, clock)
        services_module.use(house)
        try:
            async with baking() as oven, receiving() as receiver:
                yield Plant(azure, house, clock, oven, receiver)
        finally:
            services_module.use(None)
            await house.close()


Trouble = Callable[[Plant], object]


def _cosmos(**fault: Any) -> Trouble:
    return lambda at: at.azure.cosmos.fail(Fault(**fault))


def _bus(action: Any, moment: Any, **fault: Any) -> Trouble:
    return lambda at: at.azure.service_bus.fail(action, moment, **fault)


def _links_taken(at: Plant) -> None:
    for queue in ("poll-batches", "callback-deliveries"):
        at.azure.service_bus.detach(queue)


def _all_cut(at: Plant) -> None:
    at.azure.service_bus.cut()


FAULTS: dict[str, Trouble] = {
    "nothing goes wrong": lambda at: None,
    "cosmos throttles some writes": _cosmos(status=429, retry_after_ms=50, times=4, operation="create"),
    "cosmos throttles for long": _cosmos(status=429, retry_after_ms=10_000, times=3, container="readings"),
    "cosmos is away once": _cosmos(status=503, times=2),
    "cosmos is away for deliveries": _cosmos(status=503, times=12, container="deliveries"),
    "the socket is cut before a reading is stored": _cosmos(cut="before", container="readings", operation="create"),
    "the socket is cut after a reading was stored": _cosmos(cut="after", container="readings", operation="create"),
    "the answer to a confirmation is lost": _cosmos(cut="after", container="deliveries", operation="patch"),
    "half of an answer": _cosmos(truncate=True, container="alertStates"),
    "service bus is busy": _bus("refuse", "send", times=2),
    "the answer to a send is lost": _bus("lose answer", "send", queue="callback-deliveries"),
    "a message comes twice": _bus("double", "send", queue="callback-deliveries"),
    "the lock is lost in the middle of a delivery": _bus(
        "refuse", "settle", queue="callback-deliveries", condition="com.microsoft:message-lock-lost"
    ),
    "the socket is cut with a message in hand": _bus("cut", "settle", queue="callback-deliveries"),
    "the links are taken away": _links_taken,
    "every connection is cut": _all_cut,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_from_oven_to_callback(tmp_path: Path, clock: ManualClock, fault: Trouble) -> None:
    async with plant(tmp_path, clock) as at:
        await at.set_up()
        await at.poll(180)
        fault(at)
        for temperature in (260, 262, 261):
            await asyncio.wait_for(at.poll(temperature), 60)
        await at.let_time_heal()

        times = [document["ts"] for document in await at.readings()]
        assert len(times) == len(set(times)) >= 3, (
            "every reading once; a poll that cannot be stored for long is given up"
        )
        alerts = await at.alerts()
        # Nobody reads the oven while time heals, and that is told, too.
        (alert,) = [alert for alert in alerts if alert["alert_type"] != "data_stale"]
        assert (alert["alert_type"], alert["severity"]) == ("temperature_deviation", "critical")
        arrived = Counter((seen.path, seen.webhook_id) for seen in at.receiver.seen)
        assert Counter(path for path, _ in arrived) == {"/0": len(alerts), "/1": len(alerts)}, arrived
        assert max(arrived.values()) <= 2, arrived
        statuses = [document["status"] for document in at.azure.cosmos.documents("deliveries")]
        assert statuses == ["confirmed"] * 2 * len(alerts)
        assert at.azure.cosmos.cross_partition_orders == []
        assert (await at.api.get("/api/v1/audit/verify")).json()["intact"] is True
        changed = {entry.operation for entry in at.azure.cosmos.journal.entries if entry.container == "audit"}
        assert not changed & {"upsert", "replace", "patch", "delete"}, "the audit log is only added to"
