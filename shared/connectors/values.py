"""From what a device said to a value with its quality. Pure; shared by every protocol."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from shared.connectors.mapping import Scalar, SignalSpec
from shared.signals import WELL_KNOWN_SIGNALS, Quality, SignalValue, Value

__all__ = ["bad", "is_temperature", "reader", "value_of", "worst"]

_NUMERIC = frozenset(key for key, unit in WELL_KNOWN_SIGNALS.items() if unit)
_TEXTS = frozenset({"status", "cycle.stage", "batch.id", "batch.name"})
_FLAGS: dict[str, bool] = {
    word: flag
    for flag, words in (
        (True, ("true", "open", "opened", "yes", "on", "1")),
        (False, ("false", "closed", "shut", "no", "off", "0")),
    )
    for word in words
}
"""What machines say of a door, where no ``map`` is given."""
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,4})?|[+-]?(?:nan|inf(?:inity)?)",
    re.IGNORECASE | re.ASCII,
)
NOT_FINITE = "the device says a number that is not finite"
MAX_TEXT = 500
MOST_WORDS = 64


def is_temperature(key: str) -> bool:
    """Is this key of the temperature family (Celsius inside)?"""
    return key == "temperature" or key.startswith("temperature.")


def bad(reason: str, unit: str = "", raw: Value = None) -> SignalValue:
    """No value, and why."""
    return SignalValue(None, Quality.BAD, reason, unit, raw)


def worst(qualities: Sequence[Quality]) -> Quality:
    """The worst of these; good when there are none."""
    for quality in (Quality.BAD, Quality.UNCERTAIN):
        if quality in qualities:
            return quality
    return Quality.GOOD


def value_of(key: str, raw: Any, spec: SignalSpec, *, temperature_unit: str = "C") -> SignalValue:
    """Turn what stands at the signal's address into a value.

    ``temperature_unit`` is the device's, for temperatures whose mapping names no unit.
    """
    device_unit = _device_unit(key, spec, temperature_unit)
    return _careful(key, raw, spec, device_unit, _unit_inside(key, device_unit))


def reader(key: str, spec: SignalSpec, *, temperature_unit: str = "C") -> Callable[[Any], SignalValue]:
    """:func:`value_of` for one signal, worked out once: for what is read every second.

    Plain numbers and flags without anything to object to take a short way; everything else the careful one.
    """
    device_unit = _device_unit(key, spec, temperature_unit)
    unit = _unit_inside(key, device_unit)
    number = key in _NUMERIC or is_temperature(key) or spec.wants_number
    mapped = spec.map is not None
    flag = not (number or mapped or spec.invalid or key in _TEXTS)
    short = not mapped and (number or not (spec.invalid or key in _TEXTS or key == "door.open")) and unit == device_unit
    sentinels = _numbers(spec.invalid)
    scale, offset, digits = spec.scale, spec.offset, spec.digits
    least = -math.inf if spec.min is None else spec.min
    most = math.inf if spec.max is None else spec.max
    words: dict[int, SignalValue] = {}  # a machine has few states; values never change once made

    def read(raw: Any) -> SignalValue:
        kind = type(raw)
        if short and (kind is float or (kind is int and -(2**63) < raw < 2**63)) and raw not in sentinels:
            value = raw if scale is None else raw * scale
            if offset is not None:
                value = value + offset
            if math.isfinite(value) and least <= value <= most:
                said = None if value == raw else raw
                return SignalValue(value if digits is None else round(value, digits), unit=unit, raw=said)
        elif flag and kind is bool:
            return SignalValue(raw, unit=unit)
        elif mapped and kind is int:
            if (known := words.get(raw)) is None:
                known = _careful(key, raw, spec, device_unit, unit)
                if len(words) < MOST_WORDS:
                    words[raw] = known
            return known
        return _careful(key, raw, spec, device_unit, unit)

    return read


def _numbers(sentinels: Sequence[Scalar]) -> frozenset[float]:
    """Those a number can be equal to, as ``_same`` has it."""
    found: set[float] = set()
    for one in sentinels:
        if isinstance(one, str):
            with contextlib.suppress(ValueError, OverflowError):
                found.add(float(one))
        elif not isinstance(one, bool):
            found.add(one)
    return frozenset(found)


def _careful(key: str, raw: Any, spec: SignalSpec, device_unit: str, unit: str) -> SignalValue:
    if raw is None:
        return bad("the device says null: it has no value now", unit)
    if isinstance(raw, dict | list):
        kind = "an object" if isinstance(raw, dict) else "a list"
        return bad(f"there is {kind} where one value is expected: write a longer address", unit)
    if any(_same(raw, sentinel) for sentinel in spec.invalid):
        return bad(f"sensor sentinel {_shown(raw)}", unit, _kept(raw))
    mapped = raw
    if spec.map is not None:
        if (found := _look_up(spec.map, raw)) is None:
            return bad(f"{_shown(raw)} is not in the map ({', '.join(list(spec.map)[:8])})", unit, _kept(raw))
        mapped = found
    if key in _NUMERIC or is_temperature(key) or spec.wants_number:
        return _number(key, mapped, raw, spec, device_unit, unit)
    return _word(key, mapped, raw, unit)


def _number(key: str, mapped: Any, raw: Any, spec: SignalSpec, device_unit: str, unit: str) -> SignalValue:
    number = _as_number(mapped)
    if isinstance(number, str):
        return bad(number, unit, _kept(raw))
    if spec.scale is not None:
        number = number * spec.scale
    if spec.offset is not None:
        number = number + spec.offset
    if not math.isfinite(number):
        return bad(NOT_FINITE, unit)
    quality, reason = Quality.GOOD, None
    if spec.min is not None and number < spec.min:
        quality, reason = (
            Quality.UNCERTAIN,
            f"{number:g} is below the plausible minimum of {spec.min:g} {device_unit}".rstrip(),
        )
    elif spec.max is not None and number > spec.max:
        quality, reason = (
            Quality.UNCERTAIN,
            f"{number:g} is above the plausible maximum of {spec.max:g} {device_unit}".rstrip(),
        )
    said: tuple[Value, str | None] = (None, None)
    if is_temperature(key) and device_unit == "F":
        said = (number, "F")
        number = round((number - 32) * 5 / 9, 4)
    elif not _same(raw, number):
        said = (_kept(raw), None)
    if spec.digits is not None:
        number = round(number, spec.digits)
    return SignalValue(number, quality, reason, unit, *said)


def _word(key: str, mapped: Any, raw: Any, unit: str) -> SignalValue:
    value: Value = mapped
    if key == "door.open" and not isinstance(mapped, bool):
        flag = _FLAGS.get(_shown(mapped).strip().lower())
        if flag is None:
            return bad(
                f'{_shown(raw)} is neither open nor closed: give a map such as {{"ajar": true}}', unit, _kept(raw)
            )
        value = flag
    elif key in _TEXTS and not isinstance(mapped, str):
        value = _shown(mapped)
    if isinstance(value, float) and not math.isfinite(value):
        return bad(NOT_FINITE, unit)
    if isinstance(value, int) and not isinstance(value, bool) and _kept(value) is None:
        return bad("the device says a number that does not fit into 64 bits", unit)
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return SignalValue(value[:MAX_TEXT], Quality.UNCERTAIN, f"the text is cut after {MAX_TEXT} characters", unit)
    changed = mapped is not raw or value is not mapped
    return SignalValue(value, unit=unit, raw=_kept(raw) if changed else None)


def _as_number(value: Any) -> float | int | str:
    """A number, or the reason why it is none."""
    if isinstance(value, bool):
        return f"it says {'true' if value else 'false'} where a number is expected"
    if isinstance(value, str):
        if _NUMBER.fullmatch(value.strip()) is None:
            return f"it says {_shown(value)} where a number is expected"
        value = float(value)
    try:
        number = value if isinstance(value, float) or abs(value) < 2**63 else float(value)
    except OverflowError:
        return NOT_FINITE
    return number if math.isfinite(number) else NOT_FINITE


def _device_unit(key: str, spec: SignalSpec, temperature_unit: str) -> str:
    if not is_temperature(key):
        return spec.unit if spec.unit is not None else WELL_KNOWN_SIGNALS.get(key, "")
    unit = (spec.unit or temperature_unit).strip().lstrip("°").upper()
    return {"CELSIUS": "C", "FAHRENHEIT": "F"}.get(unit, unit)


def _unit_inside(key: str, device_unit: str) -> str:
    return "C" if is_temperature(key) and device_unit == "F" else device_unit


def _same(raw: Any, other: Scalar) -> bool:
    """Equal as the device means it: ``32767``, ``32767.0`` and ``"32767"`` are one, ``true`` and ``1`` are not."""
    if isinstance(raw, bool) or isinstance(other, bool):
        return raw is other
    if isinstance(raw, int | float) and isinstance(other, int | float):
        return raw == other
    if isinstance(raw, str) and isinstance(other, str):
        return raw.strip() == other.strip()
    try:
        return float(raw) == float(other)
    except (ValueError, OverflowError):
        return False


def _look_up(table: dict[str, Scalar], raw: Any) -> Scalar | None:
    spelled = _shown(raw, limit=MAX_TEXT).strip()
    if spelled in table:
        return table[spelled]
    folded = spelled.casefold()
    return next((value for word, value in table.items() if word.casefold() == folded), None)


def _shown(raw: Any, limit: int = 60) -> str:
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, float) and raw.is_integer() and abs(raw) < 1e15:
        return str(int(raw))
    try:
        return str(raw)[:limit]
    except ValueError:  # Python refuses to spell integers of thousands of digits
        return "a huge number"


def _kept(raw: Any) -> Value:
    """The raw value as it may be stored: short texts, finite numbers that fit into 64 bits."""
    if isinstance(raw, str):
        return raw[:MAX_TEXT]
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, int):
        return raw if -(2**63) <= raw < 2**63 else None
    return raw if isinstance(raw, float) and math.isfinite(raw) else None
