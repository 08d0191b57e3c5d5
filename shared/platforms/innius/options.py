"""What a hook source of the kind ``innius`` may be told."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from shared import json_text
from shared.alerts.model import Severity
from shared.connectors.paths import BadAddress, Path, parse_path
from shared.errors import FieldProblem, InvalidInput
from shared.platforms.innius.signature import load_public_key
from shared.platforms.innius.words import State

__all__ = ["InniusOptions", "UiBody", "checked", "options_of"]

Name = Annotated[str, Field(min_length=1, max_length=500)]
EquipmentId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class UiBody(BaseModel):
    """Where the newer webhooks (those made in the Admin app) have their fields. All of it is unverified: no public
    document shows their body. Paths are written ``a.b[0].c``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    machine: Name = Field("machinetrn", description="Path of the machine's trn; unverified.")
    sensor: Name = Field("sensorid", description="Path of the sensor's id; unverified.")
    value: Name = Field("value", description="Path of the measured value; unverified.")
    state: Name = Field("status", description="Path of the sensor's state; unverified.")
    tags: Name = Field("tags", description="Path of the custom tags; unverified.")
    states: dict[Name, Annotated[int, Field(ge=0, le=2)]] = Field(
        default_factory=lambda: {"normal": 0, "caution": 1, "emergency": 2, "0": 0, "1": 1, "2": 2},
        max_length=50,
        description="What a state's word means (any casing): 0 Normal, 1 Caution, 2 Emergency; unverified.",
    )

    @field_validator("machine", "sensor", "value", "state", "tags")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        try:
            parse_path(value)
        except BadAddress as err:
            raise ValueError(str(err)) from None
        return value

    def path(self, name: str) -> Path:
        """Of a field, ready to use."""
        return parse_path(getattr(self, name))


class InniusOptions(BaseModel):
    """Of a hook source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    public_keys: list[Annotated[str, Field(min_length=1, max_length=8_000)]] = Field(
        default_factory=list,
        max_length=2,
        description="What the registration answered: base64 PKIX, RSA. Two while innius changes its key. "
        "With a key, webhooks of the API generation must be signed.",
    )
    machines: dict[Name, EquipmentId] = Field(
        default_factory=dict,
        max_length=1_000,
        description="Machine trn -> equipment id. Others are stored and have no effect.",
    )
    sensors: dict[Name, Annotated[str, Field(min_length=1, max_length=100)]] = Field(
        default_factory=dict, max_length=1_000, description="Sensor id -> our signal, for alerts that people read."
    )
    retry_seconds: int = Field(
        5,
        ge=0,
        le=60,
        description="The same event with the same body within so long is a retry, later ones are happenings of their "
        "own; 0: every message is one. How innius retries is unverified.",
    )
    caution: Severity = Field(Severity.WARNING, description="Severity of an alert by the state Caution.")
    emergency: Severity = Field(Severity.CRITICAL, description="Severity of an alert by the state Emergency.")
    machine_state: Literal["machine", "sensor", "ignore"] = Field(
        "machine",
        description="MachineStateChange raises one alert per machine, or per machine and sensor, or none. That it "
        "tells of the worst of the machine's sensors is unverified.",
    )
    tasks: bool = Field(True, description="Do task events become tasks?")
    ui_body: UiBody = Field(default_factory=UiBody, description="For webhooks made in the Admin app; unverified.")

    def equipment(self, machine: str | None, default: str | None) -> str | None:
        """Which machine of ours a trn is. ``default``: of a source that is for one machine alone and maps none."""
        return self.machines.get(machine or "") if self.machines else default

    def severity(self, state: State) -> Severity:
        """Of an alert by this state."""
        return self.emergency if state is State.EMERGENCY else self.caution


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with their defaults.

    Raises:
        InvalidInput: naming ``options.<field>``.
    """
    try:
        found = InniusOptions.model_validate(dict(options))
    except ValidationError as err:
        problems = [
            FieldProblem(".".join(("options", *map(str, e["loc"])))[:200], e["msg"].removeprefix("Value error, "))
            for e in err.errors(include_url=False, include_input=False, include_context=False)[:20]
        ]
        raise InvalidInput(f"{problems[0].field}: {problems[0].problem}", problems=problems) from err
    for number, text in enumerate(found.public_keys):
        try:
            load_public_key(text)
        except InvalidInput as err:
            raise InvalidInput(err.detail, field=f"options.public_keys.{number}") from err
    return found.model_dump(mode="json")


def options_of(stored: Mapping[str, Any]) -> InniusOptions:
    """As they were checked; parsed once for many messages."""
    return _parsed(json_text.canonical(dict(stored)))


@lru_cache(maxsize=256)
def _parsed(text: bytes) -> InniusOptions:
    return InniusOptions.model_validate_json(text)
