"""Sums and quantiles of one process: right, bounded, and readable for Prometheus."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.metrics import ALL, Measure
from shared.prometheus import exposition, metric_name
from shared.tally import MOST_SERIES, WINDOW_SECONDS, Sketch, Tally, quantiles

LINE = re.compile(
    r'[a-z_:][a-z0-9_:]*(?:\{[a-z_][a-z0-9_]*="(?:[^"\\\n]|\\.)*"(?:,[a-z_][a-z0-9_]*="(?:[^"\\\n]|\\.)*")*\})? '
    r"(?:NaN|-?[0-9.]+(?:e[+-]?[0-9]+)?)"
)


@pytest.fixture
def measures() -> tuple[Measure, Measure, Measure]:
    return (
        Measure("things.done", "{thing}", "Things", "counter", ("outcome",)),
        Measure("thing.duration", "s", "How long", "histogram", ("outcome",)),
        Measure("things.open", "{thing}", "Open ones", "gauge"),
    )


@pytest.fixture
def ours(measures: tuple[Measure, ...]) -> Iterator[Tally]:
    made = Tally(measures)
    made.attach()
    yield made
    made.detach()


@given(st.lists(st.floats(1e-5, 1e7), min_size=1, max_size=300), st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_two_percent_off_at_most(values: list[float], share: float) -> None:
    sketches = [Sketch(), Sketch()]
    for number, value in enumerate(values):
        sketches[number % 2].add(value)
    (found,) = quantiles(sketches, [share]) or [-1.0]
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    assert found == pytest.approx(exact, rel=0.0201)


@given(st.lists(st.one_of(st.just(0.0), st.floats(-1e9, 1e300), st.floats(0, 1e-300)), min_size=1, max_size=200))
def test_a_sketch_stays_small_whatever_comes(values: list[float]) -> None:
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    assert len(sketch.bins) <= 811
    assert sketch.zero + sum(sketch.bins.values()) == len(values)
    assert quantiles([sketch]) is not None


def test_sums_by_attributes(ours: Tally, measures: tuple[Measure, Measure, Measure]) -> None:
    done, duration, still_open = measures
    done.record(1, outcome="ok")
    done.record(2, outcome="ok")
    done.record(1, outcome="failed")
    duration.record(0.25, outcome="ok")
    still_open.record(5)
    still_open.record(3)
    shown = {f.measure.name: {tuple(a.values()): s for a, s in f.series} for f in ours.families()}
    assert shown["things.done"][("ok",)].total == 3
    assert shown["things.done"][("failed",)].total == 1
    assert shown["thing.duration"][("ok",)].count == 1
    assert shown["things.open"][()].last == 3


def test_series_are_bounded(ours: Tally, measures: tuple[Measure, Measure, Measure]) -> None:
    for number in range(10_000):
        measures[0].record(1, outcome=f"oven-{number}")
    family = next(iter(ours.families()))
    assert len(family.series) == MOST_SERIES + 1
    assert sum(series.total for _, series in family.series) == 10_000
    assert {"otel.metric.overflow": "true"} in [attributes for attributes, _ in family.series]


def test_quantiles_forget(
    ours: Tally, measures: tuple[Measure, Measure, Measure], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("shared.tally.time.monotonic", lambda: now)
    measures[1].record(60.0, outcome="ok")
    (_, series) = list(ours.families())[1].series[0]
    now += WINDOW_SECONDS + 1
    measures[1].record(1.0, outcome="ok")
    assert series.quantiles() == pytest.approx([1.0, 60.0, 60.0], rel=0.02)
    now += WINDOW_SECONDS + 1
    assert series.quantiles() == pytest.approx([1.0, 1.0, 1.0], rel=0.02)
    now += 3 * WINDOW_SECONDS
    assert series.quantiles() is None
    assert (series.count, series.total) == (2, 61.0), "sums forget nothing"


def test_attached_twice_counts_once(measures: tuple[Measure, Measure, Measure]) -> None:
    made = Tally(measures)
    made.attach()
    made.attach()
    measures[0].record(1, outcome="ok")
    assert next(iter(made.families())).series[0][1].total == 1
    made.detach()
    assert measures[0].listeners == []


@given(st.dictionaries(st.sampled_from(["outcome", "a.b"]), st.text(max_size=20)), st.floats(0, 1e12))
def test_prometheus_can_read_it(attributes: dict[str, str], value: float) -> None:
    for kind, name in (("counter", "c.d"), ("histogram", "e.f"), ("gauge", "g.h")):
        measure = Measure(name, "s", 'Words with "quotes" and \\', kind)  # type: ignore[arg-type]
        ours = Tally([measure])
        ours.attach()
        measure.record(value, **attributes)
        text = exposition(ours.families())
        assert text.endswith("\n")
        for line in text[:-1].split("\n"):
            assert line.startswith(("# HELP ", "# TYPE ")) or LINE.fullmatch(line), line


def test_names_are_those_of_the_exporters_of_opentelemetry() -> None:
    names = {measure.name: metric_name(measure) for measure in ALL}
    assert names["poll.duration"] == "ovenbridge_poll_duration_seconds"
    assert names["poll.lag_seconds"] == "ovenbridge_poll_lag_seconds"
    assert names["delivery.attempts"] == "ovenbridge_delivery_attempts_total"
    assert names["audit.chain_ok"] == "ovenbridge_audit_chain_ok"
    assert len(set(names.values())) == len(ALL)
