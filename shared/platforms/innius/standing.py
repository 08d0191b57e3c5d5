"""What our receivers believe of a machine, what is so, and the events in between. Pure.

States are told by level and not by edge: what is compared is what was told last with what is so now. So nothing is told
twice, and what was missed while a process was dead is told by whoever looks next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.platforms.innius import words
from shared.platforms.innius.words import State

__all__ = ["Cause", "Standing", "Truth", "events_between"]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a machine is not normal: a sensor, or something of the whole machine."""

    state: State
    conversation: str
    """The alert that says so; kept for the event that says it is over."""
    is_sensor: bool = True
    value: float | None = None

    def stored(self) -> dict[str, Any]:
        """For the document."""
        return {"state": int(self.state), "conversation": self.conversation, "sensor": self.is_sensor}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Cause:
        """Back from the document."""
        return cls(State(stored["state"]), stored["conversation"], stored["sensor"])


@dataclass(frozen=True, slots=True)
class Truth:
    """What is so now."""

    sensors: tuple[str, ...]
    """Signals that the machine's mapping has."""
    causes: Mapping[str, Cause]
    """By signal, or by what kind of thing it is; only what is not normal."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What was told last."""

    sensors: tuple[str, ...] = ()
    causes: Mapping[str, Cause] = field(default_factory=dict)

    @property
    def machine(self) -> State:
        """The worst of all."""
        return max((cause.state for cause in self.causes.values()), default=State.NORMAL)

    def stored(self) -> dict[str, Any]:
        """For the document."""
        return {
            "sensors": list(self.sensors),
            "causes": {name: cause.stored() for name, cause in self.causes.items()},
        }

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Standing:
        """Back from the document."""
        causes = {name: Cause.of(one) for name, one in stored["causes"].items()}
        return cls(tuple(stored["sensors"]), causes)


Told = tuple[str, dict[str, Any]]
"""An event's name and its body; the machine's trn is filled in for each receiver."""


def events_between(before: Standing, truth: Truth) -> tuple[Standing, list[Told]]:
    """What has to be told, and what will have been told then. The values of sensors are filled in later."""
    told: list[Told] = [
        (words.SENSOR_CREATED, {"sensorid": s, "machinetrn": ""}) for s in truth.sensors if s not in before.sensors
    ]
    changed = [
        name
        for name in dict.fromkeys((*truth.causes, *before.causes))
        if _state(truth.causes, name) is not _state(before.causes, name)
    ]
    for name in changed:
        cause = truth.causes.get(name) or before.causes[name]
        if cause.is_sensor:
            body = {
                "sensorid": name,
                "machinetrn": "",
                "conversationid": cause.conversation,
                "status": int(_state(truth.causes, name)),
                "previousValue": None,
                "currentValue": cause.value if name in truth.causes else None,
            }
            told.append((words.SENSOR_STATE, body))
    after = Standing(truth.sensors, truth.causes)
    if after.machine is not before.machine:
        # The one that made it worse, or the one whose end made it better.
        reason = max(changed, key=lambda name: max(_state(truth.causes, name), _state(before.causes, name)))
        cause = truth.causes.get(reason) or before.causes[reason]
        body = {
            "sensorid": reason,
            "machinetrn": "",
            "conversationid": cause.conversation,
            "status": int(after.machine),
        }
        told.append((words.MACHINE_STATE, body))
    told += [
        (words.SENSOR_DELETED, {"sensorid": s, "machinetrn": ""}) for s in before.sensors if s not in truth.sensors
    ]
    return after, told


def _state(causes: Mapping[str, Cause], name: str) -> State:
    cause = causes.get(name)
    return State.NORMAL if cause is None else cause.state
