"""From a value as we speak of it to what a device takes: the mapping backwards. Pure; shared by every protocol."""

from __future__ import annotations

import math

from shared.connectors.mapping import Scalar, SignalSpec, canonical_key
from shared.connectors.values import is_temperature
from shared.errors import InvalidInput
from shared.signals import Value

__all__ = ["raw_of", "writable_spec"]


def writable_spec(key: str, signals: dict[str, SignalSpec]) -> SignalSpec:
    """The mapping of a signal that may be written. Raises ``InvalidInput`` naming the signal."""
    spec = signals.get(canonical_key(key))
    if spec is None:
        raise InvalidInput(f"{key[:100]} is not in the mapping of this machine.", field="signal")
    if not spec.writable:
        raise InvalidInput(
            f'{key} is not writable: set "writable": true beside its address in the mapping, if it may be.',
            field="signal",
        )
    return spec


def raw_of(key: str, value: Value, spec: SignalSpec, *, temperature_unit: str = "C") -> Scalar:
    """What the device has to be told, so that reading it gives ``value``.

    ``min`` and ``max`` bound what is written, in the device's unit; a number without both is refused, because nobody
    has said what is safe.

    Raises:
        InvalidInput: naming ``value``.
    """
    if spec.map is not None:
        for word, ours in spec.map.items():
            if ours == value and isinstance(ours, bool) == isinstance(value, bool):
                return word
        possible = ", ".join(str(ours) for ours in list(spec.map.values())[:20])
        raise InvalidInput(f"{key} cannot be this value: use one of {possible}.", field="value")
    if isinstance(value, bool | str):
        if spec.wants_number or is_temperature(key):
            raise InvalidInput(f"{key} takes a number.", field="value")
        return value
    if value is None or not math.isfinite(value):
        raise InvalidInput(f"{key} takes a value, not nothing.", field="value")
    unit = (spec.unit or temperature_unit).strip().lstrip("°").upper()
    fahrenheit = is_temperature(key) and unit in ("F", "FAHRENHEIT")
    number: float | int = value * 9 / 5 + 32 if fahrenheit else value
    if spec.min is None or spec.max is None:
        raise InvalidInput(
            f"{key} has no bounds: give min and max in its mapping, so that nothing else can be written.",
            field="signal",
        )
    if not spec.min <= number <= spec.max:
        low, high = ((n - 32) * 5 / 9 if fahrenheit else n for n in (spec.min, spec.max))
        raise InvalidInput(f"{key} may be written from {low:g} to {high:g}.", field="value")
    if spec.offset is not None:
        number = number - spec.offset
    if spec.scale is not None:
        number = round(number / spec.scale, 9)
    return number
