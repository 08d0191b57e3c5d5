"""Which signal may be written, and with what: judged by the mapping and by what the machine says now. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from shared.connectors.inverse import raw_of
from shared.connectors.mapping import SignalSpec, canonical_key
from shared.connectors.values import is_temperature
from shared.errors import Conflict, InvalidInput
from shared.signals import WELL_KNOWN_SIGNALS, SignalValue, Value

__all__ = ["Writable", "check_kind", "same", "writable"]


@dataclass(frozen=True, slots=True)
class Writable:
    """A signal whose mapping lets it be written."""

    key: str
    spec: SignalSpec
    temperature_unit: str
    """The device's, where the mapping names none."""

    @property
    def is_number(self) -> bool:
        """Its value is a number, whatever the device says."""
        return bool(WELL_KNOWN_SIGNALS.get(self.key)) or is_temperature(self.key) or self.spec.wants_number

    def check(self, value: Value) -> None:
        """Before anything is asked of the device.

        Raises:
            Conflict: its mapping has no range.
            InvalidInput: naming ``value``: not a number, out of range, not in the map.
        """
        if self.is_number:
            self.bounded()
        raw_of(self.key, value, self.spec, temperature_unit=self.temperature_unit)

    def bounded(self) -> None:
        """Raises ``Conflict`` where nothing says how far the number may go."""
        if self.spec.map is not None:
            return  # the map is its range
        missing = [name for name in ("min", "max") if getattr(self.spec, name) is None]
        if missing:
            raise Conflict(
                f"{self.key} cannot be written: its mapping has no {' and no '.join(missing)}, and numbers are written "
                f"within a range only. An engineer adds {' and '.join(missing)} at iot_config.signals['{self.key}'], "
                "in the unit of the device."
            )


def writable(iot_config: Mapping[str, Any], signal: str) -> Writable:
    """The signal, if the machine's own mapping says in so many words that it may be written.

    Raises:
        InvalidInput: naming ``signal``: the mapping has no such signal.
        Conflict: it has, and nobody may write it.
    """
    mapped = iot_config.get("signals")
    key = canonical_key(signal)
    said = {canonical_key(str(name)): spec for name, spec in (mapped if isinstance(mapped, Mapping) else {}).items()}
    if key not in said:
        raise InvalidInput(
            f"{signal[:100]} is not in the mapping of this machine (iot_config.signals).", field="signal"
        )
    try:
        spec = SignalSpec.model_validate(said[key])
    except ValidationError:
        raise Conflict(
            f"The mapping of {key} cannot be used: save the configuration again, which names the field."
        ) from None
    if not spec.writable:
        raise Conflict(
            f"{key} is only read: its mapping does not say writable, which an engineer decides signal by signal."
        )
    unit = iot_config.get("temperature_unit")
    return Writable(key, spec, unit if isinstance(unit, str) else "C")


def check_kind(target: Writable, value: Value, now: SignalValue) -> None:
    """What the device says now tells of which kind the signal is.

    Raises:
        InvalidInput: naming ``value``: it is of another kind.
        Conflict: it is a number, and its mapping has no range.
    """
    if target.spec.map is not None or target.is_number:
        return
    kind = _kind(now.value if now.value is not None else now.raw)
    if kind != _kind(value):
        raise InvalidInput(f"{target.key} takes {kind}, not {_kind(value)}; nothing was written.", field="value")
    if kind == "a number":
        target.bounded()


def same(one: Value, other: Value) -> bool:
    """The same value, as far as a number's way through units and registers keeps it."""
    if _kind(one) != _kind(other):
        return False
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-6)
    return one == other


def _kind(value: Value) -> str:
    if isinstance(value, bool):
        return "true or false"
    return "a number" if isinstance(value, int | float) else "a text"
