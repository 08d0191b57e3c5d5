"""The configuration of a Modbus device, checked once, errors naming the field."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from shared.connectors.device_options import DeviceConfig, DeviceOptions
from shared.connectors.mapping import Signals
from shared.connectors.modbus_address import Order

__all__ = ["Framing", "ModbusConfig", "ModbusOptions", "Parity"]

Framing = Literal["tcp", "rtu"]
Parity = Literal["N", "E", "O"]

_PARITIES = {"NONE": "N", "EVEN": "E", "ODD": "O"}


def _upper(value: Any) -> Any:
    return value.strip().upper() if isinstance(value, str) else value


def _parity(value: Any) -> Any:
    value = _upper(value)
    return _PARITIES.get(value, value) if isinstance(value, str) else value


class ModbusOptions(DeviceOptions):
    """``additional_config`` of a Modbus device. Other single values are names for the addresses: ``{deck}``."""

    unit: int = Field(1, ge=0, le=255, description="Unit id (slave address). Behind a gateway or on a line: 1 to 247.")
    signals: Signals | None = Field(None, description="The mapping: signal to table and address.")
    byte_order: Annotated[Order, BeforeValidator(_upper)] = Field("ABCD", description="Where an address names none.")
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

    @model_validator(mode="after")
    def _sensible(self) -> ModbusOptions:
        if self.answer_timeout > self.timeout:
            raise ValueError("answer_timeout is longer than timeout, which is for everything together")
        return self


class ModbusConfig(DeviceConfig):
    """The whole of it, in the implementation guide's shape."""

    endpoint: str = Field(min_length=1, max_length=500, repr=False)
    credentials: dict[str, Any] = Field(default_factory=dict, repr=False)
    additional_config: ModbusOptions = Field(default_factory=ModbusOptions)

    @field_validator("credentials")
    @classmethod
    def _no_credentials(cls, value: dict[str, Any]) -> dict[str, Any]:
        if any(given not in (None, "") for given in value.values()):
            raise ValueError("Modbus knows no credentials: leave them out; whoever reaches the port may read")
        return value
