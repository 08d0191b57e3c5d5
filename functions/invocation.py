"""What every call of a function has in common: where it came from, its correlation id, its span, how long it took.

Python is the one Functions worker that makes no span of its own for a call, so it is done here, in one place. Where a
call came from is said three times: by the host (``context.trace_context``), by the caller's ``traceparent`` header, and
by the application properties of a message.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, urlsplit

import azure.functions as func

from shared import metrics, tracing
from shared.observability import bound, new_correlation_id
from shared.tally import tally
from shared.tracing import Parent, Span, SpanKind

__all__ = ["Invocation", "Trigger", "invoked", "route_of"]

Trigger = Literal["http", "pubsub", "timer"]
"""As OpenTelemetry names what starts a function."""

_KINDS: Mapping[Trigger, SpanKind] = {"http": "server", "pubsub": "consumer", "timer": "internal"}

# From the first call on; every function app imports this module.
tally().attach()


@dataclass(slots=True)
class Invocation:
    """One call that is under way."""

    correlation: str
    span: Span
    outcome: str = "failed"
    """For the measure; stands unless somebody says better."""

    def answered(self, status: int) -> None:
        """An HTTP call got this answer."""
        self.outcome = f"{status // 100}xx"
        if self.span.recording:
            self.span.set({"http.response.status_code": status})
            if status >= 500:
                self.span.failed(f"HTTP {status}")


@contextmanager
def invoked(
    name: str,
    trigger: Trigger,
    context: func.Context | None,
    *,
    given: Parent | None = None,
    correlation: str | None = None,
) -> Iterator[Invocation]:
    """Everything inside belongs to this call.

    Args:
        name: of the function.
        trigger: what started it.
        context: what the host says; ``None`` under the local host.
        given: the context that the caller or the message carries.
        correlation: the correlation id that they carry; else the trace's id.
    """
    host = None
    if context is not None and (said := context.trace_context) is not None:
        host = tracing.parent_of(said.trace_parent, said.trace_state)
    parent = tracing.choose_parent(host, given)
    # The host has made the span of the call itself; another such one would count every call twice.
    kind: SpanKind = "internal" if parent is not None and parent is host else _KINDS[trigger]
    if parent is None:
        parent = tracing.parent_from_correlation(correlation)
    begun = time.perf_counter()
    with tracing.span(name, kind, parent) as span:
        if correlation is None:
            cause = parent or span.parent
            correlation = cause.trace_id if cause is not None else new_correlation_id()
        call = Invocation(correlation, span)
        if span.recording:
            span.set({"faas.trigger": trigger, "ovenbridge.correlation_id": correlation})
            if context is not None:
                span.set({"faas.invocation_id": context.invocation_id})
        try:
            with bound(correlation, name), tracing.continuing(parent):
                yield call
        finally:
            metrics.FUNCTION_DURATION.record(time.perf_counter() - begun, function=name, outcome=call.outcome)


def route_of(url: str, params: Mapping[str, str]) -> str | None:
    """The route's template: the path with every parameter's value replaced by its name.

    ``None`` when a value is not found as a segment of its own: a path may hold a token, so better no route than one
    with a value in it.
    """
    segments = urlsplit(url).path.split("/")
    decoded = [unquote(segment) for segment in segments]
    for name, value in params.items():
        if value == "":
            continue
        if value not in decoded:
            return None
        segments = [f"{{{name}}}" if found == value else kept for kept, found in zip(segments, decoded, strict=True)]
    return "/".join(segments)
