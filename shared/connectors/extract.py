"""From a device's JSON to its signals. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

from shared.connectors.mapping import MAX_SIGNALS, SignalSpec
from shared.connectors.paths import Path, PathMissing
from shared.connectors.profiles import Fields, fields
from shared.connectors.rest_plan import MappedSignal
from shared.connectors.source_time import Moment, Times, doubted, moment_of
from shared.connectors.values import bad, value_of
from shared.signals import WELL_KNOWN_SIGNALS, Quality, SignalValue

__all__ = ["DocumentPlan", "Extract", "Where", "extract"]

_NOT_MOVED: Mapping[str, Path] = MappingProxyType({})


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
class Where:
    """The document the addresses begin at, and the whole of which it is an item."""

    document: Any
    whole: Any
    called: str = "the answer"

    def find(self, path: Path) -> Any:
        """What stands at an address. Raises ``PathMissing``."""
        return path.find(self.whole) if path.rooted else path.find(self.document, self.called)


@dataclass(frozen=True, slots=True)
class Extract:
    """What a document held."""

    values: Mapping[str, SignalValue]
    nothing: str | None = None
    """Why not one signal was found."""
    hint: str | None = None
    """What a person should know although values were found."""


def extract(
    document: Any,
    plan: DocumentPlan,
    *,
    times: Times | None = None,
    moved: Mapping[str, Path] = _NOT_MOVED,
    item: Where | None = None,
) -> Extract:
    """All signals of a document, by the plan's mapping or by the guide's field names.

    Args:
        document: the whole answer.
        plan: what is read from it.
        times: how times are read. With its ``now`` they are judged too: values whose time cannot be believed, or is
            too long ago, become uncertain.
        moved: without a mapping: field of the guide -> where it stands here.
        item: where the addresses begin, if not at the document itself.
    """
    here = item or Where(document, document)
    times = times or Times()
    if plan.signals is not None:
        found, nothing = _mapped(here, plan.signals, plan.temperature_unit)
    else:
        found, nothing = _named(here, fields(), plan.temperature_unit, moved)
    if times.now is None:
        moment = _time(here, plan, times, moved)
        if moment.at is not None:
            found = {key: replace(value, source_time=moment.at) for key, value in found.items()}
        return Extract(found, nothing, moment.problem and f"timestamp_at: {moment.problem}.")
    found, hint = _judged(here, plan, times, times.now, moved, found)
    return Extract(found, nothing, hint)


def _judged(
    here: Where,
    plan: DocumentPlan,
    times: Times,
    now: datetime,
    moved: Mapping[str, Path],
    found: dict[str, SignalValue],
) -> tuple[dict[str, SignalValue], str | None]:
    """The values with their times, doubted where these cannot be believed; and the first problem, for a person."""
    common = _time(here, plan, times, moved)
    own = {signal.key: signal for signal in plan.signals or ()}
    judged: dict[str, SignalValue] = {}
    hint: str | None = None
    for key, value in found.items():
        signal = own.get(key)
        moment, max_age = common, times.max_age
        if signal is not None:
            max_age = signal.spec.max_age or max_age
            if signal.timestamp is not None:
                moment = _moment_at(here, signal.timestamp, times)
        if moment.at is None and moment.problem is None and max_age is not None:
            moment = Moment(problem="the answer does not say, and max_age needs it")
        judged[key] = doubted(value, moment, max_age, now)
        if moment.problem is not None and hint is None:
            hint = f"The time of measurement of {key} is not known: {moment.problem}."
    return judged, hint


def _mapped(
    here: Where, signals: tuple[MappedSignal, ...], temperature_unit: str
) -> tuple[dict[str, SignalValue], str | None]:
    found: dict[str, SignalValue] = {}
    missing: list[str] = []
    for signal in signals:
        try:
            raw = here.find(signal.path)
        except PathMissing as err:
            missing.append(str(err))
            found[signal.key] = bad(str(err), WELL_KNOWN_SIGNALS.get(signal.key, signal.spec.unit or ""))
        else:
            found[signal.key] = value_of(signal.key, raw, signal.spec, temperature_unit=temperature_unit)
    if len(missing) < len(signals):
        return found, None
    return found, f"None of the {len(signals)} mapped signals is in {here.called}: {missing[0]}."


def _named(
    here: Where, names: Fields, temperature_unit: str, moved: Mapping[str, Path]
) -> tuple[dict[str, SignalValue], str | None]:
    document = here.document
    if not isinstance(document, dict) and not moved:
        return {}, (
            "The answer is not an object with fields; give a mapping in additional_config.signals, such as "
            '{"temperature.cabinet": "[0].temperature"}.'
        )
    said = document if isinstance(document, dict) else {}
    found: dict[str, SignalValue] = {}
    taken = set(names.ignored) | {str(path.steps[0]) for path in moved.values() if path.steps}
    for family in names.families:
        taken.add(family.at)
        members = _members(_stands(here, said, family.at, moved))
        for name, raw in members.items():
            if (key := _safe_key(name)) and len(found) < MAX_SIGNALS:
                key = family.prefix + key
                found[key] = value_of(key, raw, SignalSpec(at=family.at), temperature_unit=temperature_unit)
    for key, spec in names.signals.items():
        taken.add(spec.at)
        own = names.beside_family.get(key, key) if key in found else key
        raw = _stands(here, said, spec.at, moved)
        if isinstance(raw, PathMissing):
            if spec.at in moved:  # somebody said that it is there
                found[own] = bad(str(raw), WELL_KNOWN_SIGNALS.get(own, spec.unit or ""))
            continue
        found[own] = value_of(key, raw, spec, temperature_unit=temperature_unit)
    if names.others:
        _take_others(said, taken, found)
    if any(value.quality is not Quality.BAD or value.raw is not None for value in found.values()) or (
        found and not moved
    ):
        return found, None
    inside = ", ".join(str(name)[:40] for name in list(said)[:8]) or "nothing"
    return found, (
        f"The answer has none of the fields that are read without a mapping; there is {inside}. Give a mapping in "
        'additional_config.signals, such as {"temperature.cabinet": "data.temperature"}.'
    )


def _stands(here: Where, said: dict[str, Any], name: str, moved: Mapping[str, Path]) -> Any:
    """What stands in a field of the guide, or ``PathMissing`` as a value."""
    try:
        if name in moved:
            return here.find(moved[name])
        return said[name]
    except PathMissing as err:
        return err
    except KeyError:
        return PathMissing(name)


def _members(found: Any) -> dict[Any, Any]:
    """Zones by name; of a list, decks by number."""
    if isinstance(found, list):
        return {f"deck{number}": raw for number, raw in enumerate(found, 1)}
    return found if isinstance(found, dict) else {}


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


def _time(here: Where, plan: DocumentPlan, times: Times, moved: Mapping[str, Path]) -> Moment:
    """Of the whole answer. A device that follows the guide may leave its time out; one that was said to have it not."""
    default = fields().timestamp_at
    given = plan.timestamp or (moved.get(default) if plan.signals is None else None)
    if given is not None:
        return _moment_at(here, given, times)
    if plan.signals is None and isinstance(here.document, dict) and default in here.document:
        moment = moment_of(here.document[default], times)
        return moment if times.now is not None else Moment(moment.at)
    return Moment()


def _moment_at(here: Where, path: Path, times: Times) -> Moment:
    try:
        moment = moment_of(here.find(path), times)
    except PathMissing as err:
        return Moment(problem=str(err))
    return moment if moment.problem is None else Moment(problem=f"`{path}`: {moment.problem}")
