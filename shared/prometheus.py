"""The tally as Prometheus reads it: text format 0.0.4, counters, gauges and summaries.

Contract: https://prometheus.io/docs/instrumenting/exposition_formats/. Names are those of OpenTelemetry, written as its
Prometheus exporters write them: dots as ``_``, the unit behind, ``_total`` for what only grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shared.metrics import Measure
from shared.tally import QUANTILES, Family, Series

__all__ = ["CONTENT_TYPE", "exposition", "metric_name"]

CONTENT_TYPE = "text/plain; version=0.0.4"
"""The host adds the charset."""
_TYPES = {"counter": "counter", "gauge": "gauge", "histogram": "summary"}


def metric_name(measure: Measure) -> str:
    """``poll.duration`` in seconds becomes ``ovenbridge_poll_duration_seconds``."""
    name = "ovenbridge_" + measure.name.replace(".", "_")
    if measure.unit == "s" and not name.endswith("_seconds"):
        name += "_seconds"
    return f"{name}_total" if measure.kind == "counter" else name


def exposition(families: Iterable[Family]) -> str:
    """Everything that was measured."""
    lines: list[str] = []
    for family in families:
        name = metric_name(family.measure)
        lines.append(f"# HELP {name} {_help(family.measure.description)}")
        lines.append(f"# TYPE {name} {_TYPES[family.measure.kind]}")
        for attributes, series in family.series:
            lines += _series(name, attributes, series)
    return "\n".join(lines) + "\n"


def _series(name: str, attributes: Mapping[str, str], series: Series) -> list[str]:
    labels = _labels(attributes)
    if series.kind == "counter":
        return [f"{name}{labels} {_number(series.total)}"]
    if series.kind == "gauge":
        return [f"{name}{labels} {_number(series.last)}"]
    found = series.quantiles()
    quantiles = [
        f"{name}{_labels({**attributes, 'quantile': str(share)})} {_number(value)}"
        for share, value in zip(QUANTILES, found or (float("nan"),) * len(QUANTILES), strict=True)
    ]
    return [*quantiles, f"{name}_sum{labels} {_number(series.total)}", f"{name}_count{labels} {series.count}"]


def _labels(attributes: Mapping[str, str]) -> str:
    if not attributes:
        return ""
    pairs = (f'{key.replace(".", "_")}="{_escaped(value)}"' for key, value in attributes.items())
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if value != value:
        return "NaN"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
