"""From a value to what the device is told: ``value_of`` of :mod:`shared.connectors.values` backwards. Pure."""

from __future__ import annotations

import math

from shared.connectors.mapping import SignalSpec
from shared.connectors.values import is_temperature
from shared.errors import InvalidInput
from shared.signals import Value

__all__ = ["raw_of"]


def raw_of(key: str, value: Value, spec: SignalSpec, *, temperature_unit: str = "C") -> bool | float | str:
    """The raw value that reads as ``value`` (which is in the unit inside: Celsius for temperatures).

    Raises:
        InvalidInput: naming ``value``: not a number where one is needed, out of the mapping's range, not in its map.
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise _refused(f"{key} needs a value that can be written.")
    if (spec.wants_number or is_temperature(key)) and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise _refused(f"{key} needs a number.")
    raw: bool | float | str = value
    if isinstance(value, int | float) and not isinstance(value, bool):
        raw = _unscaled(key, value, spec, temperature_unit)
    if spec.map is not None:
        raw = _word(key, raw, spec)
    if any(_equal(raw, sentinel) for sentinel in spec.invalid):
        raise _refused(f"{key}: the device understands {raw} as *no value*, so it is not written.")
    return raw


def _unscaled(key: str, value: float, spec: SignalSpec, temperature_unit: str) -> float:
    unit = (spec.unit or temperature_unit).strip().lstrip("°").upper()
    fahrenheit = is_temperature(key) and unit in ("F", "FAHRENHEIT")
    number = value * 9 / 5 + 32 if fahrenheit else value
    for limit, outside, word in ((spec.min, "below", "minimum"), (spec.max, "above", "maximum")):
        if limit is not None and (number < limit if word == "minimum" else number > limit):
            said = f" {unit if is_temperature(key) else spec.unit or ''}".rstrip()
            raise _refused(f"{key}: {number:g}{said} is {outside} the {word} of {limit:g}{said} in its mapping.")
    if spec.offset is not None:
        number = number - spec.offset
    if spec.scale is not None:
        number = number / spec.scale
    if not math.isfinite(number):
        raise _refused(f"{key}: {value:g} is too large to be written.")
    return number


def _word(key: str, raw: bool | float | str, spec: SignalSpec) -> str:
    table = spec.map or {}
    for word, meant in table.items():
        if _equal(raw, meant):
            return word
    raise _refused(f"{key} takes one of {', '.join(str(meant) for meant in list(table.values())[:8])}.")


def _equal(one: bool | float | str, other: bool | float | str) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, str) and isinstance(other, str):
        return one.strip().casefold() == other.strip().casefold()
    return one == other


def _refused(sentence: str) -> InvalidInput:
    return InvalidInput(sentence, field="value")
