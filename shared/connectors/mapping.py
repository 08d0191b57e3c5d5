"""The device mapping: one shape for every protocol (reference/equipment.md section 7, docs/equipment-mapping.md).

``"key": "address"`` or ``"key": {"at": "address", "unit", "scale", "offset", "digits", "map", "invalid", "min", "max",
"max_rate", "deadband", "writable"}``, and for REST "write", "timestamp_at", "max_age". Only the address differs between
protocols; what happens to the raw value is the same everywhere and stands in :func:`shared.connectors.values.value_of`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, model_validator

from shared.connectors.rest_order import WriteSpec

__all__ = ["SIGNAL_KEY", "Scalar", "SignalSpec", "Signals", "canonical_key"]

SIGNAL_KEY = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")
MAX_SIGNALS = 200

Scalar = bool | int | float | str


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


class SignalSpec(BaseModel):
    """How one signal is read. In this order: ``invalid``, ``map``, ``scale``, ``offset``, range, unit, ``digits``."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    at: str = Field(min_length=1, max_length=500, description="Address of the value; its grammar is the protocol's.")
    unit: str | None = Field(
        None, max_length=20, description="Unit the device speaks; F is turned into C for temperatures."
    )
    scale: FiniteFloat | None = Field(None, description="Factor: 0.1 turns 1853 into 185.3.")
    offset: FiniteFloat | None = Field(None, description="Added after the factor.")
    digits: int | None = Field(None, ge=0, le=10, description="Round to so many decimals.")
    map: dict[str, Scalar] | None = Field(None, min_length=1, max_length=200, description="Device's word to ours.")
    invalid: Annotated[list[Scalar], BeforeValidator(_as_list)] = Field(
        default_factory=list, max_length=50, description="Raw values that mean *no value* (sensor sentinels)."
    )
    min: FiniteFloat | None = Field(None, description="Least plausible value, in `unit`. Below: uncertain.")
    max: FiniteFloat | None = Field(None, description="Largest plausible value, in `unit`. Above: uncertain.")
    max_rate: FiniteFloat | None = Field(
        None, gt=0, description="Most it can change in a minute, in `unit`. Faster: uncertain."
    )
    deadband: FiniteFloat | None = Field(None, ge=0, description="Smaller changes need not be reported, in `unit`.")
    writable: bool = Field(False, description="May this signal be written, where the device's remote control is on?")
    write: WriteSpec | None = Field(None, description="REST: how it is written.")
    timestamp_at: str | None = Field(
        None, min_length=1, max_length=500, description="REST: address of this signal's own time of measurement."
    )
    max_age: FiniteFloat | None = Field(
        None, gt=0, description="REST: seconds; a value measured longer ago is uncertain."
    )

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        return {"at": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _sensible(self) -> SignalSpec:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max")
        if self.scale == 0:
            raise ValueError("scale 0 would make every value the same")
        return self

    @property
    def wants_number(self) -> bool:
        """Something numeric is done with the value."""
        return any(
            part is not None for part in (self.scale, self.offset, self.digits, self.min, self.max, self.max_rate)
        )


def _checked_keys(value: Any) -> Any:
    if not isinstance(value, Mapping):
        # pydantic turns a ValueError into the answer for the caller, a TypeError into a crash.
        raise ValueError(  # noqa: TRY004
            'write an object such as {"temperature.cabinet": "data.temp"}'
        )
    seen: dict[str, str] = {}
    for key in value:
        if not isinstance(key, str) or SIGNAL_KEY.fullmatch(key) is None or len(key) > 100:
            raise ValueError(
                f"{str(key)[:40]!r} is no signal key: lower-case letters, digits and _ in parts joined by dots, "
                "such as temperature.deck1"
            )
        one = canonical_key(key)
        if one in seen:
            raise ValueError(f"{seen[one]} and {key} are the same signal: keep one")
        seen[one] = key
    return value


def canonical_key(key: str) -> str:
    """A mapped ``temperature`` without a zone is the cabinet's."""
    return "temperature.cabinet" if key == "temperature" else key


Signals = Annotated[dict[str, SignalSpec], BeforeValidator(_checked_keys), Field(min_length=1, max_length=MAX_SIGNALS)]
