"""OpenTelemetry in memory: what would be sent to Application Insights, without any process-wide configuration."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared import tracing
from shared.observability import protect_logs
from shared.open_telemetry import Bridge, RedactingProcessor, export_measures


@dataclass
class Telemetry:
    """What was recorded."""

    tracer_provider: TracerProvider
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    log_exporter: InMemoryLogRecordExporter

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        """Finished spans, oldest first."""
        return [span for span in self.exporter.get_finished_spans() if name in (None, span.name)]

    def span(self, name: str) -> ReadableSpan:
        """The one span of this name."""
        (found,) = self.spans(name)
        return found

    def points(self, name: str) -> list[tuple[Mapping[str, Any], float]]:
        """Attributes and value (of a histogram: the count) of a metric."""
        data = self.reader.get_metrics_data()
        assert data is not None
        return [
            (dict(point.attributes or {}), getattr(point, "value", getattr(point, "count", 0)))
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def everything(self) -> str:
        """All that would leave the process, as one text."""
        texts = [span.to_json() for span in self.spans()]
        data = self.reader.get_metrics_data()
        texts.append(data.to_json() if data is not None else "")
        texts += [
            str(done.log_record.to_json() if hasattr(done.log_record, "to_json") else vars(done.log_record))
            for done in self.log_exporter.get_finished_logs()
        ]
        return "\n".join(texts)


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """The SDK with exporters in memory, in place of what is there."""
    protect_logs()
    provider = TracerProvider()
    exporter = InMemorySpanExporter()
    provider.add_span_processor(RedactingProcessor())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader])
    logs = LoggerProvider()
    log_exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    logs.add_log_record_processor(SimpleLogRecordProcessor(log_exporter))
    handler = LoggingHandler(logger_provider=logs)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    end = export_measures(meters)
    tracing.use(Bridge(provider.get_tracer("ovenbridge")))
    try:
        yield Telemetry(provider, exporter, reader, log_exporter)
    finally:
        tracing.use(None)
        end()
        root.removeHandler(handler)
        root.setLevel(level)
        meters.shutdown()
        provider.shutdown()
        logs.shutdown()
