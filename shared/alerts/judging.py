"""Judging what a machine said (or did not say) against its rules, and carrying out what follows, once.

Several instances may judge the same machine, and each may die at any line:

1. A reading is judged against what this process remembers. If nothing changes that must not be lost, that was all.
2. Otherwise the stored state is looked at again and the reading judged against that:
   - on the word of a reading that is older than the newest one recorded nothing is changed (it is late; this process
     may just not have seen the newer ones);
   - a delay or a cycle is believed to be over only after every recorded reading since its beginning was judged again,
     because another instance may have judged some of them.
3. The new state is written together with what is to follow, if nobody wrote since; else step 2 again.
4. What is to follow is carried out (idempotent by the alert's id), and taken off the state.

Dead after 3: whoever looks next, at the latest the timer, carries it out. So one event makes one alert.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from shared.alerts import lifecycle
from shared.alerts.evaluation import evaluate, withdraw
from shared.alerts.model import Rule
from shared.alerts.records import AlertRecords
from shared.alerts.state import QUIET, RuleState, changed_materially, rewind
from shared.alerts.states import AlertStates, Effect, Entry, Held
from shared.alerts.transition import Happening, Transition
from shared.clock import Clock, iso
from shared.errors import Conflict, NotFound, PreconditionFailed, Unavailable
from shared.observability import correlation_id
from shared.signals import Reading
from shared.telemetry.document import reading_id

if TYPE_CHECKING:
    from shared.equipment.model import Equipment
    from shared.telemetry.readings import Readings

__all__ = ["Judged", "Judging", "Machine", "Step", "judge_reading", "whole_milliseconds"]

MAX_TRIES = 10
MAX_REPLAY = 5_000
"""So many recorded readings are judged again at most; at 10 s apart that is half a day."""
PAGE = 500

log = logging.getLogger("ovenbridge.alerts")


class Machine(Protocol):
    """What an alert says of its machine."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def site(self) -> str | None: ...


@dataclass(slots=True)
class Judged:
    """What one judgement makes of the rules of a machine."""

    rules: dict[str, RuleState]
    happened: list[tuple[Rule | None, Transition]] = field(default_factory=list)
    """With its rule; ``None``: the rule is gone."""
    gone: dict[int, str] = field(default_factory=dict)
    """Rule ids of transitions without a rule, by their place in ``happened``."""
    material: bool = False


Step = Callable[[Held], Awaitable[Judged]]


def whole_milliseconds(reading: Reading) -> Reading:
    """Times are stored in milliseconds; a reading must not become newer than itself by being read back."""
    spare = reading.at.microsecond % 1000
    return replace(reading, at=reading.at - timedelta(microseconds=spare)) if spare else reading


def judge_reading(rules: Sequence[Rule], held: Held, reading: Reading) -> Judged:
    """One reading against all rules. Pure."""
    judged = Judged(dict(held.rules))
    for rule in rules:
        before = held.rules.get(rule.id) or RuleState()
        after, transitions = evaluate(rule, before, reading)
        if after is before:
            continue
        judged.rules[rule.id] = after
        if transitions:
            judged.happened.extend((rule, t) for t in transitions)
            judged.material = True
        elif changed_materially(held.stored.get(rule.id, QUIET), after.memory, deadband=rule.deadband):
            judged.material = True
    return judged


def withdraw_others(judged: Judged, rules: Sequence[Rule], now: datetime, note: str) -> None:
    """Rules that no longer count are forgotten and their alerts end. Pure but for ``judged``."""
    if judged.rules.keys() <= (known := {rule.id for rule in rules}):
        return
    for rule_id in [r for r in judged.rules if r not in known]:
        _, transitions = withdraw(judged.rules.pop(rule_id), now, note)
        for transition in transitions:
            judged.gone[len(judged.happened)] = rule_id
            judged.happened.append((None, transition))
            judged.material = True


