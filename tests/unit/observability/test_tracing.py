"""W3C contexts: read strictly, written right, handed on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from functions.invocation import route_of
from shared import tracing
from shared.observability import bound
from shared.tracing import Parent, carried, choose_parent, continuing, parent_from_correlation, parent_of, properties

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


def test_a_context_is_read() -> None:
    parent = parent_of(GOOD, "vendor=1")
    assert parent is not None
    assert (parent.trace_id, parent.span_id, parent.flags, parent.state) == (TRACE, SPAN, "01", "vendor=1")
    assert parent.traceparent == GOOD


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    parent = parent_of(f"cc-{TRACE}-{SPAN}-01-what-the-future-brings")
    assert parent is not None
    assert parent.traceparent == GOOD


@given(
    st.one_of(
        st.none(),
        st.text(max_size=60),
        st.sampled_from(
            [
                f"ff-{TRACE}-{SPAN}-01",
                f"00-{'0' * 32}-{SPAN}-01",
                f"00-{TRACE}-{'0' * 16}-01",
                f"00-{TRACE.upper()}-{SPAN}-01",
                f"00-{TRACE}-{SPAN}",
                f"{GOOD}\r\nX-Injected: 1",
                GOOD + "-" + "x" * 600,
            ]
        ),
    )
)
def test_anything_else_is_none(given_text: str | None) -> None:
    assert parent_of(given_text) is None


@given(st.text(max_size=700))
def test_a_state_travels_only_if_a_header_can_hold_it(state: str) -> None:
    parent = parent_of(GOOD, state)
    assert parent is not None
    assert parent.state == "" or (parent.state == state and state.isascii() and state.isprintable())


def test_the_host_s_span_counts_if_it_is_of_the_same_trace() -> None:
    given_parent, host, other = Parent(TRACE, SPAN), Parent(TRACE, "1" * 16), Parent("2" * 32, "1" * 16)
    assert choose_parent(host, given_parent) is host
    assert choose_parent(other, given_parent) is given_parent
    assert choose_parent(other, None) is other
    assert choose_parent(None, given_parent) is given_parent
    assert choose_parent(None, None) is None


def test_what_is_sent_says_where_it_comes_from() -> None:
    tracing.use(None)
    assert properties() == {}
    with bound("order-4711"):
        assert properties() == {}, "no trace id"
        with continuing(parent_of(GOOD, "vendor=1")):
            assert properties() == {"traceparent": GOOD, "tracestate": "vendor=1"}
            assert properties("00-kept") == {"traceparent": "00-kept"}
            assert carried("order-4711") == GOOD
    with bound(TRACE):
        assert properties() == {"traceparent": f"00-{TRACE}-{TRACE[:16]}-01"}
        assert carried(TRACE) == f"00-{TRACE}-{TRACE[:16]}-01"
        assert carried("5" * 32) == f"00-{'5' * 32}-{'5' * 16}-01", "another's cause stays its own"


def test_a_correlation_id_of_zeros_in_front_is_a_trace_all_the_same() -> None:
    correlation = "0" * 31 + "1"
    parent = parent_from_correlation(correlation)
    assert parent is not None
    assert parent_of(parent.traceparent) is not None
    assert parent_from_correlation("0" * 32) is None


def test_without_opentelemetry_a_span_does_nothing() -> None:
    tracing.use(None)
    with tracing.span("x", "client") as span:
        span.set({"a": 1})
        span.failed("b")
        tracing.mark(event_id="c")
        tracing.note("d", e="f")
    assert span.parent is None
    assert not span.recording


def test_a_route_is_the_path_without_what_callers_filled_in() -> None:
    base = "https://x.azurewebsites.net"
    assert route_of(f"{base}/api/v1/equipment/OVEN-1?code=s", {"equipment_id": "OVEN-1"}) == (
        "/api/v1/equipment/{equipment_id}"
    )
    assert route_of(f"{base}/api/hooks/press/to%20ken", {"source": "press", "token": "to ken"}) == (
        "/api/hooks/{source}/{token}"
    )
    assert route_of(f"{base}/api/health", {}) == "/api/health"
    assert route_of(f"{base}/a/b/c", {"rest": "b/c"}) is None, "rather none than one with a value in it"


@given(st.text(min_size=8, max_size=30), st.text(min_size=1, max_size=10))
def test_no_value_stands_in_a_route(token: str, source: str) -> None:
    from urllib.parse import quote

    path = f"/api/hooks/{quote(source, safe='')}/{quote(token, safe='')}"
    route = route_of(f"http://x{path}", {"source": source, "token": token})
    assert route is None or quote(token, safe="") not in route.split("/")
