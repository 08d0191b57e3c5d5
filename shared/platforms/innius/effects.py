"""What a message from innius leads to: alerts of machines, tasks of people.

No event carries a time or an id. The time of arrival stands in for the time of the happening, and says so; the same
state told again keeps the alert that is open, and what is handled late moves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from shared.access import Caller
from shared.alerts.model import AlertType, Severity
from shared.alerts.reported import Reported
from shared.clock import iso
from shared.errors import InvalidInput
from shared.ids import digest_id
from shared.inbox.model import InboundMessage
from shared.inbox.source import HookSource
from shared.platforms.innius import words
from shared.platforms.innius.bodies import (
    StateChange,
    body_of,
    conversation,
    moment,
    needed,
    state_change,
    task_status,
    text,
    ui_change,
)
from shared.platforms.innius.options import InniusOptions
from shared.platforms.innius.words import State
from shared.work.task_forms import NewTask, TaskChange

if TYPE_CHECKING:
    from shared.alerts.service import Alerts
    from shared.equipment.model import Equipment
    from shared.equipment.registry import EquipmentRegistry
    from shared.work.tasks import Tasks

__all__ = ["Effects"]

ARRIVAL = "arrival"
"""What an event's time is: innius sends none."""


class Effects:
    """Gives messages their effect, once however often they are handled."""

    def __init__(self, equipment: EquipmentRegistry, alerts: Alerts, tasks: Tasks) -> None:
        self._equipment = equipment
        self._alerts = alerts
        self._tasks = tasks

    async def of(self, source: HookSource, options: InniusOptions, message: InboundMessage) -> dict[str, Any]:
        """What was done, for people.

        Raises:
            InvalidInput: an event of the article whose body cannot be acted on, or whose machine is not there.
            Unavailable: not now.
        """
        event = message.event
        if event is None:
            return await self._of_ui(source, options, message)
        if event not in words.EVENTS:
            return _ignored(f"There is no event {event[:100]} in the innius webhook article; it is kept as it came.")
        if event in (words.TASK_CREATED, words.TASK_STATUS, words.TASK_ASSIGNEE):
            return await self._task(source, options, message, event)
        if event == words.SENSOR_CREATED:
            return _ignored("A sensor was added at innius; nothing has to be done here.")
        if event == words.SENSOR_DELETED:
            body = body_of(message.raw)
            gone = StateChange(
                needed(body, "machinetrn"), needed(body, "sensorid"), State.NORMAL, None, None, None, conversation(body)
            )
            return await self._state(source, options, message, gone, event)
        return await self._state(source, options, message, state_change(body_of(message.raw)), event)

    # Alerts ------------------------------------------------------------------------------------------------------

    async def _of_ui(self, source: HookSource, options: InniusOptions, message: InboundMessage) -> dict[str, Any]:
        try:
            change = ui_change(message.raw, options.ui_body)
        except InvalidInput as error:
            return _ignored(f"{error.detail} It is kept as it came; see options.ui_body.")
        if change.machine is None and (options.machines or source.equipment_id is None):
            return _ignored(
                "It names neither an event nor a machine: set options.ui_body.machine to where its machine stands, or "
                "map no machines and give the source an equipment_id; then replay."
            )
        if change.state is None:
            return _ignored("It tells of a value and of no state.") | _told_values(change)
        done = await self._state(source, options, message, change, words.SENSOR_STATE)
        return done | _told_values(change)

    async def _state(
        self, source: HookSource, options: InniusOptions, message: InboundMessage, change: StateChange, event: str
    ) -> dict[str, Any]:
        if event == words.MACHINE_STATE and options.machine_state == "ignore":
            return _ignored("options.machine_state is ignore.")
        equipment_id = options.equipment(change.machine, source.equipment_id)
        if equipment_id is None:
            return _unmapped(change.machine)
        machine, _ = await self._equipment.get(equipment_id)
        told = _reported(options, message, change, event, machine)
        alert_id = await self._alerts.take(machine, told)
        return {
            "alertId": alert_id,
            "equipmentId": machine.id,
            "state": (change.state or State.NORMAL).name.lower(),
            "at": iso(message.received_at),
            "atIs": ARRIVAL,
            "conversationId": change.conversation,
        }

    # Tasks -------------------------------------------------------------------------------------------------------

    async def _task(
        self, source: HookSource, options: InniusOptions, message: InboundMessage, event: str
    ) -> dict[str, Any]:
        if not options.tasks:
            return _ignored("options.tasks is false.")
        body = body_of(message.raw)
        activity = needed(body, "activity_id")
        if len(activity) > 255:
            raise InvalidInput("activity_id has more than 255 characters.", field="activity_id")
        trn = text(body, "machinetrn", 500)
        equipment_id = options.equipment(trn, source.equipment_id)
        said = _task_fields(body, event)
        new = {
            "title": f"Task {activity[:150]}",
            "reference": activity,
            "equipment_id": equipment_id,
            **{name: value for name, value in said.items() if value is not None},
        }
        try:
            form, change = NewTask.model_validate(new), TaskChange.model_validate(said)
        except ValidationError as err:
            first = err.errors(include_url=False, include_input=False, include_context=False)[0]
            raise InvalidInput(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", field="body") from err
        task, outcome = await self._tasks.report(
            digest_id("innius", source.id, activity).upper(),
            new=form,
            said=change,
            at=message.received_at,
            caller=_caller(source),
        )
        return {
            "taskId": task["id"],
            "outcome": outcome,
            "equipmentId": task["equipmentId"],
            "machine": None if equipment_id is not None else trn,
            "at": iso(message.received_at),
            "atIs": ARRIVAL,
            "conversationId": conversation(body),
        }


def _reported(
    options: InniusOptions, message: InboundMessage, change: StateChange, event: str, machine: Equipment
) -> Reported:
    whole = event == words.MACHINE_STATE
    by_sensor = not whole or options.machine_state == "sensor"
    sensor = change.sensor or ""
    signal = options.sensors.get(sensor, sensor[:100]) or None
    state = change.state or State.NORMAL
    return Reported(
        series="innius-"
        + digest_id("machine" if whole else "sensor", change.machine or "", sensor if by_sensor else ""),
        at=message.received_at,
        key=message.id,
        holds=state is not State.NORMAL,
        alert_type=_alert_type(signal, whole=whole),
        severity=options.severity(state) if state is not State.NORMAL else Severity.INFO,
        name=f"innius: {'machine' if whole else signal or 'sensor'}",
        message=_sentence(change, event, machine.name, signal),
        signal=None if whole else signal,
        value=None if whole else change.value,
        remember=True,
    )


def _alert_type(signal: str | None, *, whole: bool) -> AlertType:
    if whole:
        return AlertType.EQUIPMENT_ERROR
    return AlertType.TEMPERATURE_DEVIATION if (signal or "").startswith("temperature") else AlertType.VALUE_DEVIATION


def _sentence(change: StateChange, event: str, machine: str, signal: str | None) -> str:
    arrived = "(by its time of arrival)"
    if event == words.SENSOR_DELETED:
        return f"{machine}: the sensor {signal} was deleted at innius {arrived}."
    what = machine if event == words.MACHINE_STATE else f"{machine}, {signal or 'a sensor'}"
    because = f" because of {signal}" if event == words.MACHINE_STATE and signal else ""
    state = (change.state or State.NORMAL).name.capitalize()
    was = f", before {change.previous:g}" if change.previous is not None else ""
    value = f" at {change.value}{was}" if change.value is not None else ""
    return f"{what}: innius says {state}{because}{value} {arrived}."


def _task_fields(body: Mapping[str, Any], event: str) -> dict[str, Any]:
    """What the event says of the task, in our words; absent: it says nothing of it."""
    said: dict[str, Any] = {}
    if (title := text(body, "title")) is not None:
        said["title"] = title
    if event == words.TASK_STATUS:
        return said | {"status": task_status(body).value}
    if "assignee" in body:
        said["assignee"] = text(body, "assignee")
    if event == words.TASK_ASSIGNEE:
        return said
    start, end = moment(body, "scheduled_start"), moment(body, "scheduled_end")
    description = body.get("description")
    said |= {
        "kind": text(body, "activity_type"),
        "description": description.strip()[:4_000] or None if isinstance(description, str) else None,
        "start_at": start,
        "due_at": None if start is not None and end is not None and end < start else end,
    }
    return {name: value for name, value in said.items() if value is not None}


def _caller(source: HookSource) -> Caller:
    return Caller(f"hook:{source.id}", source.name, frozenset(), "hook")


def _ignored(why: str) -> dict[str, Any]:
    return {"ignored": why}


def _unmapped(trn: str | None) -> dict[str, Any]:
    return _ignored(
        f"The machine {(trn or '?')[:200]} is mapped to no equipment: add it to options.machines of the source, then "
        "replay."
    )


def _told_values(change: StateChange) -> dict[str, Any]:
    tags = change.tags if isinstance(change.tags, dict | list) and len(str(change.tags)) <= 4_000 else None
    return {"machine": change.machine, "sensor": change.sensor, "value": change.value, "tags": tags}
