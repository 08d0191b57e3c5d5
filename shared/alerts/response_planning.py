"""Planning: what an alert's event makes due. A subscriber of all events; it takes those of alerts.

Nothing here delays the alert: it stands in the store before its event is told, and the subscribers before this one
have taken the event. Should planning fail, the alert keeps its mark and its event is told again: the same responses
have the same ids.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from shared.alerts.lifecycle import place_of
from shared.alerts.model import Rule
from shared.alerts.response_model import Trigger
from shared.alerts.response_records import QUEUE, ResponseRecords, planned, wake
from shared.alerts.rules import AlertRules
from shared.clock import Clock
from shared.errors import NotFound
from shared.events import Accepted, Event
from shared.events.catalogue import ALERT_ACKNOWLEDGED, ALERT_RAISED, ALERT_RESOLVED
from shared.messaging import Queue
from shared.storage import DocumentStore

if TYPE_CHECKING:
    from shared.equipment.registry import EquipmentRegistry

__all__ = ["ResponsePlanning"]

TRIGGERS: dict[str, tuple[Trigger, ...]] = {
    ALERT_RAISED: (Trigger.RAISED, Trigger.UNACKNOWLEDGED_FOR),
    ALERT_ACKNOWLEDGED: (Trigger.ACKNOWLEDGED,),
    ALERT_RESOLVED: (Trigger.RESOLVED,),
}


class ResponsePlanning:
    """The subscriber."""

    def __init__(
        self, store: DocumentStore, queue: Queue, rules: AlertRules, equipment: EquipmentRegistry, clock: Clock
    ) -> None:
        self._records = ResponseRecords(store)
        self._queue = queue
        self._rules = rules
        self._equipment = equipment
        self._clock = clock

    async def accept(self, event: Event) -> Accepted | int:
        """Take an alert's event; everything is done in ``finish``, beside the other subscribers."""
        if event.type not in TRIGGERS or "alert_id" not in event.data:
            return 0
        return Accepted(0, lambda: self._plan(event))

    async def _plan(self, event: Event) -> None:
        """First the documents, then their messages; done twice it is done once."""
        rule = await self._rule(event)
        if rule is None:
            return
        now = self._clock.now()
        messages = []
        for response in rule.responses:
            if not response.enabled or response.on not in TRIGGERS[event.type]:
                continue
            due = now
            if response.on is Trigger.UNACKNOWLEDGED_FOR:
                # Counted from when it is told: before that nobody could have seen it.
                due = now + timedelta(minutes=response.minutes or 0)
            document = planned(event, f"{event.data['equipment_id']}:{rule.id}", response, due, now)
            await self._records.plan(document)
            messages.append(wake(document, at=due if due > now else None))
        if messages:
            await self._queue.send(QUEUE, messages)

    async def _rule(self, event: Event) -> Rule | None:
        try:
            equipment_id, document_id = place_of(event.data["alert_id"])
            rule_id = document_id.split(":")[1]
            machine, _ = await self._equipment.get(equipment_id)
        except NotFound:
            return None
        return next((rule for rule in await self._rules.rules_for(machine) if rule.id == rule_id), None)
