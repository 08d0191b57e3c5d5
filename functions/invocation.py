"""What every call of a function has in common: where it came from, its correlation id, its span, how long it took.

Python is the one Functions worker that makes no span of its own for a call, so it is done here, in one place. Where a
call came from is said three times: by the host (``context.trace_context``), by the caller's ``traceparent`` header, and
by the application properties of a message.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

import azure.functions as func

from shared import metrics, tracing
from shared.observability import bound, new_correlation_id
from shared.tracing import Parent, Span, SpanKind

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Invocation", "Trigger", "invoked", "route_of"]

Trigger = Literal["http", "pubsub", "timer"]
"""As OpenTelemetry names what starts a function."""

_KINDS: Mapping[Trigger, SpanKind] = {"http": "server", "pubsub": "consumer", "timer": "internal"}


class Invocation:
    """One call that is under way: use it as a context manager, once."""

    __slots__ = ("_begun", "_bound", "_continuing", "correlation", "name", "outcome", "span")

    def __init__(self, name: str, correlation: str, span: Span, parent: Parent | None) -> None:
        self.name = name
        self.correlation = correlation
        self.span = span
        self.outcome = "failed"
        """For the measure; stands unless somebody says better."""
        self._begun = 0.0
        self._bound = bound(correlation, name)
        self._continuing = tracing.continuing(parent)

    def answered(self, status: int) -> None:
        """An HTTP call got this answer."""
        self.outcome = f"{status // 100}xx"
        if self.span.recording:
            self.span.set({"http.response.status_code": status})
            if status >= 500:
                self.span.failed(f"HTTP {status}")

    def __enter__(self) -> Self:
        self._begun = time.perf_counter()
        self.span.__enter__()
        self._bound.__enter__()
        self._continuing.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        elapsed = time.perf_counter() - self._begun
        metrics.FUNCTION_DURATION.record(elapsed, function=self.name, outcome=self.outcome)
        self._continuing.__exit__(kind, error, trace)
        self._bound.__exit__(kind, error, trace)
        self.span.__exit__(kind, error, trace)


_listening = False


def _listen() -> None:
    """From the first call on this process keeps its sums. Not at import: that would be part of the cold start."""
    global _listening
    from shared.tally import tally

    tally().attach()
    _listening = True


def invoked(
    name: str,
    trigger: Trigger,
    context: func.Context | None,
    *,
    given: Parent | None = None,
    correlation: str | None = None,
) -> Invocation:
    """Everything inside belongs to this call.

    Args:
        name: of the function.
        trigger: what started it.
        context: what the host says; ``None`` under the local host.
        given: the context that the caller or the message carries.
        correlation: the correlation id that they carry; else the trace's id.
    """
    if not _listening:
        _listen()
    host = None
    if context is not None and (said := context.trace_context) is not None:
        host = tracing.parent_of(said.trace_parent, said.trace_state)
    parent = tracing.choose_parent(host, given)
    # The host has made the span of the call itself; another such one would count every call twice.
    kind: SpanKind = "internal" if parent is not None and parent is host else _KINDS[trigger]
    if parent is None:
        parent = tracing.parent_from_correlation(correlation)
    span = tracing.span(name, kind, parent)
    if correlation is None:
        cause = parent or span.parent
        correlation = cause.trace_id if cause is not None else new_correlation_id()
    if span.recording:
        span.set({"faas.trigger": trigger, "ovenbridge.correlation_id": correlation})
        if context is not None:
            span.set({"faas.invocation_id": context.invocation_id})
    return Invocation(name, correlation, span, parent)


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
