"""The words of the innius webhook article: events, states, task states."""

from __future__ import annotations

from enum import IntEnum

from shared.alerts.model import Severity
from shared.work.task_model import TaskStatus

__all__ = ["EVENTS", "EVENT_HEADER", "SIGNATURE_HEADER", "TASK_STATUSES", "State", "canonical_event", "state_of"]

EVENT_HEADER = "X-Innius-Event"
SIGNATURE_HEADER = "X-innius-validation"
"""As the article spells them; receivers take any casing (RFC 9110)."""

SENSOR_STATE = "SensorStateChange"
MACHINE_STATE = "MachineStateChange"
SENSOR_CREATED = "SensorCreated"
SENSOR_DELETED = "SensorDeleted"
TASK_CREATED = "TaskCreated"
TASK_STATUS = "TaskStatusChange"
TASK_ASSIGNEE = "TaskAssigneeChanged"

EVENTS = (
    SENSOR_STATE,
    MACHINE_STATE,
    SENSOR_CREATED,
    SENSOR_DELETED,
    TASK_CREATED,
    TASK_STATUS,
    TASK_ASSIGNEE,
)
"""The seven of the article, in its order."""

_BY_LOWER = {name.lower(): name for name in EVENTS}


class State(IntEnum):
    """Of a sensor or a machine."""

    NORMAL = 0
    CAUTION = 1
    EMERGENCY = 2


TASK_STATUSES: dict[int, TaskStatus] = {
    1: TaskStatus.OPEN,
    2: TaskStatus.IN_PROGRESS,
    3: TaskStatus.DONE,
    4: TaskStatus.CANCELLED,
    5: TaskStatus.POSTPONED,
}
"""The article's ToDo, In Progress, Done, Cancelled, Postponed, in our words."""

_STATES = {Severity.INFO: State.NORMAL, Severity.WARNING: State.CAUTION, Severity.CRITICAL: State.EMERGENCY}


def canonical_event(given: str) -> str:
    """The article's spelling of an event's name; an unknown one as it came."""
    return _BY_LOWER.get(given.strip().lower(), given.strip()[:100])


def state_of(severity: str) -> State:
    """What an alert of ours makes of its sensor. ``info`` is no reason for caution."""
    return _STATES[Severity(severity)]
