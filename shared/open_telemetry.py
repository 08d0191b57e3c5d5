"""OpenTelemetry, where somebody has configured it. The only module that imports it, and it configures nothing itself.

In Azure the Functions worker calls ``configure_azure_monitor`` before it loads the app, when
``PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY`` is true; elsewhere ``opentelemetry-instrument`` or a test does the like.
A second configuration of ours would send everything twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final

from opentelemetry import context as context_api
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, TraceState

from shared import metrics as ours
from shared.errors import OvenbridgeError
from shared.redaction import redact
from shared.tracing import Attribute, Parent, Span, SpanKind
from shared.version import VERSION

__all__ = ["Bridge", "RedactingProcessor", "connect", "export_measures"]

SCOPE: Final = "ovenbridge"
MAX_TEXT = 1_024
"""Characters of one attribute."""

_KINDS: dict[SpanKind, trace.SpanKind] = {
    "internal": trace.SpanKind.INTERNAL,
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
    "consumer": trace.SpanKind.CONSUMER,
}


def _clean(value: Attribute) -> Attribute:
    return redact(value[:MAX_TEXT]) if isinstance(value, str) else value


class _Span(Span):
    """A span of the SDK, without secrets."""

    __slots__ = ("_span", "_token", "recording")

    def __init__(self, made: trace.Span) -> None:
        self._span = made
        self._token: Any = None
        self.recording = made.is_recording()

    @property
    def parent(self) -> Parent | None:
        return _parent(self._span.get_span_context())

    def set(self, attributes: Mapping[str, Attribute]) -> None:
        self._span.set_attributes({name: _clean(value) for name, value in attributes.items()})

    def failed(self, sentence: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR, redact(sentence[:MAX_TEXT])))

    def __enter__(self) -> Span:
        self._token = context_api.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_: TracebackType | None
    ) -> None:
        context_api.detach(self._token)
        if error is not None:
            # Not the exception's own text: that of a library may hold what it was given. The log has it, redacted.
            self.set({"error.type": type(error).__name__})
            self.failed(error.detail if isinstance(error, OvenbridgeError) else type(error).__name__)
        self._span.end()


class Bridge:
    """Makes spans with the process's tracer provider."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def span(self, name: str, kind: SpanKind, parent: Parent | None) -> Span:
        """Begin one; see ``tracing.span``."""
        context = None if parent is None else trace.set_span_in_context(NonRecordingSpan(_remote(parent)))
        return _Span(
            self._tracer.start_span(name, context, _KINDS[kind], record_exception=False, set_status_on_exception=False)
        )

    @staticmethod
    def mark(attributes: Mapping[str, Attribute]) -> None:
        """Say more about the span that is open here."""
        span = trace.get_current_span()
        if span.is_recording():
            span.set_attributes({name: _clean(value) for name, value in attributes.items()})

    @staticmethod
    def note(name: str, attributes: Mapping[str, Attribute]) -> None:
        """Something happened within the span that is open here."""
        span = trace.get_current_span()
        if span.is_recording():
            span.add_event(name, {key: _clean(value) for key, value in attributes.items()})

    @staticmethod
    def current() -> Parent | None:
        """The span that is open here."""
        return _parent(trace.get_current_span().get_span_context())


def _parent(context: SpanContext) -> Parent | None:
    if not context.is_valid:
        return None
    state = context.trace_state.to_header() if context.trace_state else ""
    return Parent(f"{context.trace_id:032x}", f"{context.span_id:016x}", f"{int(context.trace_flags):02x}", state)


def _remote(parent: Parent) -> SpanContext:
    return SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(parent.flags, 16)),
        trace_state=TraceState.from_header([parent.state]) if parent.state else None,
    )


class RedactingProcessor(SpanProcessor):
    """Redacts what spans of other libraries are begun with: their URLs may carry ``sig`` or ``code``."""

    def on_start(self, span: Any, parent_context: context_api.Context | None = None) -> None:
        """See the SDK."""
        for name, value in dict(span.attributes or {}).items():
            if isinstance(value, str) and (clean := redact(value)) != value:
                span.set_attribute(name, clean)

    def on_end(self, span: ReadableSpan) -> None:
        """See the SDK."""


_processed: TracerProvider | None = None
_metered: MeterProvider | None = None


def connect() -> Bridge | None:
    """Use what is configured: spans if there is a tracer provider, our measures if there is a meter provider."""
    global _processed, _metered
    meters = metrics.get_meter_provider()
    if isinstance(meters, MeterProvider) and meters is not _metered:
        _metered = meters
        export_measures(meters)
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        return None
    if provider is not _processed:
        _processed = provider
        provider.add_span_processor(RedactingProcessor())
    return Bridge(provider.get_tracer(SCOPE, VERSION))


def export_measures(provider: MeterProvider) -> Callable[[], None]:
    """Make an instrument of every measure and let it listen. Answers with how to end that."""
    meter = provider.get_meter(SCOPE, VERSION)
    added: list[tuple[ours.Measure, ours.Listener]] = []
    for measure in ours.ALL:
        match measure.kind:
            case "counter":
                listener: ours.Listener = meter.create_counter(measure.name, measure.unit, measure.description).add
            case "histogram":
                listener = meter.create_histogram(measure.name, measure.unit, measure.description).record
            case "gauge":
                listener = meter.create_gauge(measure.name, measure.unit, measure.description).set
        measure.listeners.append(listener)
        added.append((measure, listener))

    def end() -> None:
        for measure, listener in added:
            measure.listeners.remove(listener)

    return end
