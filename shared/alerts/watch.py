"""What a clock has to do for alerts: notice silence, end shelves, finish what a process that died left.

The clock never completes an on- or off-delay: those count in the time of the readings, and silence is no evidence
for either. Silence itself is what ``stale`` is for.

Every tick is bounded: so many machines, so many alerts; the rest has its turn at the next tick.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING

from shared.alerts import lifecycle
from shared.alerts.conditions import read_failed
from shared.alerts.evaluation import judge_by_clock
from shared.alerts.judging import GONE, Judged, Judging, withdraw_others
from shared.alerts.model import Kind, Rule, Severity
from shared.alerts.records import AlertRecords
from shared.alerts.reported import ReportedAlerts
from shared.alerts.rules import AlertRules
from shared.alerts.state import RuleState
from shared.alerts.states import AlertStates, Held
from shared.clock import Clock, iso
from shared.errors import NotFound, OvenbridgeError
from shared.metrics import ALERTS_OPEN
from shared.signals import Quality, Reading
from shared.storage import Document

if TYPE_CHECKING:
    from shared.equipment.model import Equipment
    from shared.equipment.registry import EquipmentRegistry
    from shared.telemetry.readings import Readings

__all__ = ["Watch"]

AT_MOST = 200
"""Alerts and states finished per tick."""
MACHINES_PER_TICK = 500
TOGETHER = 16
LOOK_AT_LEAST = timedelta(seconds=60)
WHILE_LOST = timedelta(seconds=30)
OPEN_ALERTS = 2_000

log = logging.getLogger("ovenbridge.alerts")


class Watch:
    """The clock's part."""

    def __init__(
        self,
        rules: AlertRules,
        states: AlertStates,
        records: AlertRecords,
        judging: Judging,
        readings: Readings,
        equipment: EquipmentRegistry,
        clock: Clock,
        reported: ReportedAlerts,
    ) -> None:
        self._rules = rules
        self._states = states
        self._records = records
        self._reported = reported
        self._judging = judging
        self._readings = readings
        self._equipment = equipment
        self._clock = clock
        self._started = clock.now()
        self._next_look: dict[str, datetime] = {}
        self._next_round: datetime = self._started

    async def tick(self, equipments: Sequence[Equipment]) -> None:
        """One round. An error with one machine or alert does not keep the others from their turn."""
        await self._finish_what_was_left()
        await self._end_shelves()
        await self._notice_silence(equipments)
        await self._let_go_of_the_gone(equipments)

    async def _finish_what_was_left(self) -> None:
        for equipment_id in await self._states.unfinished(AT_MOST):
            try:
                await self._judging.carry_on(equipment_id)
            except OvenbridgeError as error:
                log.warning("Alerts of %s are not finished yet: %s", equipment_id, error.detail)
        for alert in await self._records.owing(AT_MOST):
            try:
                await self._records.tell(alert["equipmentId"], alert["id"])
            except OvenbridgeError as error:
                log.warning("Alert %s is not told yet: %s", alert["id"], error.detail)

    async def _end_shelves(self) -> None:
        now = self._clock.now()
        for alert in await self._records.shelved_before(iso(now), AT_MOST):

            def ended(stored: Document) -> Document:
                # Shelved anew in the meantime? Then it is not over.
                return lifecycle.unshelve(stored, None, None, now) if _over(stored, now) else stored

            try:
                await self._records.change(alert["equipmentId"], alert["id"], ended)
            except OvenbridgeError as error:
                log.warning("The shelf of alert %s does not end yet: %s", alert["id"], error.detail)

    # Silence ---------------------------------------------------------------------------------------------------------

    async def _notice_silence(self, equipments: Sequence[Equipment]) -> None:
        now = self._clock.now()
        known = {equipment.id for equipment in equipments}
        self._next_look = {k: v for k, v in self._next_look.items() if k in known}
        due = [e for e in equipments if self._next_look.get(e.id, now) <= now]
        due.sort(key=lambda e: self._next_look.get(e.id, self._started))
        gate = asyncio.Semaphore(TOGETHER)

        async def look(equipment: Equipment) -> None:
            async with gate:
                try:
                    self._next_look[equipment.id] = await self._look_at(equipment, now)
                except OvenbridgeError as error:
                    log.warning("Cannot tell whether %s is silent: %s", equipment.id, error.detail)

        await asyncio.gather(*(look(equipment) for equipment in due[:MACHINES_PER_TICK]))

    async def _look_at(self, equipment: Equipment, now: datetime) -> datetime:
        """Judge one machine's silence; answers when it can be silent too long at the earliest."""
        rules = await self._rules.rules_for(equipment)
        newest = await self._readings.latest(equipment.id)
        # A machine that was set up or changed, and a process that started, gets its time anew: nothing could have
        # come before.
        begin = max(self._started, equipment.updated_at)
        again = now + LOOK_AT_LEAST
        held_back = False

        async def step(held: Held) -> Judged:
            nonlocal again, held_back
            judged = Judged(dict(held.rules))
            withdraw_others(judged, rules, now, GONE)
            lost = _connection_lost(rules, held)
            for rule in rules:
                if rule.kind is not Kind.STALE or rule.after_seconds is None:
                    continue
                held_back = lost is Loss.TOLD or (lost is Loss.TRIED and _just_failed(newest, now, rule.after_seconds))
                state = held.rules.get(rule.id) or RuleState()
                last_ok = max(begin, await self._last_news(rule, state, newest) or begin)
                again = min(again, max(now, last_ok + timedelta(seconds=rule.after_seconds)))
                if held_back and state.memory.opened_at is None:
                    continue  # that it cannot be reached is told, or about to be; silence is what follows from it
                after, transitions = judge_by_clock(rule, state, now, last_ok)
                judged.rules[rule.id] = after
                judged.happened.extend((rule, t) for t in transitions)
                judged.material = judged.material or bool(transitions)
            return judged

        await self._judging.by_clock(equipment, step)
        return now + WHILE_LOST if held_back else again

    async def _last_news(self, rule: Rule, state: RuleState, newest: Reading | None) -> datetime | None:
        """When the machine (or the rule's signal) last gave something."""
        known = [state.memory.last_ok]
        if newest is not None and not read_failed(newest):
            if rule.signal is None:
                known.append(newest.at)
            else:
                value = await self._readings.latest_value(newest.equipment_id, rule.signal)
                known.append(value[1] if value is not None and value[0].quality is not Quality.BAD else None)
        return max((t for t in known if t is not None), default=None)

    # Machines that are gone ------------------------------------------------------------------------------------------

    async def _let_go_of_the_gone(self, equipments: Sequence[Equipment]) -> None:
        """Once a minute: end alerts of machines that were removed, or are no longer read, or lost the rule."""
        now = self._clock.now()
        if now < self._next_round:
            return
        self._next_round = now + LOOK_AT_LEAST
        watched = {equipment.id for equipment in equipments}
        open_alerts = await self._records.still_open(OPEN_ALERTS)
        severities = Counter(alert["severity"] for alert in open_alerts)
        for severity in Severity:
            ALERTS_OPEN.record(severities[severity.value], severity=severity.value)
        elsewhere = sorted({a["equipmentId"] for a in open_alerts} - watched)
        for equipment_id in elsewhere[:AT_MOST]:
            try:
                await self._let_go(equipment_id, now)
                await self._let_go_of_reported([a for a in open_alerts if a["equipmentId"] == equipment_id])
            except OvenbridgeError as error:
                log.warning("Cannot end alerts of %s: %s", equipment_id, error.detail)

    async def _let_go(self, equipment_id: str, now: datetime) -> None:
        try:
            machine, _ = await self._equipment.get(equipment_id)
            rules, note = await self._rules.rules_for(machine), GONE
        except NotFound:
            rules, note = (), "The machine was removed."

        async def step(held: Held) -> Judged:
            judged = Judged(dict(held.rules))
            withdraw_others(judged, rules, now, note)
            return judged

        await self._judging.by_clock(_Gone(equipment_id), step)

    async def _let_go_of_reported(self, alerts: Sequence[Document]) -> None:
        """What somebody outside judged ends with its machine alone: it may be one that nobody polls."""
        for alert in alerts:
            if alert["kind"] != "reported":
                continue
            try:
                await self._equipment.get(alert["equipmentId"])
            except NotFound:
                await self._reported.let_go(alert, "The machine was removed.")


class _Gone:
    """A machine of which only the id is known; it raises nothing any more."""

    site: str | None = None

    def __init__(self, id: str) -> None:
        self.id = id
        self.name = id


def _over(alert: Document, now: datetime) -> bool:
    until = alert.get("shelvedUntil")
    return isinstance(until, str) and until <= iso(now)


class Loss(Enum):
    """What the rules say about the connection."""

    NONE = auto()
    TRIED = auto()
    """Reads fail, not yet often or long enough for an alert."""
    TOLD = auto()


def _connection_lost(rules: Sequence[Rule], held: Held) -> Loss:
    """Is it told, or about to be told, that the machine cannot be reached?"""
    found = Loss.NONE
    for rule in rules:
        state = held.rules.get(rule.id) if rule.kind is Kind.CONNECTION_LOST else None
        if state is not None and state.memory.opened_at is not None:
            return Loss.TOLD
        if state is not None and state.memory.since is not None:
            found = Loss.TRIED
    return found


def _just_failed(newest: Reading | None, now: datetime, seconds: float) -> bool:
    """Was the machine tried, in vain, so recently? Nobody who tries any more is silence after all."""
    return newest is not None and read_failed(newest) and (now - newest.at).total_seconds() <= seconds
