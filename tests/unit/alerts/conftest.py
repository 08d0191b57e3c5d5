"""A machine whose readings are recorded and judged over the embedded store, and somebody who is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from shared.access import Caller, Role
from shared.alerts.handling import AlertFilter
from shared.alerts.model import Rule
from shared.alerts.rule_forms import RuleForm
from shared.alerts.rules import AlertRules
from shared.alerts.service import Alerts
from shared.clock import ManualClock
from shared.equipment.model import Equipment
from shared.errors import Unavailable
from shared.events import Event, EventLog
from shared.services import Services
from shared.signals import Reading
from shared.storage import Document, DocumentStore
from tests.unit.alerts.readings import CABINET

ANNA = Caller("token:anna", "Anna", frozenset({Role.OPERATOR}), "api_token")
BEN = Caller("token:ben", "Ben", frozenset({Role.OPERATOR}), "api_token")
EVERYTHING = AlertFilter(statuses=())


@dataclass
class Told:
    """A subscriber that remembers, and can be away."""

    events: dict[str, Event] = field(default_factory=dict)
    calls: int = 0
    away: bool = False

    async def accept(self, event: Event) -> int:
        self.calls += 1
        if self.away:
            raise Unavailable("The queue is away.")
        self.events.setdefault(event.id, event)
        return 1

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events.values()]


class CountingStore:
    """The embedded store, counting calls, and dying where it is told to."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self.calls: list[tuple[str, str]] = []
        self.die_at: tuple[str, str] | None = None
        self.die_after = False
        self.meanwhile: dict[tuple[str, str], Callable[[], Awaitable[object]]] = {}
        """What somebody else does just before the next call of this kind."""

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        if name not in ("create", "read", "replace", "upsert", "patch", "delete", "query", "batch", "buckets"):
            return real

        async def counted(container: str, *args: Any, **more: Any) -> Any:
            self.calls.append((name, container))
            if (other := self.meanwhile.pop((name, container), None)) is not None:
                await other()
            dies = self.die_at == (name, container)
            if dies and not self.die_after:
                self.die_at = None
                raise KilledError
            answer = await real(container, *args, **more)
            if dies:
                self.die_at = None
                raise KilledError
            return answer

        return counted

    def taken(self) -> list[tuple[str, str]]:
        """The calls since the last time this was asked."""
        calls, self.calls = self.calls, []
        return calls


class KilledError(Exception):
    """The process dies here."""


class Plant:
    """One house with one oven."""

    def __init__(self, house: Services, clock: ManualClock) -> None:
        self.house = house
        self.clock = clock
        self.store = CountingStore(house.store)
        self.told = Told()
        self.oven = Equipment(
            id="OVEN-1",
            name="Horno Principal #1",
            created_at=clock.now() - timedelta(days=30),
            updated_at=clock.now() - timedelta(days=30),
            site="madrid",
            iot_enabled=True,
            protocol="rest_api",
        )
        self.rules = AlertRules(self.store, house.audit, clock)
        self.alerts = self.process()

    def process(self, rules: AlertRules | None = None) -> Alerts:
        """The alerts of another process over the same store."""
        return Alerts(
            self.store,
            rules or self.rules,
            self.house.readings,
            self.house.equipment,
            EventLog(self.house.store, self.clock, (self.told,)),
            self.house.audit,
            self.clock,
            base_url="https://hub.example",
        )

    async def rule(self, kind: str = "high", **fields: Any) -> Rule:
        """Store a rule for the oven; by default the cabinet above 250."""
        given = {"signal": CABINET, "limit": 250} if kind == "high" else {}
        form = RuleForm.model_validate({"kind": kind, **given, **fields})
        return (await self.rules.create("OVEN-1", form, ANNA)).rule

    async def take(self, *readings: Reading, by: Alerts | None = None) -> None:
        """Record and judge, at the time of the reading."""
        for reading in readings:
            self.clock.set(max(self.clock.now(), reading.at))
            await self.house.readings.record(reading)
            await (by or self.alerts).evaluate(self.oven, reading)

    async def watch(self, by: Alerts | None = None) -> None:
        """One tick of the timer."""
        await (by or self.alerts).watch([self.oven])

    async def all_alerts(self) -> list[Document]:
        """Every alert, oldest first."""
        return list((await self.alerts.list(EVERYTHING, limit=1000)).alerts)[::-1]

    async def the_alert(self) -> Document:
        """The only one."""
        (alert,) = await self.all_alerts()
        return alert

    async def the_id(self) -> str:
        """Its id in the API."""
        from shared.alerts.lifecycle import alert_id

        alert = await self.the_alert()
        return alert_id(alert["equipmentId"], alert["id"])


@pytest.fixture
async def plant(house: Services, clock: ManualClock) -> Plant:
    """An oven in the registry, without readings, with the built-in rules."""
    made = Plant(house, clock)
    await house.store.create("equipment", made.oven.to_document())
    return made
