"""What Azure is asked for, and what that is estimated to cost: store calls, sends and request units, counted over the
protocol servers, and what a process costs before its first answer with the Azure adapters.

``python -m tests.benchmarks --only azure_cost``. Publishing and delivering are two houses, as they are two instances in
Azure: nothing is remembered from one to the other. Request units follow ``tests/wire/cosmos/charges.py`` (nothing of it
measured in Azure), with reads and queries counted twice for the Strong consistency that ``infra/`` chooses.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from shared.callbacks.model import NewCallback
from shared.clock import ManualClock
from shared.events import Event
from shared.services import Services
from tests.benchmarks.cold_start import ROOT, YARDSTICK
from tests.unit.callbacks.conftest import ENGINEER
from tests.unit.callbacks.mortal import alive, work_off
from tests.unit.callbacks.receiver import receiving
from tests.wire.azure import AzureWire
from tests.wire.test_spine import Plant, plant

__all__ = ["Cost", "of_deliveries", "of_polls"]

READS = ("read", "query")
STRONG_READ_FACTOR = 2.0
POLLS = 12
EVENTS = 20


@dataclass
class Cost:
    """What happened, and how much of it."""

    per: str
    count: int
    store: Counter[tuple[str | None, str]] = field(default_factory=Counter)
    charge: float = 0.0
    sends: Counter[str] = field(default_factory=Counter)

    @property
    def store_calls(self) -> float:
        """Calls of Cosmos DB for one."""
        return sum(self.store.values()) / self.count

    @property
    def request_units(self) -> float:
        """Estimated, for one."""
        return self.charge / self.count

    @property
    def queue_sends(self) -> float:
        """Send operations for one; a batch is one."""
        return sum(self.sends.values()) / self.count

    def lines(self) -> list[str]:
        """The table's rows."""
        head = f"{self.per:<38}{self.store_calls:8.2f}{self.queue_sends:8.2f}{self.request_units:9.1f}"
        calls = sorted(self.store.items(), key=str)
        shares = [(f"{name}.{operation}", number) for (name, operation), number in calls]
        shares += [(f"send to {queue}", number) for queue, number in self.sends.items()]
        return [head, *(f"    {name:<30}{number / self.count:6.2f}" for name, number in shares)]


class _Counting:
    """Everything between enter and exit."""

    def __init__(self, azure: AzureWire, cost: Cost) -> None:
        self._azure, self._cost = azure, cost
        self._counting = azure.cosmos.counting()

    def __enter__(self) -> None:
        self._store = self._counting.__enter__()
        self._from = len(self._azure.service_bus.operations)

    def __exit__(self, *error: object) -> None:
        self._counting.__exit__(None, None, None)
        for entry in self._store.data:
            self._cost.store[entry.container, entry.operation] += 1
            self._cost.charge += entry.charge * (STRONG_READ_FACTOR if entry.operation in READS else 1.0)
        for operation in self._azure.service_bus.operations[self._from :]:
            if operation.kind in ("send", "schedule"):
                self._cost.sends[operation.queue] += 1


async def of_polls(folder: Path, clock: ManualClock) -> Cost:
    """An oven with a rule and two subscribers bakes quietly and is read every ten seconds."""
    async with plant(folder, clock) as at:
        await at.set_up()
        for _ in range(3):
            await at.poll(180)
        cost = Cost("a poll with its reading", POLLS)
        with _Counting(at.azure, cost):
            await _polls(at)
    return cost


async def _polls(at: Plant) -> None:
    for number in range(POLLS):
        await at.poll(180 + number % 3)


async def of_deliveries(folder: Path, clock: ManualClock, *, callbacks: int) -> tuple[Cost, Cost]:
    """Publishing, per event, and delivering, per notification; every receiver answers 200 at once."""
    with AzureWire(clock=clock) as azure:
        async with (
            receiving() as receiver,
            alive(folder, clock, azure=azure.connections) as door,
            alive(folder, clock, azure=azure.connections) as worker,
        ):
            for number in range(callbacks):
                wanted = NewCallback("EXTERNAL", f"{receiver.url}/{number}")
                await door.callbacks.create(wanted, caller=ENGINEER)
            await _publish(door, clock, range(-2, 0))
            await work_off(worker, lambda: azure.service_bus.depth("callback-deliveries"))
            published = Cost(f"an event, told to {callbacks}", EVENTS)
            with _Counting(azure, published):
                await _publish(door, clock, range(EVENTS))
            delivered = Cost("delivering one notification", EVENTS * callbacks)
            with _Counting(azure, delivered):
                await work_off(worker, lambda: azure.service_bus.depth("callback-deliveries"))
            assert len(receiver.seen) == (EVENTS + 2) * callbacks
    return published, delivered


async def _publish(door: Services, clock: ManualClock, numbers: range) -> None:
    for number in numbers:
        await door.events.publish(Event(id=f"E{number}", type="EXTERNAL", timestamp=clock.now()))


FIRST_ANSWER = """
import asyncio, function_app
from tests.api import Api
from shared.services import services
async def main():
    answer = await Api().get("/api/v1/equipment", headers={"host": "localhost"})
    assert answer.status == 200, answer.body
    await services().close()
asyncio.run(main())
"""


def _cpu_ms(statement: str, environment: dict[str, str]) -> float:
    code = f"import time\n{statement}\nprint(time.process_time())"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return float(done.stdout.split()[-1]) * 1000


def _cold(azure: AzureWire) -> list[tuple[str, float]]:
    """CPU of fresh processes, the least of three."""
    local = {"SERVES_LOOPBACK": "true", "ACCESS_MODE": "developer"}
    with tempfile.TemporaryDirectory() as folder:
        embedded = {**local, "DATA_DIR": folder}
        jobs = [
            ("the libraries alone", YARDSTICK, {}),
            ("index, Azure settings", "import function_app; function_app.app.get_functions()", azure.environment),
            ("to the first answer, embedded", FIRST_ANSWER, embedded),
            ("to the first answer, Azure adapters", FIRST_ANSWER, {**embedded, **azure.environment}),
        ]
        return [(name, min(_cpu_ms(code, env) for _ in range(3))) for name, code, env in jobs]


def main() -> None:
    """Count, and print."""
    logging.disable(logging.WARNING)  # the clock jumps: polls look late

    def clock() -> ManualClock:
        return ManualClock(datetime(2026, 11, 21, 10, tzinfo=UTC))

    print(f"{'Counted over the protocol servers':<38}{'store':>8}{'sends':>8}{'est. RU':>9}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        costs = [asyncio.run(of_polls(folder, clock()))]
        for callbacks in (1, 3):
            costs.extend(asyncio.run(of_deliveries(folder, clock(), callbacks=callbacks)))
    for cost in costs:
        print(*cost.lines(), sep="\n")
    print("The two queries of a poll are those of the planner: once per tick, whatever the number of machines.")
    print("Cold start, CPU ms (least of three fresh processes)")
    with AzureWire(own_environment=False) as azure:
        for label, took in _cold(azure):
            print(f"  {label:<40}{took:7.0f}")


if __name__ == "__main__":
    main()
