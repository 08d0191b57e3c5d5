"""Understanding a request whose schema nobody published whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidInput
from shared.platforms.operations1.payload import Asked, read_payload

PAYLOADS = Path(__file__).parent / "payloads"


def payload(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text("utf-8"))
    return found


def test_the_cloud_sends_the_whole_report() -> None:
    asked = read_payload(payload("cloud_report"))
    assert asked == Asked(
        shape="cloud",
        versions=("1", "1.0"),
        realm="example-realm",
        tags=("ask_oven", "core_temp", "oven_state", "humidity"),
        report_id="880011",
        order_id=None,
        step_id="112",
    )
    assert asked.whole


def test_the_device_sends_one_step() -> None:
    asked = read_payload(payload("local_step"))
    assert (asked.shape, asked.versions, asked.tags) == ("local", (), ("ask_oven",))
    assert not asked.whole


def test_an_archived_tag_counts_only_where_it_lives() -> None:
    tags = [{"name": "a", "archived": True}, {"name": "b", "archived": None}, {"name": "c", "archived": False}]
    assert read_payload({"x": [{"interactionTags": tags}]}).tags == ("b", "c")
    assert read_payload({"x": [{"interactionTags": tags}, {"interactionTags": [{"name": "a"}]}]}).tags == (
        "b",
        "c",
        "a",
    )


@pytest.mark.parametrize(
    "strange",
    [
        {},
        {"interactionTags": None},
        {"interactionTags": "a"},
        {"interactionTags": [None, 1, "a", {}, {"name": None}, {"name": ""}, {"name": 7}, {"name": "x" * 201}]},
        {"version": True, "fullVersion": None, "realm": 5, "data": None},
        {"version": {}, "realm": None, "data": [], "row": 1, "progressId": {}},
    ],
)
def test_nulls_and_nonsense_are_tolerated(strange: dict[str, Any]) -> None:
    asked = read_payload(strange)
    assert (asked.tags, asked.versions, asked.report_id) == ((), (), None)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["interactionTags", "name", "archived", "row", "realm", "version", "data", "orderId"]),
                inner,
            )
        ),
        max_leaves=30,
    )
)
def test_any_json_is_understood_or_refused(value: Any) -> None:
    try:
        asked = read_payload(value)
    except InvalidInput:
        assert not isinstance(value, dict)
    else:
        assert all(asked.tags)
        assert len(set(asked.tags)) == len(asked.tags)


def test_a_tag_is_found_however_deep() -> None:
    tree: dict[str, Any] = {"interactionTags": [{"name": "deep"}]}
    for _ in range(90):
        tree = {"children": [tree, {"a": 1}]}
    assert read_payload(tree).tags == ("deep",)


def test_a_flood_of_tags_is_bounded() -> None:
    flood = {"x": [{"interactionTags": [{"name": f"t{n}"}]} for n in range(5_000)]}
    assert len(read_payload(flood).tags) == 1_000
