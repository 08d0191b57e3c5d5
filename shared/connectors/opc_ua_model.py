"""From the names below a device to its signals, by the profile of its type. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from shared.connectors.mapping import MAX_SIGNALS, SIGNAL_KEY
from shared.connectors.profiles import DeviceModel, ModelSignal

__all__ = ["Matched", "match"]


@dataclass(frozen=True, slots=True)
class Matched:
    """One signal that the device has."""

    key: str
    path: str
    rule: ModelSignal


def match(model: DeviceModel, paths: Iterable[str]) -> list[Matched]:
    """What of the model is there. ``paths``: browse names below the device, joined by ``/``."""
    there = sorted(paths)
    taken: dict[str, Matched] = {}
    for rule in model.signals:
        pattern = _pattern(rule.path)
        found = [(hit.groups(), path) for path in there if (hit := pattern.fullmatch(path))]
        found.sort(key=lambda pair: [int(number or 0) for number in pair[0]])
        for numbers, path in found:
            wishes = [rule.single if len(found) == 1 else None, rule.key, rule.others]
            for wish in wishes:
                key = _filled(wish, numbers) if wish is not None else None
                if key is not None and key not in taken and len(taken) < MAX_SIGNALS and SIGNAL_KEY.fullmatch(key):
                    taken[key] = Matched(key, path, rule)
                    break
    return list(taken.values())


@lru_cache(maxsize=256)
def _pattern(path: str) -> re.Pattern[str]:
    """``Name_*`` fits ``Name_0``, ``Name_12`` and ``Name`` alone."""
    return re.compile(re.escape(path).replace(r"_\*", r"(?:_([0-9]{1,4}))?"))


def _filled(template: str, numbers: tuple[str | None, ...]) -> str:
    for position, number in enumerate(numbers, start=1):
        template = template.replace(f"{{{position}}}", number or "1")
    return template
