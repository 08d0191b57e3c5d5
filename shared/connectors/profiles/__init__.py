"""Protocol names and vendors, as data: one JSON file per name in this folder.

A profile says which connector module reads it, what is assumed where the configuration is silent, and what was
verified. A vendor without a public contract gets no invented one: its profile says what has to be configured.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from shared.connectors.mapping import SignalSpec
from shared.json_text import load

__all__ = ["Cloud", "DeviceModel", "Family", "Fields", "ModelSignal", "Profile", "fields", "profile_of", "profiles"]

FOLDER = Path(__file__).parent


class ModelSignal(BaseModel):
    """One signal of a device type: where its node hangs below the device, and what it becomes.

    A ``*`` in ``path`` stands for a number (``ActualTemperatureChamber_*``, counted from 0 or 1 as the maker likes);
    ``{1}`` and ``{2}`` in the keys are the first and second of these numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    key: str
    single: str | None = Field(None, description="Key where the device has only one of them.")
    others: str | None = Field(None, description="Key of those after the first, where `key` has no number.")
    spec: dict[str, Any] = Field(default_factory=dict, description="unit, scale, map ... of the mapping.")


class DeviceModel(BaseModel):
    """A device type of an OPC UA companion specification."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str
    type_id: int
    type_name: str
    signals: tuple[ModelSignal, ...]


class Cloud(BaseModel):
    """A vendor's cloud whose parts have addresses of their own; ``endpoint`` only says that it is this one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    domain: str = Field(description="An endpoint in this domain means the vendor's cloud.")
    opc_ua: str = Field(description="Where it tells live values.")
    opc_ua_device: str = Field(description="Node of one device.")
    rest: str = Field(description="Origin of its REST services.")


class Profile(BaseModel):
    """What is known of one protocol name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: tuple[str, ...] = Field(min_length=1, description="As written in `protocol`.")
    title: str
    connector: str = Field(description="Module of this room that reads it.")
    verified: bool = Field(description="Was it run against the real thing?")
    note: str = ""
    requires_signals: bool = False
    cannot_read_without: tuple[str, ...] = Field((), description="One of these options must be configured to read.")
    cannot_read_because: str = Field("", description="Said by every read while none of them is.")
    opc_ua: DeviceModel | None = Field(None, description="The device type whose nodes are found by browsing.")
    cloud: Cloud | None = None
    defaults: dict[str, Any] = Field(default_factory=dict, description="Options where the configuration is silent.")


class Family(BaseModel):
    """Signals whose number is not known before: every value of the object ``at`` becomes ``prefix`` + its key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: str
    at: str


class Fields(BaseModel):
    """The mapping for devices that speak the implementation guide's own field names; used where none is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    signals: dict[str, SignalSpec]
    families: tuple[Family, ...]
    beside_family: dict[str, str] = Field(description="Signal -> its other name where a family brings that signal too.")
    timestamp_at: str
    ignored: frozenset[str] = Field(description="Fields that are no measurement.")
    others: bool = Field(description="Unknown single values become signals of their own.")


@lru_cache(maxsize=1)
def profiles() -> dict[str, Profile]:
    """All profiles by protocol name."""
    found: dict[str, Profile] = {}
    for file in sorted(FOLDER.glob("*.json")):
        profile = Profile.model_validate(load(file.read_bytes()))
        found.update(dict.fromkeys(profile.names, profile))
    return found


def profile_of(protocol: str) -> Profile | None:
    """The profile of a protocol name."""
    return profiles().get(protocol)


@lru_cache(maxsize=1)
def fields() -> Fields:
    """The guide's own field names."""
    return Fields.model_validate(load((FOLDER / "fields" / "guide.json").read_bytes()))
