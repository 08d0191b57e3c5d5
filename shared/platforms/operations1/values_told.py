"""Entered values, compared with what the machines said when they were entered.

A message holds a whole report: also the values entered long ago, which have nothing to do with what the oven says
now. So the values of each report are remembered, and what is judged is what is new. The judgement is remembered with
it: when a message comes again after a death in between, it finds what was judged then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from shared.alerts.model import AlertType, Severity
from shared.alerts.reported import Reported
from shared.clock import iso
from shared.equipment.model import Equipment
from shared.errors import NotFound, Unavailable
from shared.ids import digest_id
from shared.platforms.operations1.comparing import Comparison, compare
from shared.platforms.operations1.entered import as_number
from shared.platforms.operations1.happenings import MAX_TRIES, Happenings, Said, noted
from shared.platforms.operations1.judgement import CLOCK_SKEW_SECONDS, judge
from shared.platforms.operations1.profile import TagSource
from shared.platforms.operations1.webhook_options import TagCheck, Tolerance
from shared.signals import Reading, SignalValue, Value
from shared.telemetry.readings import HistoryPage

__all__ = ["Check", "JudgedValue", "MachineReadings", "ValueMessage", "ValuesTold"]

LOOK_BACK = timedelta(hours=1)
READINGS = 200


class MachineReadings(Protocol):
    """Where the machines' own values come from."""

    async def latest(self, equipment_id: str) -> Reading | None: ...
    async def latest_value(self, equipment_id: str, signal: str) -> tuple[SignalValue, datetime] | None: ...
    async def history(
        self,
        equipment_id: str,
        start: datetime,
        end: datetime,
        limit: int,
        continuation: str | None = None,
        *,
        order: Any = "oldest_first",
    ) -> HistoryPage: ...


class Machines(Protocol):
    """The registry."""

    async def get(self, equipment_id: str) -> tuple[Equipment, str]: ...


class AlertsTaken(Protocol):
    """What raises and ends alerts."""

    async def take(self, equipment: Equipment, told: Reported) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Check:
    """What a tag is compared with, with everything filled in."""

    source: TagSource
    tolerance: Tolerance
    severity: Severity
    accept_uncertain: bool

    @classmethod
    def of(cls, check: TagCheck, *, tolerance: Tolerance | None, max_age: int, severity: str, uncertain: bool) -> Check:
        """A tag's own words, else the source's."""
        allowed = check.tolerance or tolerance or Tolerance(absolute=0)  # the options were checked: there is one
        source = TagSource(
            equipment_id=check.equipment_id,
            signal=check.signal,
            max_age_seconds=check.max_age_seconds or max_age,
            unit=check.unit,
        )
        return cls(source, allowed, Severity(check.severity or severity), uncertain)


@dataclass(frozen=True, slots=True)
class ValueMessage:
    """A message with values."""

    scope: str
    """Whose reports: the tenant, or the source."""
    report_id: str | None
    work_order_id: str | None
    version: str
    key: str
    received_at: datetime
    replayed: bool
    within: timedelta


@dataclass(frozen=True, slots=True)
class JudgedValue:
    """What became of one entered value."""

    tag: str
    check: Check
    said: Said
    comparison: Comparison | None
    """``None``: it was not judged, because it is not news."""
    equipment_name: str | None = None
    alert_id: str | None = None


