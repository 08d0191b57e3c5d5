"""Traces: where a call came from, and how that travels on with messages, stored deliveries and callbacks.

The trace id is our correlation id (32 hex digits). It travels as W3C ``traceparent`` whether or not this process has
OpenTelemetry: without it the caller's own context is handed on as it came, so that the parts of a trace that others
write still belong together.

Spans are made when somebody has configured OpenTelemetry in this process (in Azure the Functions worker does); then
``open_telemetry.py`` is loaded. Otherwise a span is one object that does nothing, and nothing is imported.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from shared.observability import correlation_id

if TYPE_CHECKING:
    from shared.open_telemetry import Bridge

__all__ = [
    "NO_SPAN",
    "Attribute",
    "Parent",
    "Span",
    "SpanKind",
    "carried",
    "choose_parent",
    "continuing",
    "here",
    "look_again",
    "mark",
    "note",
    "parent_from_correlation",
    "parent_of",
    "properties",
    "span",
    "use",
]

SpanKind = Literal["internal", "server", "client", "consumer"]
Attribute = str | int | float | bool

# As texts: `re` compiles and keeps them at first use, not at the cold start.
_TRACEPARENT = r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
_TRACE_ID = r"(?!0{32})[0-9a-f]{32}"
_STATE = r"[\x20-\x7e]{1,512}"


class Parent:
    """What something is part of: a span here or in another process."""

    __slots__ = ("flags", "span_id", "state", "trace_id")

    def __init__(self, trace_id: str, span_id: str, flags: str = "01", state: str = "") -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.flags = flags
        self.state = state
        """The vendor's part (``tracestate``), handed on to our own messages only."""

    @property
    def traceparent(self) -> str:
        """As W3C writes it."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


class Span:
    """One piece of work; this one does nothing. ``open_telemetry.py`` has those that do.

    Used as a context manager: an exception that leaves it makes it a failed one.
    """

    __slots__ = ()

    recording: bool = False
    """Is it worth while to work out attributes?"""

    @property
    def parent(self) -> Parent | None:
        """What other processes' work for it is part of; ``None``: this is no real span."""
        return None

    def set(self, attributes: Mapping[str, Attribute]) -> None:
        """Say more about it. Texts are redacted."""

    def failed(self, sentence: str) -> None:
        """It did not do what it should."""

    def __enter__(self) -> Span:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing."""


NO_SPAN = Span()

_bridge: Bridge | None = None
_looked = False


def use(bridge: Bridge | None) -> None:
    """Make spans with this from now on; ``None``: make none. For tests."""
    global _bridge, _looked
    _bridge, _looked = bridge, True


def look_again() -> Bridge | None:
    """Has OpenTelemetry been configured in this process? Asked at the first span, and here."""
    use(None)
    # Whoever configured it has imported it; looking there costs a process without it nothing.
    if "opentelemetry.sdk.trace" in sys.modules or "opentelemetry.sdk.metrics" in sys.modules:
        from shared.open_telemetry import connect

        use(connect())
    return _bridge


def span(name: str, kind: SpanKind = "internal", parent: Parent | None = None) -> Span:
    """A piece of work, part of ``parent`` or else of the span it is begun in. Give it attributes if it is recording."""
    bridge = _bridge if _looked else look_again()
    if bridge is None:
        return NO_SPAN
    return bridge.span(name, kind, parent)


def mark(**attributes: Attribute) -> None:
    """Say more about the span that is open here: ``mark(event_id=...)`` becomes ``ovenbridge.event_id``."""
    if _bridge is not None:
        _bridge.mark({f"ovenbridge.{name}": value for name, value in attributes.items()})


def note(name: str, **attributes: Attribute) -> None:
    """Something happened within the span that is open here."""
    if _bridge is not None:
        _bridge.note(name, {f"ovenbridge.{key}": value for key, value in attributes.items()})


# Where we come from -----------------------------------------------------------------------------------------------

_came_from: ContextVar[Parent | None] = ContextVar("came_from", default=None)


class _Continuing:
    __slots__ = ("_parent", "_token")

    def __init__(self, parent: Parent | None) -> None:
        self._parent = parent
        self._token: Token[Parent | None] | None = None

    def __enter__(self) -> None:
        self._token = _came_from.set(self._parent)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _came_from.reset(self._token)


def continuing(parent: Parent | None) -> AbstractContextManager[None]:
    """What is sent inside belongs to this parent, unless a span says better."""
    return _Continuing(parent)


def parent_of(traceparent: str | None, tracestate: str | None = None) -> Parent | None:
    """Read a W3C context; ``None`` when there is none or it is not well formed."""
    if not traceparent or len(traceparent) > 512 or (found := re.fullmatch(_TRACEPARENT, traceparent)) is None:
        return None
    state = tracestate if tracestate and re.fullmatch(_STATE, tracestate) else ""
    return Parent(found[1], found[2], found[3], state)


def parent_from_correlation(correlation: str | None) -> Parent | None:
    """A trace that has this correlation id as its id: nobody wrote its first span, yet all others belong together."""
    if correlation is None or re.fullmatch(_TRACE_ID, correlation) is None:
        return None
    span_id = correlation[:16]
    return Parent(correlation, span_id if span_id != "0" * 16 else correlation[16:])


def choose_parent(host: Parent | None, given: Parent | None) -> Parent | None:
    """The host's span of this call, if it belongs to the trace that the caller or the message gave; else that one.

    A host that traces has made a span between the caller's and ours. One that does not may still name a context of
    its own, out of nothing.
    """
    if given is None:
        return host
    return host if host is not None and host.trace_id == given.trace_id else given


# Where we send to -------------------------------------------------------------------------------------------------


def here() -> Parent | None:
    """What work that begins elsewhere now is part of."""
    if _bridge is not None and (current := _bridge.current()) is not None:
        return current
    return _came_from.get() or parent_from_correlation(correlation_id())


def carried(correlation: str | None) -> str | None:
    """The ``traceparent`` to keep with something that has this correlation id, for what is done with it later."""
    now = here()
    if correlation is None or (now is not None and now.trace_id == correlation):
        return now.traceparent if now is not None else None
    of_its_own = parent_from_correlation(correlation)
    chosen = of_its_own or now
    return chosen.traceparent if chosen is not None else None


_NO_PROPERTIES: Mapping[str, str] = {}


def properties(kept: str | None = None) -> Mapping[str, str]:
    """Application properties of a message: the ``traceparent`` kept with what it is about, else that of here."""
    if kept is not None:
        return {"traceparent": kept}
    now = here()
    if now is None:
        return _NO_PROPERTIES
    if now.state:
        return {"traceparent": now.traceparent, "tracestate": now.state}
    return {"traceparent": now.traceparent}
