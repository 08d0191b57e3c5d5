"""A small world around the delivery protocol: what survives every death of a process, and what must hold at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from shared.azure_connections import AzureConnections
from shared.callbacks.document import OPEN, QUEUE
from shared.callbacks.model import NewCallback
from shared.clock import ManualClock
from shared.events import Event
from shared.services import Services
from shared.storage import Query, every
from tests.unit.callbacks.conftest import ENGINEER
from tests.unit.callbacks.mortal import Fate, alive, work_off
from tests.unit.callbacks.receiver import Notification, Receiver

__all__ = ["EVENTS", "World"]

EVENTS = ("quick", "fails-once", "fails-always")
RETRIES = 2


class World:
    """What survives every death: the folder, the clock, the receiver, the publisher's knowledge."""

    def __init__(
        self,
        folder: Path,
        clock: ManualClock,
        receiver: Receiver,
        azure: AzureConnections | None = None,
        database: str = "ovenbridge",
        due: Callable[[], int] | None = None,
    ) -> None:
        receiver.seen.clear()
        self.folder = folder
        self.azure = azure
        self.database = database
        self.due = due
        self.clock = clock
        self.receiver = receiver
        self.acknowledged: set[str] = set()
        self.tries: Counter[str] = Counter()
        receiver.answer = self._answer

    def alive(self, fate: Fate | None = None) -> AbstractAsyncContextManager[Services]:
        """A process in this world."""
        return alive(self.folder, self.clock, fate, azure=self.azure, database=self.database)

    def _answer(self, notification: Notification) -> int:
        name = notification.webhook_id[33:]
        self.tries[notification.webhook_id] += 1
        if name == "fails-always":
            return 500
        return 503 if name == "fails-once" and self.tries[notification.webhook_id] == 1 else 200

    async def register(self) -> None:
        """Two callbacks, made in peace."""
        async with self.alive() as house:
            for path in ("/a", "/b"):
                wanted = NewCallback("EXTERNAL", self.receiver.url + path, max_retries=RETRIES)
                await house.callbacks.create(wanted, caller=ENGINEER)

    async def live(self, house: Services, *, publishing: bool = True) -> None:
        """Publish what is not acknowledged, work, let time pass, sweep."""
        for name in EVENTS if publishing else ():
            if name not in self.acknowledged:
                await house.events.publish(Event(id=name, type="EXTERNAL", timestamp=self.clock.now()))
                self.acknowledged.add(name)
        for _ in range(RETRIES + 2):
            await work_off(house, self.due)
            self.clock.advance(10.1)

    async def afterlife(self, *, publishing: bool) -> None:
        """A new process over the same folder, until everything has had its time, twice swept."""
        async with self.alive() as house:
            await self.live(house, publishing=publishing)
            for _ in range(3):
                self.clock.advance(200)
                await house.deliveries.sweep()
                await self.live(house, publishing=False)

    async def check(self) -> None:
        """Everything acknowledged has ended as it should; nothing is stuck; duplicates are few."""
        async with self.alive() as house:
            documents = [s.document async for s in every(house.store, "deliveries", Query())]
            depth = await house.receiver.depth(QUEUE)
            assert (depth.active, depth.scheduled, depth.locked, depth.dead_lettered) == (0, 0, 0, 0)
        ended: dict[str, list[dict[str, Any]]] = {name: [] for name in EVENTS}
        for document in documents:
            assert document["status"] not in OPEN, document
            ended[document["id"][2:]].append(document)
        for name in self.acknowledged:
            expected = "discarded" if name == "fails-always" else "confirmed"
            assert [d["status"] for d in ended[name]] == [expected] * 2, name
        for webhook_id, count in self.tries.items():
            name = webhook_id[33:]
            usual = {"quick": 1, "fails-once": 2, "fails-always": RETRIES + 1}[name]
            assert usual <= count <= usual + 1, f"{webhook_id} was tried {count} times"
