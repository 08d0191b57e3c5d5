"""The address grammar: what is written is what is found, and what is missing is named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.connectors.paths import BadAddress, PathMissing, parse_path

DOCUMENT: dict[str, Any] = {
    "a": {"b": [{"c": 1}, {"c": 2}]},
    "units": [{"id": 7, "x": "seven"}, {"id": 42, "x": "answer"}, {"id": "A 1", "on": True, "x": "text"}, 5],
    "odd key": {"and.more": {"[x]": 3}},
    "temps": {"probe": 1, "cabinet": 2},
    "nothing": None,
    "flag": True,
}


@pytest.mark.parametrize(
    ("address", "value"),
    [
        ("a.b[0].c", 1),
        ("a.b[1].c", 2),
        ("units[id=42].x", "answer"),
        ("units[id='A 1'].x", "text"),
        ('units[id="A 1"].x', "text"),
        ("units[on=true].x", "text"),
        ("units[3]", 5),
        ("['odd key']['and.more'][\"[x]\"]", 3),
        ("['odd key'].['and.more']", None),
        ("['temps'].probe", 1),
        ("nothing", None),
        ("temps", {"probe": 1, "cabinet": 2}),
    ],
)
def test_finds(address: str, value: object) -> None:
    if address == "['odd key'].['and.more']":
        with pytest.raises(BadAddress):
            parse_path(address)
        return
    assert parse_path(address).find(DOCUMENT) == value


def test_a_list_at_the_top() -> None:
    assert parse_path("[1].t").find([{}, {"t": 5}]) == 5
    assert parse_path("[id=2].t").find([{"id": 1}, {"id": 2.0, "t": 5}]) == 5


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("a.x", "`a` has no `x`; there is b"),
        ("temps.core", "`temps` has no `core`; there are probe, cabinet"),
        ("x", "the answer has no `x`; there are a, units, odd key, temps, nothing, flag"),
        ("a.b[2].c", "`a.b` has 2 items, so there is no [2] (they count from 0)"),
        ("units[id=9].x", "`units` has no item with id = 9; there are 7, 42, A 1"),
        ("units[serial=9].x", "no item of `units` has a `serial`"),
        ("nothing.x", "`nothing` is null, so it has no `x`"),
        ("flag.x", "`flag` is true or false, so it has no `x`"),
        ("temps[0]", "`temps` is an object, not a list, so it has no [0]"),
        ("units.id", "`units` is a list, so it has no `id`"),
        ("a.b[0].c.d", "`a.b[0].c` is a number, so it has no `d`"),
        ("['odd key'].x", "`['odd key']` has no `x`; there is and.more"),
    ],
)
def test_says_what_is_missing_and_what_is_there(address: str, says: str) -> None:
    with pytest.raises(PathMissing) as missing:
        parse_path(address).find(DOCUMENT)
    assert str(missing.value) == says


def test_long_names_of_others_stay_short_in_the_sentence() -> None:
    with pytest.raises(PathMissing) as missing:
        parse_path("x").find({f"{n}" * 200: n for n in range(50)})
    assert len(str(missing.value)) < 450


@pytest.mark.parametrize(
    "address",
    ["", ".", "a.", ".a", "a..b", "a b", "a[", "a]", "a[]", "a[x]", "a[-1]", "a['b", "a['b\"]", "a[b=]", "a[b.c=1]",
     "$.a", "a[0]b", "a[1234567]", "a'b", "x" * 501, "a\n"],
)  # fmt: skip
def test_refuses_and_shows_the_right_form(address: str) -> None:
    if address == "$.a":
        assert parse_path(address).find({"$": {"a": 1}}) == 1, "a name like any other"
        return
    with pytest.raises(BadAddress) as bad:
        parse_path(address)
    assert "address has 1 to" in str(bad.value) or "units[id=42].temperature" in str(bad.value)


def test_placeholders_fill_names_and_values_and_never_the_structure() -> None:
    path = parse_path("units[id={unit}].{id}['{unit}-x']")
    assert path.placeholders() == {"unit", "id"}
    filled = path.filled({"unit": "4]2", "id": "a.b"})
    document = {"units": [{"id": "4]2", "a.b": {"4]2-x": "here"}}]}
    assert filled.find(document) == "here"
    with pytest.raises(KeyError):
        path.filled({"unit": "1"})


_KEYS = st.text(st.characters(exclude_characters="'\"", exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(st.lists(_KEYS | st.integers(0, 5), min_size=1, max_size=6), st.integers())
def test_any_place_of_any_document_can_be_addressed(steps: list[str | int], value: int) -> None:
    document: Any = value
    for step in reversed(steps):
        document = {step: document} if isinstance(step, str) else [None] * step + [document]
    address = "".join(f"['{step}']" if isinstance(step, str) else f"[{step}]" for step in steps)
    path = parse_path(address)
    assert path.find(document) == value
    assert parse_path(str(path)) == path, "its spelling means the same"


@given(st.text(max_size=30) | st.from_regex(r"[a-z.\[\]='\"0-9{}]{0,20}", fullmatch=True))
@example("a[b=']']")
@example('a[b="it\'s"]')
@example('["it\'s"]')
def test_any_text_is_an_address_or_a_bad_address(text: str) -> None:
    try:
        path = parse_path(text)
    except BadAddress:
        return
    assert parse_path(str(path)) == path


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(_JSON, st.from_regex(r"[a-c](\.[a-c]|\[[0-3]\]|\[a=[0-3]\]){0,4}", fullmatch=True))
def test_no_document_breaks_the_search(document: Any, address: str) -> None:
    try:
        parse_path(address).find(document)
    except PathMissing:
        return
