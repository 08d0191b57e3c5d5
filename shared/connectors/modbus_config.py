"""The configuration of a Modbus device, checked once, errors naming the field."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from shared.connectors.mapping import Signals
from shared.connectors.modbus_address import Order
from shared.connectors.values import is_temperature

__all__ = ["Framing", "ModbusConfig", "ModbusOptions", "Parity"]

Framing = Literal["tcp", "rtu"]
Parity = Literal["N", "E", "O"]

_PARITIES = {"NONE": "N", "EVEN": "E", "ODD": "O"}


def _upper(value: Any) -> Any:
    return value.strip().upper() if isinstance(value, str) else value


def _parity(value: Any) -> Any:
    value = _upper(value)
    return _PARITIES.get(value, value) if isinstance(value, str) else value


class ModbusOptions(BaseModel):
    """``additional_config`` of a Modbus device. Other single values are names for the addresses: ``{deck}``."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    unit: int = Field(1, ge=0, le=255, description="Unit id (slave address). Behind a gateway or on a line: 1 to 247.")
    signals: Signals | None = Field(None, description="The mapping: signal to table and address.")
    byte_order: Annotated[Order, BeforeValidator(_upper)] = Field("ABCD", description="Where an address names none.")
    temperature_unit: Literal["C", "F"] = Field("C", description="For temperatures whose mapping names no unit.")
    timeout: float = Field(
        5.0, ge=0.2, le=60, description="Seconds for everything: waiting for the line, connecting, all answers."
    )
    answer_timeout: float = Field(1.0, ge=0.02, le=30, description="Seconds for one answer.")
    max_gap: int = Field(8, ge=0, le=100, description="Unused addresses read along to save a request.")
    max_registers: int = Field(120, ge=1, le=125, description="Registers of one request.")
    pause_between_requests: float = Field(0.0, ge=0, le=5, description="Seconds a slow device needs between two.")
    keep_open: bool | None = Field(
        None, description="Keep the connection between polls? By default only for lines asked every few seconds."
    )
    framing: Framing | None = Field(
        None, description="rtu over TCP: for serial servers that pass bytes through. Default: by the endpoint."
    )
    baudrate: int = Field(9_600, ge=300, le=1_000_000, description="Serial line only.")
    parity: Annotated[Parity, BeforeValidator(_parity)] = Field("N", description="Serial line only.")
    stop_bits: Literal[1, 2] = Field(1, description="Serial line only.")

    @field_validator("signals")
    @classmethod
    def _units(cls, value: Signals | None) -> Signals | None:
        for key, spec in (value or {}).items():
            unit = (spec.unit or "C").strip().lstrip("°").upper()
            if is_temperature(key) and unit not in ("C", "F", "CELSIUS", "FAHRENHEIT"):
                raise ValueError(f"['{key}'].unit: a temperature is in C or F")
        return value

    @model_validator(mode="after")
    def _sensible(self) -> ModbusOptions:
        if self.answer_timeout > self.timeout:
            raise ValueError("answer_timeout is longer than timeout, which is for everything together")
        known = list(type(self).model_fields)
        for name, value in (self.model_extra or {}).items():
            if not isinstance(value, str | int | float | bool) and value is not None:
                raise ValueError(f"['{name[:40]}']: is not known here; only single values may stand beside the options")
            near = difflib.get_close_matches(name, known, 1, 0.8)
            if near:
                raise ValueError(f"['{name[:40]}']: is not known here, did you mean {near[0]}")
        return self

    def variables(self, equipment_id: str) -> dict[str, str]:
        """What may stand in braces in addresses."""
        found = {"equipment_id": equipment_id, "id": equipment_id, "unit": str(self.unit)}
        for name, value in (self.model_extra or {}).items():
            if value is not None and value != "":
                found[name] = str(value).lower() if isinstance(value, bool) else str(value)
        return found


class ModbusConfig(BaseModel):
    """The whole of it, in the implementation guide's shape."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    protocol: str | None = Field(None, description="Repeated by some callers; the argument counts.")
    endpoint: str = Field(min_length=1, max_length=500, repr=False)
    port: int | None = Field(None, ge=1, le=65_535)
    credentials: dict[str, Any] = Field(default_factory=dict, repr=False)
    additional_config: ModbusOptions = Field(default_factory=ModbusOptions)

    @field_validator("credentials", "additional_config", mode="before")
    @classmethod
    def _none_is_empty(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("credentials")
    @classmethod
    def _no_credentials(cls, value: dict[str, Any]) -> dict[str, Any]:
        if any(given not in (None, "") for given in value.values()):
            raise ValueError("Modbus knows no credentials: leave them out; whoever reaches the port may read")
        return value
