"""Alerts: what is wrong now, and who has seen it. The room's door for the rest of the house."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.access import Caller
from shared.alerts.handling import AlertFilter, AlertPage, Handling
from shared.alerts.judging import Judging
from shared.alerts.records import AlertRecords
from shared.alerts.reported import Reported, ReportedAlerts
from shared.alerts.rules import AlertRules
from shared.alerts.states import AlertStates
from shared.alerts.watch import Watch
from shared.audit.log import AuditLog
from shared.clock import Clock
from shared.events import EventLog
from shared.signals import Reading
from shared.storage import Document, DocumentStore

if TYPE_CHECKING:
    from shared.equipment.model import Equipment
    from shared.equipment.registry import EquipmentRegistry
    from shared.telemetry.readings import Readings

__all__ = ["Alerts"]


class Alerts:
    """Judging, watching, handling."""

    def __init__(
        self,
        store: DocumentStore,
        rules: AlertRules,
        readings: Readings,
        equipment: EquipmentRegistry,
        events: EventLog,
        audit: AuditLog,
        clock: Clock,
        *,
        base_url: str,
    ) -> None:
        self._rules = rules
        states = AlertStates(store, clock)
        records = AlertRecords(store, events, base_url)
        self._judging = Judging(states, records, readings, clock)
        self._reported = ReportedAlerts(store, records, states, clock)
        self._watch = Watch(rules, states, records, self._judging, readings, equipment, clock, self._reported)
        self._handling = Handling(records, states, self._judging, audit, clock)

    async def evaluate(self, equipment: Equipment, reading: Reading) -> None:
        """Judge a reading that was recorded. Safe to repeat. Raises ``Unavailable``; repeat the whole then."""
        await self._judging.take(equipment, await self._rules.rules_for(equipment), reading)

    async def take(self, equipment: Equipment, told: Reported) -> str | None:
        """What somebody outside judged about one condition of a machine: it opens an alert, keeps it or ends it, once
        for a ``told.key``. The API's id of that alert, or ``None``. Safe to repeat. Raises ``Unavailable``; repeat
        then."""
        return await self._reported.take(equipment, told)

    async def watch(self, equipments: Sequence[Equipment]) -> None:
        """What a clock has to do, every few seconds: silence, shelves that end, what was left unfinished."""
        await self._watch.tick(equipments)

    async def get(self, alert_id: str) -> Document:
        """One alert. Raises ``NotFound``."""
        return await self._handling.get(alert_id)

    async def list(self, asked: AlertFilter, *, limit: int = 100, continuation: str | None = None) -> AlertPage:
        """Alerts, newest first. Raises ``InvalidInput`` for a foreign continuation."""
        return await self._handling.list(asked, limit, continuation)

    async def acknowledge(self, alert_id: str, *, caller: Caller, comment: str | None = None) -> Document:
        """A person has seen it. Twice keeps the first. Raises ``NotFound``, ``Conflict``."""
        return await self._handling.acknowledge(alert_id, caller, comment)

    async def resolve(self, alert_id: str, *, caller: Caller, comment: str | None = None) -> Document:
        """A person closes it, although its condition may go on; it is raised again only after that was gone once.
        Raises ``NotFound``."""
        return await self._handling.resolve(alert_id, caller, comment)

    async def shelve(self, alert_id: str, *, minutes: float, caller: Caller, comment: str | None = None) -> Document:
        """Silence an active alert, and new ones of the same rule on this machine, for so many minutes.
        Raises ``NotFound``, ``Conflict``."""
        return await self._handling.shelve(alert_id, caller, minutes, comment)

    async def unshelve(self, alert_id: str, *, caller: Caller, comment: str | None = None) -> Document:
        """End the silence. Raises ``NotFound``."""
        return await self._handling.unshelve(alert_id, caller, comment)

    async def comment(self, alert_id: str, *, caller: Caller, comment: str) -> Document:
        """Add a remark. Raises ``NotFound``, ``Conflict``."""
        return await self._handling.comment(alert_id, caller, comment)
