"""What was measured in this process, for people and for Prometheus: sums since the start, quantiles of late.

Memory is bounded: so many series a measure, then all others share one, as OpenTelemetry does it; so many bins a
sketch.
In Azure every group of functions has processes of its own, so there the numbers come together in Application Insights;
this is for the laptop, the industrial PC and a look into one process.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from shared.metrics import ALL, Kind, Listener, Measure

__all__ = ["QUANTILES", "WINDOW_SECONDS", "Family", "Series", "Sketch", "Tally", "tally"]

MOST_SERIES = 200
"""Of one measure. With attributes from short lists nobody gets near it; a mistake must not eat the memory."""
OVERFLOW = (("otel.metric.overflow", "true"),)
QUANTILES = (0.5, 0.95, 0.99)
WINDOW_SECONDS = 300.0
"""Quantiles speak of the last five to ten minutes."""

_GAMMA = 1.0406
"""Bins grow by 4 %, so a quantile is at most 2 % off."""
_PER_LOG = 1.0 / math.log(_GAMMA)
_LOWEST, _HIGHEST = -350, 460
"""Bins for values from a microsecond to a hundred million; what is beyond counts into the outermost."""


class Sketch:
    """Quantiles of a stream of values at 2 % relative accuracy (DDSketch: Masson, Rim, Lee, VLDB 2019)."""

    __slots__ = ("bins", "zero")

    def __init__(self) -> None:
        self.bins: dict[int, int] = {}
        self.zero = 0

    def add(self, value: float) -> None:
        """Count a value; negative ones count as zero."""
        if value <= 0.0:
            self.zero += 1
            return
        index = math.ceil(math.log(value) * _PER_LOG)
        if not _LOWEST <= index <= _HIGHEST:
            index = _LOWEST if index < _LOWEST else _HIGHEST
        self.bins[index] = self.bins.get(index, 0) + 1


def quantiles(sketches: Iterable[Sketch], wanted: Sequence[float] = QUANTILES) -> list[float] | None:
    """Of all values together, by nearest rank; ``None`` when there are none."""
    bins: dict[int, int] = {}
    below = 0
    for sketch in sketches:
        below += sketch.zero
        for index, count in sketch.bins.items():
            bins[index] = bins.get(index, 0) + count
    total = below + sum(bins.values())
    if total == 0:
        return None
    found: list[float] = []
    ordered = sorted(bins.items())
    for share in wanted:
        rank, seen, value = max(1, math.ceil(share * total)), below, 0.0
        for index, count in ordered if rank > below else ():
            seen += count
            value = 2.0 * _GAMMA**index / (_GAMMA + 1.0)
            if seen >= rank:
                break
        found.append(value)
    return found


@dataclass(slots=True)
class Series:
    """One measure with one choice of attributes."""

    kind: Kind
    count: int = 0
    total: float = 0.0
    last: float = 0.0
    recent: Sketch = field(default_factory=Sketch)
    before: Sketch = field(default_factory=Sketch)
    until: float = 0.0
    """When ``recent`` becomes ``before``, on the monotonic clock."""

    def add(self, value: float) -> None:
        """Take a value in."""
        self.count += 1
        self.total += value
        self.last = value
        if self.kind == "histogram":
            now = time.monotonic()
            if now >= self.until:
                self.turn(now)
            self.recent.add(value)

    def turn(self, now: float) -> None:
        """Begin a new window when the old one is over."""
        if now < self.until:
            return
        stale = now >= self.until + WINDOW_SECONDS
        self.before = Sketch() if stale else self.recent
        self.recent = Sketch()
        self.until = now + WINDOW_SECONDS

    def quantiles(self) -> list[float] | None:
        """Of the last five to ten minutes; ``None`` when nothing came."""
        self.turn(time.monotonic())
        return quantiles((self.recent, self.before))


Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Family:
    """A measure with its series."""

    measure: Measure
    series: tuple[tuple[dict[str, str], Series], ...]


class Tally:
    """Listens to measures and keeps their sums."""

    def __init__(self, measures: Sequence[Measure] = ALL) -> None:
        self.since = time.time()
        self._families: dict[str, tuple[Measure, dict[Key, Series]]] = {m.name: (m, {}) for m in measures}
        self._listeners: list[tuple[Measure, Listener]] = []

    def attach(self) -> None:
        """Begin to listen. Doing it twice is no error."""
        if self._listeners:
            return
        for measure, known in self._families.values():
            listener = _listener(measure.kind, known)
            measure.listeners.append(listener)
            self._listeners.append((measure, listener))

    def detach(self) -> None:
        """Listen no more."""
        for measure, listener in self._listeners:
            measure.listeners.remove(listener)
        self._listeners.clear()

    def families(self) -> Iterator[Family]:
        """All measures with what came, in the order they are declared."""
        for measure, known in self._families.values():
            series = tuple((dict(key), one) for key, one in sorted(known.items()))
            yield Family(measure, series)


def _listener(kind: Kind, known: dict[Key, Series]) -> Callable[[float, dict[str, str]], None]:
    def note(value: float, attributes: dict[str, str]) -> None:
        # In the order of the call: each measure is recorded with its attributes in one order.
        key = tuple(attributes.items())
        series = known.get(key)
        if series is None:
            if len(known) >= MOST_SERIES:
                key = OVERFLOW
            series = known.setdefault(key, Series(kind))
        series.add(value)

    return note


_tally = Tally()


def tally() -> Tally:
    """The tally of this process."""
    return _tally
