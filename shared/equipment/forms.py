"""What callers write: the equipment resource, and the guide's IoT configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from shared.errors import FieldProblem, InvalidInput

__all__ = [
    "EQUIPMENT_ID",
    "READ_ONLY",
    "EquipmentChange",
    "EquipmentFields",
    "IotConnectionConfig",
    "NewEquipment",
    "refuse_read_only",
]

EQUIPMENT_ID = r"^[A-Za-z0-9_-]{1,64}$"

RESERVED_IDS = frozenset({"iot-alerts"})
"""Words that stand at the place of an id in other routes."""

READ_ONLY = frozenset(
    {
        "iot_connection_status",
        "iot_last_connected",
        "iot_connection_since",
        "iot_last_error",
        "iot_credential_set",
        "iot_credentials_set",
        "iot_credentials_set_at",
        "created_at",
        "updated_at",
    }
)
"""Fields of the answer that nobody can set."""

PORT = Annotated[int, Field(ge=1, le=65_535)]
SECONDS = Annotated[int, Field(ge=1, le=86_400)]
"""Bounded once more where the machine is known: what is read from here has at least 10 (``place.py``)."""
RELAY_ID = r"^[a-z0-9][a-z0-9-]{0,39}$"
CREDENTIAL_REF = r"^[A-Za-z0-9][A-Za-z0-9-]{0,99}$"


def _one_line(value: Any) -> Any:
    if isinstance(value, str):
        value = value.strip()
        if not value:
            return None
        if not value.isprintable():
            raise ValueError("write one line without control characters")
    return value


def _named(value: Any) -> Any:
    value = _one_line(value)
    if value is None:
        raise ValueError("write a name that people recognise, such as Deck oven 3")
    return value


# The bound stands inside: around "or none" it would be asked of None.
Text = Annotated[Annotated[str, Field(max_length=200)] | None, BeforeValidator(_one_line)]
Location = Annotated[Annotated[str, Field(max_length=2_000)] | None, BeforeValidator(_one_line)]
Name = Annotated[str, BeforeValidator(_named), Field(min_length=1, max_length=200)]


class EquipmentFields(BaseModel):
    """What can be set of a machine. A field that is left out stays as it is; ``null`` puts its default back."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    site: Text = Field(None, description="The plant.")
    type: Text = Field(None, description="deck_oven, rack_oven, proofer ...")
    model: Text = None
    manufacturer: Text = None
    serial_number: Text = None
    firmware_version: Text = None
    location: Text = Field(None, description="Where it stands: hall, line, place.")
    profile: Text = Field(None, description="Whose default alert rules hold for it.")
    iot_enabled: bool | None = Field(None, description="Read it? Default: yes as soon as it has a protocol.")
    iot_protocol: Text = Field(None, description="rest_api, custom, opc_ua, mqtt, modbus, or a vendor's name.")
    iot_endpoint: Location = None
    iot_port: PORT | None = None
    iot_credentials: dict[str, Any] | None = Field(
        None, repr=False, description="Write-only. Left out: the stored ones stay; null: they are removed."
    )
    iot_config: dict[str, Any] | None = Field(None, description="The guide's additional_config, with `signals`.")
    supports_realtime: bool | None = Field(None, description="May it be polled? Default true.")
    supports_humidity: bool | None = None
    supports_energy_monitoring: bool | None = None
    supports_remote_control: bool | None = None
    poll_interval_seconds: SECONDS | None = Field(None, description="10 to 86,400, by a relay 1 to 86,400; default 30.")
    polled_from: Literal["cloud", "relay"] | None = Field(
        None, description="Who reads it? Default cloud; relay as soon as it has a relay_id."
    )
    relay_id: Annotated[str, Field(pattern=RELAY_ID)] | None = Field(None, description="The relay that reads it.")
    relay_credential_ref: Annotated[str, Field(pattern=CREDENTIAL_REF)] | None = Field(
        None, description="The name of its credentials on the relay, where they are kept on site and not here."
    )
    temperature_zones: Annotated[int, Field(ge=0, le=100)] | None = Field(None, description="How many; default 1.")
    shared: bool | None = Field(
        None, description="Another company's machine, shared with yours: subscriptions to all machines leave it out."
    )


class NewEquipment(EquipmentFields):
    """A machine to be registered."""

    name: Name
    id: str | None = Field(
        None, pattern=EQUIPMENT_ID, description="Of your choice: letters, digits, _ and -. Left out: we make one."
    )

    @field_validator("id")
    @classmethod
    def _free_word(cls, value: str | None) -> str | None:
        if value is not None and value.lower() in RESERVED_IDS:
            raise ValueError("this word has a meaning of its own in the API: choose another id")
        return value


class EquipmentChange(EquipmentFields):
    """A change of a machine."""

    name: Name = ""
    """Left out: it keeps its name."""


class IotConnectionConfig(BaseModel):
    """How a machine is reached: the request body of ``POST .../iot-config``, as the guide writes it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    protocol: Annotated[str, BeforeValidator(_named), Field(max_length=200)]
    endpoint: Location = None
    port: PORT | None = None
    credentials: dict[str, Any] | None = Field(
        None, repr=False, description="Left out: the stored ones stay; null: they are removed."
    )
    additional_config: dict[str, Any] | None = None
    supports_realtime: bool | None = Field(None, description="Left out: as before, at first true.")
    poll_interval_seconds: SECONDS | None = Field(None, description="Left out: as before, at first 30.")
    enabled: bool = Field(True, description="false: save it, and do not poll yet.")


def refuse_read_only(body: Any) -> None:
    """Name the fields that nobody can set.

    Raises:
        InvalidInput: the caller tried, perhaps by sending an answer of ours back.
    """
    if not isinstance(body, Mapping):
        return
    found = sorted(READ_ONLY & body.keys())
    if found:
        problems = [FieldProblem(name, "This field is read-only: leave it out.") for name in found]
        raise InvalidInput(f"{', '.join(found)}: read-only, leave out what cannot be set.", problems=problems)
