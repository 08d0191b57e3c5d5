"""From a device's JSON to its signals. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from shared.clock import parse_iso
from shared.connectors.mapping import MAX_SIGNALS, SignalSpec
from shared.connectors.paths import Path, PathMissing, parse_path
from shared.connectors.profiles import Fields, fields
from shared.connectors.rest_plan import MappedSignal
from shared.connectors.values import bad, value_of
from shared.signals import WELL_KNOWN_SIGNALS, SignalValue

__all__ = ["DocumentPlan", "Extract", "extract"]


class DocumentPlan(Protocol):
    """What has to be known to read a document, whatever way it came."""

    @property
    def signals(self) -> tuple[MappedSignal, ...] | None:
        """``None``: the guide's field names are read."""

    @property
    def timestamp(self) -> Path | None:
        """Where the time of measurement stands."""

    @property
    def temperature_unit(self) -> str:
        """Of temperatures whose mapping names no unit."""


@dataclass(frozen=True, slots=True)
class Extract:
    """What a document held."""

    values: Mapping[str, SignalValue]
    nothing: str | None = None
    """Why not one signal was found."""
    hint: str | None = None
    """What a person should know although values were found."""


def extract(document: Any, plan: DocumentPlan) -> Extract:
    """All signals of a document, by the plan's mapping or by the guide's field names."""
    if plan.signals is not None:
        found, nothing = _mapped(document, plan.signals, plan.temperature_unit)
    else:
        found, nothing = _named(document, fields(), plan.temperature_unit)
    moment, hint = _time(document, plan)
    if moment is not None:
        found = {key: replace(value, source_time=moment) for key, value in found.items()}
    return Extract(found, nothing, hint)


def _mapped(
    document: Any, signals: tuple[MappedSignal, ...], temperature_unit: str
) -> tuple[dict[str, SignalValue], str | None]:
    found: dict[str, SignalValue] = {}
    missing: list[str] = []
    for signal in signals:
        try:
            raw = signal.path.find(document)
        except PathMissing as err:
            missing.append(str(err))
            found[signal.key] = bad(str(err), WELL_KNOWN_SIGNALS.get(signal.key, signal.spec.unit or ""))
        else:
            found[signal.key] = value_of(signal.key, raw, signal.spec, temperature_unit=temperature_unit)
    if len(missing) < len(signals):
        return found, None
    return found, f"None of the {len(signals)} mapped signals is in the answer: {missing[0]}."


def _named(document: Any, names: Fields, temperature_unit: str) -> tuple[dict[str, SignalValue], str | None]:
    if not isinstance(document, dict):
        return {}, (
            "The answer is not an object with fields; give a mapping in additional_config.signals, such as "
            '{"temperature.cabinet": "[0].temperature"}.'
        )
    found: dict[str, SignalValue] = {}
    taken = set(names.ignored)
    for family in names.families:
        taken.add(family.at)
        members = document.get(family.at)
        for name, raw in members.items() if isinstance(members, dict) else ():
            if (key := _safe_key(name)) and len(found) < MAX_SIGNALS:
                key = family.prefix + key
                found[key] = value_of(key, raw, SignalSpec(at=family.at), temperature_unit=temperature_unit)
    for key, spec in names.signals.items():
        top = spec.at
        taken.add(top)
        if top in document:
            own = names.beside_family.get(key, key) if key in found else key
            found[own] = value_of(key, document[top], spec, temperature_unit=temperature_unit)
    if names.others:
        _take_others(document, taken, found)
    if found:
        return found, None
    inside = ", ".join(str(name)[:40] for name in list(document)[:8]) or "nothing"
    return {}, (
        f"The answer has none of the fields that are read without a mapping; there is {inside}. Give a mapping in "
        'additional_config.signals, such as {"temperature.cabinet": "data.temperature"}.'
    )


def _take_others(document: dict[str, Any], taken: set[str], found: dict[str, SignalValue]) -> None:
    """Single values under names nobody told us of: they go to the flexible field."""
    for name, raw in document.items():
        if name in taken or raw is None or isinstance(raw, dict | list) or len(found) >= MAX_SIGNALS:
            continue
        key = _safe_key(name)
        if key and key not in found and key not in WELL_KNOWN_SIGNALS and not key.startswith("temperature."):
            found[key] = value_of(key, raw, SignalSpec(at=key))


def _safe_key(name: Any) -> str:
    """``Deck 1`` becomes ``deck_1``, ``coreTemp`` becomes ``core_temp``; empty when nothing is left."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name)[:100])
    key = re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")
    return key if not key or key[0].isalpha() else f"x_{key}"


def _time(document: Any, plan: DocumentPlan) -> tuple[datetime | None, str | None]:
    given = plan.timestamp is not None
    path = plan.timestamp or (parse_path(fields().timestamp_at) if plan.signals is None else None)
    if path is None:
        return None, None
    try:
        moment = _moment(path.find(document))
    except PathMissing as err:
        return None, f"timestamp_at: {err}." if given else None
    if moment is None and given:
        return None, f"timestamp_at: `{path}` is no time: ISO 8601, or seconds or milliseconds since 1970."
    return moment, None


def _moment(raw: Any) -> datetime | None:
    if isinstance(raw, str):
        try:
            return parse_iso(raw)
        except (ValueError, OverflowError):
            return None
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw):
        return None
    seconds = raw / 1000 if abs(raw) >= 1e11 else raw
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
