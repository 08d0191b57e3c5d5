from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidInput
from shared.json_text import MAX_DEPTH, canonical, dump, load, load_foreign

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(values)
def test_what_is_written_comes_back(value: Any) -> None:
    assert load(dump(value)) == value
    assert load(canonical(value)) == value


def test_canonical_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical({"a": 1, "b": {"c": 2, "d": 3}}) == canonical({"b": {"d": 3, "c": 2}, "a": 1})


def test_times_end_with_z() -> None:
    assert dump({"at": datetime(2026, 1, 1, tzinfo=UTC)}) == b'{"at":"2026-01-01T00:00:00Z"}'


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "body is empty"),
        (b"{", "no valid JSON"),
        (b'{"a": 1,}', "line 1, column"),
        (b"\xff\xfe", "no valid JSON"),
        (b"[" * 200 + b"]" * 200, f"deeper than {MAX_DEPTH}"),
        (b"NaN", "no valid JSON"),
    ],
    ids=["empty", "cut", "comma", "not-utf8", "deep", "nan"],
)
def test_foreign_json_is_refused_with_the_reason(body: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as refused:
        load_foreign(body)
    assert refused.value.problems[0].field == "body"


def test_nesting_up_to_the_limit_is_fine() -> None:
    assert load_foreign(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