class ValuesTold:
    """Judges entered values and raises alerts about them."""

    def __init__(
        self, happenings: Happenings, readings: MachineReadings, machines: Machines, alerts: AlertsTaken
    ) -> None:
        self._happenings = happenings
        self._readings = readings
        self._machines = machines
        self._alerts = alerts

    async def take(
        self, message: ValueMessage, entered: Mapping[str, Value], checks: Mapping[str, Check]
    ) -> list[JudgedValue]:
        """Judge what is new among the values, once, and raise or end alerts. Safe to repeat. Raises ``Unavailable``;
        repeat then."""
        wanted = {tag: value for tag, value in entered.items() if tag in checks}
        judged = await self._judge_once(message, wanted, checks)
        return [await self._with_alert(message, one) for one in judged]

    # Judging -----------------------------------------------------------------------------------------------------

    async def _judge_once(
        self, message: ValueMessage, wanted: Mapping[str, Value], checks: Mapping[str, Check]
    ) -> list[JudgedValue]:
        name = f"values:{digest_id(message.scope, message.report_id or message.key)}"
        for _ in range(MAX_TRIES):
            document, etag = await self._happenings.read(name)
            tags: dict[str, Any] = dict(document.get("tags", {}))
            found: list[JudgedValue] = []
            changed = False
            for tag, value in wanted.items():
                told, said = self._noted(tags.get(tag, []), message, value)
                comparison = None
                if said == "new":
                    comparison = await self._compare(checks[tag], value, message.received_at)
                    told = [*told[:-1], {**told[-1], "judged": _stored(comparison)}]
                elif said == "mine":
                    comparison = _restored(next(one for one in told if one["by"] == message.key)["judged"])
                changed |= told is not tags.get(tag)
                tags[tag] = told
                found.append(JudgedValue(tag, checks[tag], said, comparison))
            if not changed or await self._happenings.write({**document, "tags": tags}, etag):
                return found
        raise Unavailable("Too many values of this report are entered at once. Try again.", retry_after=1.0)

    def _noted(self, told: list[dict[str, Any]], message: ValueMessage, value: Value) -> tuple[Any, Said]:
        if message.replayed and not any(one["by"] == message.key for one in told):
            new = {"content": _plain(value), "digest": "", "versions": [message.version], "by": message.key}
            return [*told, {**new, "at": iso(message.received_at)}][-10:], "new"
        return noted(
            told,
            content=_plain(value),
            digest="",
            version=message.version,
            key=message.key,
            at=message.received_at,
            within=message.within,
            lasting=True,
        )

    async def _compare(self, check: Check, value: Value, at: datetime) -> Comparison:
        source = check.source
        try:
            await self._machines.get(source.equipment_id)
        except NotFound:
            return Comparison(value, None, "", None, f"There is no equipment {source.equipment_id} any more.")
        reading, found = await self._said_then(source, at)
        answer = judge(source, reading, found, at, accept_uncertain=check.accept_uncertain)
        return compare(value, answer, check.tolerance)

    async def _said_then(
        self, source: TagSource, at: datetime
    ) -> tuple[Reading | None, tuple[SignalValue, datetime] | None]:
        """What the machine said when the value came in: usually its newest word; where the message waited, an
        earlier one."""
        newest = await self._readings.latest(source.equipment_id)
        if newest is None:
            return None, None
        if (newest.at - at).total_seconds() <= CLOCK_SKEW_SECONDS:
            value = newest.values.get(source.signal)
            if value is not None:
                return newest, (value, newest.at)
            return newest, await self._readings.latest_value(source.equipment_id, source.signal)
        back = min(timedelta(seconds=source.max_age_seconds), LOOK_BACK)
        page = await self._readings.history(
            source.equipment_id, at - back, at + timedelta(seconds=1), READINGS, order="newest_first"
        )
        for reading in page.readings:
            if (value := reading.values.get(source.signal)) is not None:
                return reading, (value, reading.at)
        return (page.readings[0] if page.readings else None), None

    # Alerts ------------------------------------------------------------------------------------------------------

    async def _with_alert(self, message: ValueMessage, one: JudgedValue) -> JudgedValue:
        if one.comparison is None:
            return one
        try:
            machine, _ = await self._machines.get(one.check.source.equipment_id)
        except NotFound:
            return one
        alert_id = None
        if one.comparison.agrees is not None:
            alert_id = await self._alerts.take(machine, _reported(message, one, one.comparison, machine.name))
        return JudgedValue(one.tag, one.check, one.said, one.comparison, machine.name, alert_id)


def _reported(message: ValueMessage, one: JudgedValue, found: Comparison, machine: str) -> Reported:
    unit = f" {found.unit}".rstrip()
    entered, own = f"{_shown(found.entered)}{unit}", f"{_shown(found.machine)}{unit}"
    if found.agrees:
        said = f"{entered} was entered for {one.tag}, and {machine} says {own}."
    else:
        said = f"{entered} was entered for {one.tag}, but {machine} says {own}."
        if found.allowed is not None:
            said += f" {_shown(found.allowed)}{unit} apart would be near enough."
    about = [
        f"{word} {name}" for word, name in (("report", message.report_id), ("order", message.work_order_id)) if name
    ]
    if about:
        said += f" ({', '.join(about)})"
    return Reported(
        series=f"value-{digest_id(message.scope, message.report_id or '', one.tag)[:20]}",
        at=message.received_at,
        key=message.key,
        holds=not found.agrees,
        alert_type=AlertType.VALUE_MISMATCH,
        severity=one.check.severity,
        name=f"Entered value of {one.tag}",
        message=said,
        signal=one.check.source.signal,
        value=found.entered,
        compared=found.machine,
        limit=found.allowed,
        unit=found.unit or None,
        anew=True,
    )


def _plain(value: Value) -> Value:
    """The same for "87,5" and 87.5: another version may write it otherwise."""
    number = as_number(value)
    return number if number is not None else value


def _shown(value: Value) -> str:
    return f"{round(value, 3):g}" if isinstance(value, float) else str(value)[:100]


def _stored(found: Comparison) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Comparison.__slots__}


def _restored(stored: dict[str, Any]) -> Comparison:
    return Comparison(**stored)
