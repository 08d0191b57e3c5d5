"""Registrations of our own webhooks: the form, what is kept of it, and the answers.

The article says what can be registered (events, on company or machine level) and what the answer brings (the public
key); how the call looks it leaves open. Everything here beyond that is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from shared import json_text
from shared.callbacks.model import (
    DEFAULT_RETRIES,
    DEFAULT_UNCONFIRMED,
    MAX_RETRIES,
    MAX_UNCONFIRMED,
    Callback,
    Credentials,
    NewCallback,
)
from shared.clock import iso
from shared.platforms.innius.keys import PublicKey, shown
from shared.platforms.innius.words import EVENTS

__all__ = [
    "DIALECT",
    "NewKey",
    "WantedWebhook",
    "answer",
    "concerns",
    "default_trn",
    "events_of",
    "level_of",
    "trn_for",
    "wants",
]

DIALECT = "innius"
"""Of its callbacks; also what they are registered for, which no event of the catalogue is called."""

EventName = Literal[
    "SensorStateChange",
    "MachineStateChange",
    "SensorCreated",
    "SensorDeleted",
    "TaskCreated",
    "TaskStatusChange",
    "TaskAssigneeChanged",
]
Trn = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]
EquipmentId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
PREFIX = "urn:ovenbridge:machine:"


class WantedWebhook(BaseModel):
    """Who wants to be told of which events, of the whole company or of one machine."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    url: str = Field(min_length=1, max_length=8_192, repr=False)
    events: list[EventName] = Field(min_length=1, max_length=7, description="Of the seven; each by its name.")
    machinetrn: Trn | None = Field(
        None, description="On machine level: this machine. Left out: on company level, all machines but shared ones."
    )
    equipment_id: EquipmentId | None = Field(None, description="On machine level, by our own id of the machine.")
    machinetrns: dict[EquipmentId, Trn] = Field(
        default_factory=dict,
        max_length=200,
        description="How machines are called in these events: equipment id -> trn. Others are called "
        "urn:ovenbridge:machine:{id}.",
    )
    username: str | None = Field(None, min_length=1, max_length=255, pattern="^[^:]*$", repr=False)
    password: str | None = Field(None, max_length=1_000, repr=False)
    max_redelivery_attempts: int = Field(DEFAULT_RETRIES, ge=0, le=MAX_RETRIES)
    max_unconfirmed_messages: int = Field(DEFAULT_UNCONFIRMED, ge=0, le=MAX_UNCONFIRMED)
    ca_certificate: str | None = Field(None, min_length=1, max_length=16_000)
    deliver_via: str | None = Field(None, pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")

    @field_validator("events")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        return [name for name in EVENTS if name in value]

    @model_validator(mode="after")
    def _one_machine(self) -> WantedWebhook:
        if self.machinetrn is not None and self.equipment_id is not None:
            raise ValueError("name the machine by `machinetrn` or by `equipment_id`, not by both")
        if (self.password is None) != (self.username is None):
            raise ValueError("`username` and `password` go together")
        trns = list(self.machinetrns.values())
        if len(set(trns)) != len(trns):
            raise ValueError("`machinetrns` gives two machines the same trn")
        return self

    def machine(self) -> str | None:
        """The equipment id that is meant; ``None``: company level. An unknown trn is taken as an id of ours."""
        if self.machinetrn is None:
            return self.equipment_id
        for equipment_id, trn in self.machinetrns.items():
            if trn == self.machinetrn:
                return equipment_id
        return self.machinetrn.removeprefix(PREFIX)

    def wanted(self, equipment_id: str | None) -> NewCallback:
        """As the callbacks room wants it."""
        level = "company" if equipment_id is None else "machine"
        about = {"level": level, "events": ",".join(self.events)}
        if self.machinetrns:
            about["machinetrns"] = json_text.canonical(self.machinetrns).decode()
        return NewCallback(
            event_type=DIALECT,
            url=self.url,
            object_ids=() if equipment_id is None else (equipment_id,),
            max_retries=self.max_redelivery_attempts,
            max_unconfirmed=self.max_unconfirmed_messages,
            dialect=DIALECT,
            credentials=Credentials(username=self.username, password=self.password),
            deliver_via=self.deliver_via,
            ca_certificate=self.ca_certificate,
            about=about,
        )


class NewKey(BaseModel):
    """A change of the key."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    announce_seconds: int = Field(
        86_400, ge=0, le=2_592_000, description="So long the new key is listed before it signs."
    )
    keep_old_seconds: int = Field(86_400, ge=0, le=2_592_000, description="So long the old one stays listed after.")


def default_trn(equipment_id: str) -> str:
    """How a machine is called that has no other name."""
    return PREFIX + equipment_id


def trn_for(callback: Callback, equipment_id: str) -> str:
    """How a machine is called for this receiver."""
    return _trns(callback).get(equipment_id) or default_trn(equipment_id)


def events_of(callback: Callback) -> list[str]:
    """Which events it wants."""
    return callback.about.get("events", "").split(",")


def level_of(callback: Callback) -> str:
    """``company`` or ``machine``."""
    return callback.about.get("level", "company")


def wants(callback: Callback, event: str, equipment_id: str | None, *, shared: bool) -> bool:
    """Is it told of this event?"""
    return event in events_of(callback) and concerns(callback, equipment_id, shared=shared)


def concerns(callback: Callback, equipment_id: str | None, *, shared: bool) -> bool:
    """Is it told of this machine? Of one that others share with us only who asked for that very machine."""
    if level_of(callback) == "machine":
        return equipment_id in callback.object_ids
    return not shared


def answer(callback: Callback, keys: Sequence[PublicKey], now: datetime) -> dict[str, Any]:
    """A registration, with the key that its calls are checked by."""
    machine = callback.object_filter[0] if callback.object_filter else None

    def moment(value: datetime | None) -> str | None:
        return iso(value) if value is not None else None

    return {
        "id": callback.id,
        "url": callback.url,
        "level": level_of(callback),
        "machinetrn": None if machine is None else trn_for(callback, machine),
        "equipment_id": machine,
        "events": events_of(callback),
        "machinetrns": _trns(callback),
        "public_key": keys[0].public,
        "public_keys": shown(keys, now),
        "authentication": callback.authentication,
        "max_redelivery_attempts": callback.max_retries,
        "max_unconfirmed_messages": callback.max_unconfirmed,
        "deliver_via": callback.deliver_via,
        "status": callback.state.value,
        "disabled_reason": callback.disabled_reason,
        "created_at": iso(callback.created_at),
        "last_triggered_at": moment(callback.last_triggered_at),
        "last_successful_at": moment(callback.last_successful_at),
    }


def _trns(callback: Callback) -> Mapping[str, str]:
    text = callback.about.get("machinetrns")
    found: dict[str, str] = json_text.load(text) if text else {}
    return found
