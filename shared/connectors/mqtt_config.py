"""The configuration of an MQTT device, checked once, errors naming the field."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from shared.connectors.mapping import Signals
from shared.connectors.mqtt_topics import BadTopic, parse_at, parse_filter
from shared.connectors.paths import BadAddress, parse_path
from shared.connectors.values import is_temperature

__all__ = ["MqttConfig", "MqttCredentials", "MqttOptions"]

LONG_WEEKEND = 259_200


def _not_empty(value: Any) -> Any:
    return None if value == "" else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Text = Annotated[Annotated[str, Field(max_length=1_024)] | None, BeforeValidator(_not_empty), Field(repr=False)]
Topic = Annotated[str, Field(min_length=1, max_length=500)]


class MqttCredentials(BaseModel):
    """How the broker is asked to let us in: nobody, or a user name and a password."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    username: Text = None
    password: Text = None

    @model_validator(mode="after")
    def _together(self) -> MqttCredentials:
        if self.password and not self.username:
            raise ValueError("password is given without username")
        return self


class MqttOptions(BaseModel):
    """``additional_config`` of an MQTT device. Other single values are names for topics and addresses: ``{line}``."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True, populate_by_name=True)

    path: Annotated[list[Topic], BeforeValidator(_listed)] = Field(
        default_factory=list,
        max_length=20,
        validation_alias=AliasChoices("path", "topic"),
        description="Topic filter of the device's messages, or several; beside them the topics of the signals' `at`.",
    )
    signals: Signals | None = Field(None, description="The mapping. Without it the guide's field names are read.")
    partial_messages: bool = Field(
        False, description="true: a message may hold some of the signals only; the others are not reported as missing."
    )
    timestamp_at: str | None = Field(
        None,
        validation_alias=AliasChoices("timestamp_at", "timestampAt"),
        description="Address of the time of measurement: ISO 8601, or seconds or milliseconds since 1970.",
    )
    client_id: str | None = Field(
        None, min_length=1, max_length=100, description="Name of our session at the broker, where it allows only some."
    )
    session_expiry: int = Field(
        LONG_WEEKEND,
        ge=60,
        le=2_592_000,
        description="Seconds for which the broker keeps messages while nobody fetches them.",
    )
    timeout: float = Field(8.0, ge=0.5, le=60, description="Seconds for connecting and fetching together.")
    verify_ssl: bool = Field(True, description="false: any certificate is accepted, for this device only.")
    ca_certificate: str | None = Field(
        None, max_length=200_000, description="Own CA (or the broker's own certificate), PEM."
    )
    allow_plain_password: bool = Field(
        False, description="true: send the password although nothing encrypts it. Only on a network of your own."
    )
    unit: str | int | None = Field(None, description="What {unit} stands for.")
    temperature_unit: Literal["C", "F"] = Field("C", description="For temperatures whose mapping names no unit.")

    @field_validator("path")
    @classmethod
    def _filters(cls, value: list[str]) -> list[str]:
        for text in value:
            try:
                parse_filter(text)
            except BadTopic as err:
                raise ValueError(str(err)) from None
        return value

    @field_validator("timestamp_at")
    @classmethod
    def _timestamp_address(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parse_path(value)
            except BadAddress as err:
                raise ValueError(str(err)) from None
        return value

    @field_validator("signals")
    @classmethod
    def _addresses(cls, value: Signals | None) -> Signals | None:
        for key, spec in (value or {}).items():
            try:
                parse_at(spec.at)
            except (BadTopic, BadAddress) as err:
                raise ValueError(f"['{key}'].at: {err}") from None
            if spec.writable:
                raise ValueError(f"['{key}'].writable: MQTT devices are only read: leave it out")
            unit = (spec.unit or "C").strip().lstrip("°").upper()
            if is_temperature(key) and unit not in ("C", "F", "CELSIUS", "FAHRENHEIT"):
                raise ValueError(f"['{key}'].unit: a temperature is in C or F")
        return value

    @model_validator(mode="after")
    def _sensible(self) -> MqttOptions:
        if self.ca_certificate is not None and not self.verify_ssl:
            raise ValueError("ca_certificate has no effect while verify_ssl is false: leave one of them out")
        known = [*type(self).model_fields, "timestampAt", "topic"]
        for name, value in (self.model_extra or {}).items():
            if not isinstance(value, str | int | float | bool) and value is not None:
                raise ValueError(f"['{name[:40]}']: is not known here; only single values may stand beside the options")
            near = difflib.get_close_matches(name, known, 1, 0.8)
            if near:
                raise ValueError(f"['{name[:40]}']: is not known here, did you mean {near[0]}")
        return self

    def variables(self, equipment_id: str) -> dict[str, str]:
        """What may stand in braces in topics and addresses."""
        found = {"equipment_id": equipment_id, "id": equipment_id}
        for name, value in (self.model_extra or {}).items():
            if value is not None and value != "":
                found[name] = str(value).lower() if isinstance(value, bool) else str(value)
        if self.unit is not None:
            found["unit"] = str(self.unit)
        return found


class MqttConfig(BaseModel):
    """The whole of it, in the implementation guide's shape."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    protocol: str | None = Field(None, description="Repeated by some callers; the argument counts.")
    endpoint: str = Field(repr=False)
    port: int | None = Field(None, ge=1, le=65_535)
    credentials: MqttCredentials = Field(default_factory=MqttCredentials, repr=False)
    additional_config: MqttOptions = Field(default_factory=lambda: MqttOptions.model_validate({}))

    @field_validator("credentials", "additional_config", mode="before")
    @classmethod
    def _none_is_empty(cls, value: Any) -> Any:
        return {} if value is None else value
