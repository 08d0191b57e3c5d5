"""What the options of every protocol have in common, whatever the device speaks.

Beside the options of a protocol single values may stand that a mapping's addresses name in braces; a misspelt option
would look just like one, so a name that is nearly an option's is refused.
"""

from __future__ import annotations

import difflib
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.connectors.mapping import Signals
from shared.connectors.values import is_temperature

__all__ = ["DeviceConfig", "DeviceOptions"]


NOT_FOR_ALL = ("write", "timestamp_at", "max_age")
"""Options of a signal that not every protocol takes."""


class DeviceOptions(BaseModel):
    """``additional_config`` of a device."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True, populate_by_name=True)

    ALSO_KNOWN: ClassVar[tuple[str, ...]] = ()
    """Other names of options."""
    TAKES: ClassVar[frozenset[str]] = frozenset()
    """Of :data:`NOT_FOR_ALL` what this protocol takes."""

    signals: Signals | None = Field(None, description="The mapping.")
    unit: Any = None
    temperature_unit: Literal["C", "F"] = Field("C", description="For temperatures whose mapping names no unit.")

    @field_validator("signals")
    @classmethod
    def _units(cls, value: Signals | None) -> Signals | None:
        for key, spec in (value or {}).items():
            unit = (spec.unit or "C").strip().lstrip("°").upper()
            if is_temperature(key) and unit not in ("C", "F", "CELSIUS", "FAHRENHEIT"):
                raise ValueError(f"['{key}'].unit: a temperature is in C or F")
            for name in NOT_FOR_ALL:
                if name not in cls.TAKES and getattr(spec, name) is not None:
                    raise ValueError(f"['{key}'].{name}: only REST devices take it")
        return value

    @model_validator(mode="after")
    def _nothing_misspelt(self) -> Self:
        known = [*type(self).model_fields, *self.ALSO_KNOWN]
        for name, value in (self.model_extra or {}).items():
            if not isinstance(value, str | int | float | bool) and value is not None:
                raise ValueError(f"['{name[:40]}']: is not known here; only single values may stand beside the options")
            near = difflib.get_close_matches(name, known, 1, 0.8)
            if near:
                raise ValueError(f"['{name[:40]}']: is not known here, did you mean {near[0]}")
        return self

    def variables(self, equipment_id: str) -> dict[str, str]:
        """What may stand in braces in paths, topics and addresses."""
        found = {"equipment_id": equipment_id, "id": equipment_id}
        for name, value in (self.model_extra or {}).items():
            if value is not None and value != "":
                found[name] = str(value).lower() if isinstance(value, bool) else str(value)
        if self.unit is not None:
            found["unit"] = str(self.unit)
        return found


class DeviceConfig(BaseModel):
    """The whole of a connection, in the implementation guide's shape."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    protocol: str | None = Field(None, description="Repeated by some callers; the argument counts.")
    endpoint: str = Field(repr=False)
    port: int | None = Field(None, ge=1, le=65_535)

    @field_validator("credentials", "additional_config", mode="before", check_fields=False)
    @classmethod
    def _none_is_empty(cls, value: Any) -> Any:
        return {} if value is None else value
