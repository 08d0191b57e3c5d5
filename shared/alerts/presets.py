"""Limits that a jurisdiction sets, by name: a start for a site's own rules, never a default.

EU: Regulation (EC) 852/2004, article 5, asks for HACCP records and sets neither a format nor numbers; limits come
from national law or the site's own HACCP plan, so there is no preset for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True, slots=True)
class Preset:
    """Some fields of a rule, with where they come from."""

    name: str
    meaning: str
    jurisdiction: str
    source: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    """As the rule API takes them. What the caller says goes before."""


_FOOD_CODE = "US Food Code (FDA model code; states adopt editions of their own)"


def _us(name: str, meaning: str, source: str, **fields: Any) -> Preset:
    return Preset(f"us-food-code-{name}", meaning, "US", f"{_FOOD_CODE}: {source}", {"severity": "critical", **fields})


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        _us(
            "poultry",
            "Poultry, stuffed food: core 74 °C (165 °F), instantaneous.",
            "newer editions",
            kind="reach",
            limit=74,
            hold_seconds=0,
        ),
        _us(
            "2005-poultry",
            "Poultry, stuffed food: core 74 °C (165 °F) for 15 s.",
            "2005 edition",
            kind="reach",
            limit=74,
            hold_seconds=15,
        ),
        _us(
            "ground",
            "Ground meat: core 68 °C (155 °F) for 15 s.",
            "ground meat",
            kind="reach",
            limit=68,
            hold_seconds=15,
        ),
        _us(
            "ground-instant",
            "Ground meat: core 70 °C (158 °F), instantaneous.",
            "ground meat, less than 1 s",
            kind="reach",
            limit=70,
            hold_seconds=0,
        ),
        _us(
            "whole",
            "Whole cuts, fish, eggs: core 63 °C (145 °F) for 15 s.",
            "145 °F for 15 s",
            kind="reach",
            limit=63,
            hold_seconds=15,
        ),
        _us(
            "hot-holding",
            "Hot holding at 57 °C (135 °F) or more.",
            "hot holding",
            kind="low",
            limit=57,
        ),
    )
}
"""By name. Cooling (57 to 21 °C in 2 h, to 5 °C in 4 h more) is no limit that these kinds of rule can say."""