class Judging:
    """Judges, and carries out."""

    def __init__(self, states: AlertStates, records: AlertRecords, readings: Readings, clock: Clock) -> None:
        self._states = states
        self._records = records
        self._readings = readings
        self._clock = clock

    async def take(self, equipment: Equipment, rules: Sequence[Rule], reading: Reading) -> None:
        """Judge a recorded reading. Safe to repeat. Raises ``Unavailable``; repeat then."""
        reading = whole_milliseconds(reading)
        entry = self._states.entry(equipment.id)
        usual_gap = timedelta(seconds=1.5 * equipment.poll_interval_seconds + 5)
        async with entry.lock:
            held = entry.held
            if held is None or self._states.must_look(held, reading.at, usual_gap):
                held = await self._states.look(entry)
            if held.unfinished:
                held = await self._finish(entry)
            judged = judge_reading(rules, held, reading)
            withdraw_others(judged, rules, self._clock.now(), GONE)
            if judged.material:

                async def again(fresh: Held) -> Judged:
                    judged = await self._judge_surely(rules, fresh, reading)
                    withdraw_others(judged, rules, self._clock.now(), GONE)
                    return judged

                held = await self._commit(entry, equipment, again, reading)
            else:
                held = replace(held, rules=judged.rules)
            newest = reading.at if held.newest is None else max(held.newest, reading.at)
            entry.held = replace(held, newest=newest)

    async def by_clock(self, machine: Machine, step: Step) -> None:
        """Judge without a reading: staleness, rules that are gone."""
        entry = self._states.entry(machine.id)
        async with entry.lock:
            held = await self._states.look(entry)
            if held.unfinished:
                held = await self._finish(entry)
            if (await step(held)).material:
                await self._commit(entry, machine, step, None)

    async def carry_on(self, equipment_id: str) -> None:
        """Carry out what a process that died left."""
        entry = self._states.entry(equipment_id)
        async with entry.lock:
            entry.held = None if entry.held is None else replace(entry.held, looked_at=None)
            if (await self._states.look(entry)).unfinished:
                await self._finish(entry)

    async def shelve(self, equipment_id: str, rule_id: str, until: datetime | None) -> None:
        """Note until when new alerts of this rule are shelved; ``None``: no longer."""
        entry = self._states.entry(equipment_id)
        async with entry.lock:
            for _ in range(MAX_TRIES):
                held = await self._states.look(entry)
                if held.shelves.get(rule_id) == until:
                    return
                shelves = {k: v for k, v in held.shelves.items() if k != rule_id}
                if until is not None:
                    shelves[rule_id] = until
                try:
                    await self._states.write(entry, replace(held, shelves=shelves))
                except (PreconditionFailed, Conflict):
                    continue
                return
        raise Unavailable("Too many others change the state of this machine at once. Try again.", retry_after=1.0)

    # A change that must not be lost ----------------------------------------------------------------------------------

    async def _commit(self, entry: Entry, machine: Machine, step: Step, reading: Reading | None) -> Held:
        for _ in range(MAX_TRIES):
            held = await self._states.look(entry)
            judged = await step(held)
            if not judged.material:
                entry.held = replace(held, rules=judged.rules)
                return entry.held
            effects = self._effects(machine, held, judged, reading)
            try:
                await self._states.write(
                    entry, replace(held, rules=judged.rules, unfinished=(*held.unfinished, *effects))
                )
            except (PreconditionFailed, Conflict):
                continue
            return await self._finish(entry)
        raise Unavailable("Too many others judge this machine at once. Try again.", retry_after=1.0)

    async def _judge_surely(self, rules: Sequence[Rule], held: Held, reading: Reading) -> Judged:
        """As ``judge_reading``, believing neither a late reading nor a delay that others may have ended."""
        judged = judge_reading(rules, held, reading)
        if not judged.material:
            return judged
        late = await self._late(rules, reading)
        timely = [rule for rule in rules if rule.id not in late]
        if late:
            judged = judge_reading(timely, held, reading)
        over = {rule.id for rule, _ in judged.happened if rule is not None}
        for rule in timely:
            before = held.rules.get(rule.id)
            back = rewind(rule, before) if before is not None and rule.id in over else None
            if back is None or back[1] >= reading.at:
                continue
            recorded = await self._recorded(reading.equipment_id, back[1], reading.at)
            if recorded is None:
                continue
            state, transitions = _judge_again(rule, back[0], [*recorded, reading])
            judged.happened = [(r, t) for r, t in judged.happened if r is not rule]
            judged.happened.extend((rule, t) for t in transitions)
            judged.rules[rule.id] = state
        return judged

    async def _late(self, rules: Sequence[Rule], reading: Reading) -> set[str]:
        """Rules for which something newer than this reading is recorded."""
        newest = await self._readings.latest(reading.equipment_id)
        if newest is None or whole_milliseconds(newest).at <= reading.at:
            return set()
        late: set[str] = set()
        for rule in rules:
            if rule.signal is None:
                late.add(rule.id)
                continue
            known = await self._readings.latest_value(reading.equipment_id, rule.signal)
            if known is not None and known[1] > reading.at:
                late.add(rule.id)
        return late

    async def _recorded(self, equipment_id: str, start: datetime, end: datetime) -> list[Reading] | None:
        """Readings from ``start`` to before ``end``, oldest first; ``None``: too many to judge again."""
        found: list[Reading] = []
        continuation: str | None = None
        while True:
            page = await self._readings.history(equipment_id, start, end, PAGE, continuation)
            found.extend(whole_milliseconds(one) for one in page.readings)
            continuation = page.continuation
            if continuation is None:
                return sorted((one for one in found if start <= one.at < end), key=lambda one: one.at)
            if len(found) >= MAX_REPLAY:
                log.warning("More than %s readings of %s to judge again; going without.", MAX_REPLAY, equipment_id)
                return None

    # What follows ----------------------------------------------------------------------------------------------------

    def _effects(self, machine: Machine, held: Held, judged: Judged, reading: Reading | None) -> list[Effect]:
        effects: list[Effect] = []
        now = self._clock.now()
        for place, (rule, transition) in enumerate(judged.happened):
            rule_id = rule.id if rule is not None else judged.gone[place]
            by_reading = reading if rule is not None else None
            recorded = reading_id(by_reading.source, transition.at) if by_reading is not None else None
            if transition.happening is Happening.CLEARED:
                effects.append(_end(rule_id, transition, recorded))
            elif transition.happening is Happening.RAISED and rule is not None:
                shelved = held.shelves.get(rule_id)
                alert = lifecycle.raised(
                    rule,
                    transition,
                    equipment_id=machine.id,
                    equipment_name=machine.name,
                    site=machine.site,
                    now=now,
                    reading_id=recorded,
                    shelved_until=shelved if shelved is not None and shelved > now else None,
                    correlation_id=correlation_id(),
                )
                effects.append({"do": "open", "alert": alert})
        return effects

    async def _finish(self, entry: Entry) -> Held:
        """Carry out what was decided, then take it off the state."""
        held = entry.held
        if held is None or not held.unfinished:
            return held or await self._states.look(entry)
        for effect in held.unfinished:
            await self._carry_out(entry.equipment_id, effect)
        done = held.unfinished
        for _ in range(MAX_TRIES):
            rest = tuple(e for e in held.unfinished if e not in done)
            try:
                return await self._states.write(entry, replace(held, unfinished=rest))
            except (PreconditionFailed, Conflict):
                held = await self._states.look(entry)
                if not any(e in done for e in held.unfinished):
                    return held
        raise Unavailable("Too many others judge this machine at once. Try again.", retry_after=1.0)

    async def _carry_out(self, equipment_id: str, effect: Effect) -> None:
        if effect["do"] == "open":
            await self._records.open(effect["alert"])
            return
        now = self._clock.now()
        try:
            await self._records.change(equipment_id, effect["alertId"], lambda a: lifecycle.cleared(a, effect, now))
        except NotFound:
            log.warning("Alert %s of %s is over but not in the store any more.", effect["alertId"], equipment_id)


def _judge_again(rule: Rule, state: RuleState, readings: Sequence[Reading]) -> tuple[RuleState, list[Transition]]:
    happened: list[Transition] = []
    for one in readings:
        state, transitions = evaluate(rule, state, one)
        happened.extend(transitions)
    return state, happened


GONE = "The rule no longer applies to this machine: it was disabled, removed or replaced."


def _end(rule_id: str, transition: Transition, recorded: str | None) -> Effect:
    return {
        "do": "end",
        "alertId": lifecycle.document_id(rule_id, transition.opened_at),
        "clearedAt": iso(transition.at),
        "clearValue": lifecycle.shown(transition.value),
        "peak": lifecycle.shown(transition.peak),
        "badReadings": transition.bad_readings,
        "reason": transition.note,
        "readingIdAtClear": recorded,
    }
