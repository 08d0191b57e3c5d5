"""Reading what innius says: strict only about what is acted on, tolerant about everything else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from shared import json_text
from shared.connectors.paths import PathMissing
from shared.errors import InvalidInput
from shared.platforms.innius.options import UiBody
from shared.platforms.innius.words import TASK_STATUSES, State
from shared.work.task_model import TaskStatus

__all__ = [
    "StateChange",
    "body_of",
    "conversation",
    "moment",
    "needed",
    "state_change",
    "task_status",
    "text",
    "ui_change",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_TRN = 500


@dataclass(frozen=True, slots=True)
class StateChange:
    """The state of a sensor, or of a machine."""

    machine: str | None
    """Its trn; ``None``: the body does not say."""
    sensor: str | None
    state: State | None
    """``None``: it tells of a value alone."""
    previous: float | None
    value: float | str | bool | None
    tags: Any = None
    conversation: str | None = None


def body_of(raw: bytes) -> Mapping[str, Any]:
    """The body, which is an object. Raises ``InvalidInput``."""
    body = json_text.load_foreign(raw)
    if not isinstance(body, dict):
        raise InvalidInput("The body is no JSON object.", field="body")
    return body


def text(body: Mapping[str, Any], name: str, most: int = 200) -> str | None:
    """One line for people; ``None``: there is none."""
    value = body.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    return "".join(c if c.isprintable() else " " for c in value).strip()[:most] or None


def needed(body: Mapping[str, Any], name: str) -> str:
    """A name that we cannot do without. Raises ``InvalidInput``."""
    value = text(body, name, MAX_TRN + 1)
    if value is None or len(value) > MAX_TRN:
        raise InvalidInput(f"The body has no {name}: nothing can be done with it.", field=name)
    return value


def conversation(body: Mapping[str, Any]) -> str | None:
    """``conversationid`` in sensor and machine events, ``conversation_id`` in task events: either is taken in all."""
    return text(body, "conversationid") or text(body, "conversation_id")


def state_change(body: Mapping[str, Any]) -> StateChange:
    """SensorStateChange and MachineStateChange. Raises ``InvalidInput``."""
    status = _whole(body.get("status"))
    if status not in tuple(State):
        raise InvalidInput("status is 0 (Normal), 1 (Caution) or 2 (Emergency); the body has another.", field="status")
    return StateChange(
        needed(body, "machinetrn"),
        text(body, "sensorid", MAX_TRN),
        State(status),
        _number(body.get("previousValue")),
        _number(body.get("currentValue")),
        None,
        conversation(body),
    )


def task_status(body: Mapping[str, Any]) -> TaskStatus:
    """Of TaskStatusChange. Raises ``InvalidInput``."""
    found = TASK_STATUSES.get(_whole(body.get("status")) or 0)
    if found is None:
        raise InvalidInput("status of a task is 1 to 5 (ToDo ... Postponed); the body has another.", field="status")
    return found


def moment(body: Mapping[str, Any], name: str) -> datetime | None:
    """A time in milliseconds since 1970; ``None``: none, or one that no calendar has."""
    value = _number(body.get(name))
    if value is None or not 0 < value < 253_402_300_800_000:  # the year 10,000
        return None
    return EPOCH + timedelta(milliseconds=value)


def ui_change(raw: bytes, profile: UiBody) -> StateChange:
    """A message of the newer webhooks, by the profile of the source. Raises ``InvalidInput``."""
    body = body_of(raw)

    def find(name: str) -> Any:
        try:
            return profile.path(name).find(body)
        except PathMissing:
            return None

    said = {name: find(name) for name in ("machine", "sensor")}
    value, state = find("value"), find("state")
    known = {word.lower(): State(number) for word, number in profile.states.items()}
    word = str(state).strip().lower() if isinstance(state, str | int | float) and not isinstance(state, bool) else ""
    if word and word not in known:
        raise InvalidInput(
            "The state is none of those in options.ui_body.states: add its word there, then replay.", field="state"
        )
    return StateChange(
        text(said, "machine", MAX_TRN),
        text(said, "sensor", MAX_TRN),
        known.get(word),
        None,
        value[:200] if isinstance(value, str) else value if isinstance(value, bool) else _number(value),
        find("tags"),
    )


def _whole(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number == int(number) else None


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None
