"""Node addresses: what is read, what is refused with the right form, and what can be filled in."""

from __future__ import annotations

import base64
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.connectors.opc_ua_address import BadNodeAddress, NodeAddress, parse_node

URIS = st.from_regex(r"http://[a-z]{1,10}\.example/[A-Za-z0-9/ ]{0,20}", fullmatch=True)
IDENTIFIERS = st.one_of(
    st.tuples(
        st.just("s"), st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="{} "), min_size=1)
    ),
    st.tuples(st.just("i"), st.integers(0, 0xFFFF_FFFF).map(str)),
    st.tuples(st.just("g"), st.uuids().map(lambda u: str(u).upper())),
    st.tuples(st.just("b"), st.binary(min_size=1).map(lambda b: base64.b64encode(b).decode())),
)


@given(IDENTIFIERS, st.one_of(st.none(), URIS), st.integers(0, 65_535))
def test_what_is_written_is_read_back(identifier: tuple[str, str], uri: str | None, index: int) -> None:
    kind, text = identifier
    if text.strip() != text:
        return
    node = NodeAddress(kind, text, uri, 0 if uri else index)  # type: ignore[arg-type]
    assert parse_node(str(node)) == node


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("nsu=http://v/;s=A.B", NodeAddress("s", "A.B", "http://v/")),
        (' ns=3;s="DB"."temps"[0] ', NodeAddress("s", '"DB"."temps"[0]', None, 3)),
        ("i=2258", NodeAddress("i", "2258")),
        ("nsu=http://v/;s=a;b=c", NodeAddress("s", "a;b=c", "http://v/")),
        ("g=72962B91-FA75-4AE6-8D28-B404DC7DAF63", NodeAddress("g", "72962B91-FA75-4AE6-8D28-B404DC7DAF63")),
        ("nsu={vendor};s={unit}.T", NodeAddress("s", "{unit}.T", "{vendor}")),
    ],
)
def test_the_forms(text: str, node: NodeAddress) -> None:
    assert parse_node(text) == node


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Oven.Temperature", "write nsu="),
        ("", "write nsu="),
        ("nsu=http://v/", "write nsu="),
        ("i=abc", "a text needs s="),
        ("i=4294967296", "4294967295"),
        ("g=123", "no GUID"),
        ("b=***", "no base64"),
        ("ns=70000;i=1", "up to 65535"),
        ("nsu=  ;i=1", "may not be empty"),
        ("ns=2;x=1", "write nsu="),
    ],
)
def test_what_is_no_address_is_refused_with_the_right_form(text: str, said: str) -> None:
    with pytest.raises(BadNodeAddress, match=said):
        parse_node(text)


def test_placeholders_are_filled_inside_and_checked_afterwards() -> None:
    node = parse_node("nsu=http://{vendor}/;s={unit}.T")
    assert node.placeholders() == {"vendor", "unit"}
    assert str(node.filled({"vendor": "v", "unit": "x;ns=1"})) == "nsu=http://v/;s=x;ns=1.T"
    with pytest.raises(BadNodeAddress, match="no number"):
        parse_node("i={number}").filled({"number": "seven"})
    with pytest.raises(BadNodeAddress, match="semicolon"):
        parse_node("nsu=http://{vendor}/;s=x").filled({"vendor": "a;b"})
    assert parse_node("g={id}").filled({"id": str(uuid.UUID(int=1))}).kind == "g"
