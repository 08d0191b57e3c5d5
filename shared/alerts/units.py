"""Celsius inside, the unit of whoever wrote the rule outside."""

from __future__ import annotations

from shared.alerts.model import Kind, Rule, is_temperature
from shared.signals import WELL_KNOWN_SIGNALS

__all__ = ["inside", "inside_difference", "limit_is_difference", "outside", "outside_difference", "symbol", "unit_of"]

_DIGITS = 6
"""Enough for any limit a person writes; hides the noise of the conversion there and back."""


def limit_is_difference(kind: Kind) -> bool:
    """Is the limit of this kind a difference (10 degrees off) rather than a temperature (250 degrees)?"""
    return kind in (Kind.DEVIATION, Kind.RATE)


def inside(value: float, unit: str | None) -> float:
    """A temperature in ``C`` or ``F`` as Celsius; anything else as it is."""
    return round((value - 32) * 5 / 9, 9) if unit == "F" else value


def inside_difference(value: float, unit: str | None) -> float:
    """A difference of temperatures as Celsius."""
    return round(value * 5 / 9, 9) if unit == "F" else value


def outside(value: float, unit: str | None) -> float:
    """Celsius as ``C`` or ``F``; anything else as it is."""
    return round(value * 9 / 5 + 32, _DIGITS) if unit == "F" else value


def outside_difference(value: float, unit: str | None) -> float:
    """A difference in Celsius as ``C`` or ``F``."""
    return round(value * 9 / 5, _DIGITS) if unit == "F" else value


def unit_of(rule: Rule) -> str:
    """The unit inside of the rule's signal: ``C`` for temperatures, what the rule or the catalogue says otherwise."""
    if is_temperature(rule.signal):
        return "C"
    return rule.unit or WELL_KNOWN_SIGNALS.get(rule.signal or "", "")


def symbol(unit: str) -> str:
    """The unit as people write it, with the space before it; empty for none."""
    if unit in ("C", "F"):
        return f" °{unit}"
    return f" {unit}" if unit else ""
