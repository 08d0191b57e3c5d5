"""The configuration of an MQTT device, checked once, errors naming the field."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from shared.connectors.device_options import DeviceConfig, DeviceOptions
from shared.connectors.mapping import Signals
from shared.connectors.mqtt_topics import BadTopic, parse_at, parse_filter
from shared.connectors.paths import BadAddress, parse_path

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


class MqttOptions(DeviceOptions):
    """``additional_config`` of an MQTT device. Other single values are names for topics and addresses: ``{line}``."""

    ALSO_KNOWN = ("timestampAt", "topic")

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
        return value

    @model_validator(mode="after")
    def _sensible(self) -> MqttOptions:
        if self.ca_certificate is not None and not self.verify_ssl:
            raise ValueError("ca_certificate has no effect while verify_ssl is false: leave one of them out")
        return self


class MqttConfig(DeviceConfig):
    """The whole of it, in the implementation guide's shape."""

    credentials: MqttCredentials = Field(default_factory=MqttCredentials, repr=False)
    additional_config: MqttOptions = Field(default_factory=lambda: MqttOptions.model_validate({}))
