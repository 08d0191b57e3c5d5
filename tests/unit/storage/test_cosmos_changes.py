"""Writes in Cosmos's words, and whether one was done."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.errors import InvalidInput
from shared.storage import Create, Delete, Increment, Patch, PatchOperation, RemovePath, Replace, SetPath
from shared.storage.changes import apply_change, checked_changes
from shared.storage.cosmos_changes import (
    Deed,
    deed_of,
    etag_from_wire,
    etag_to_wire,
    new_document,
    patch_operations,
    predicate_of,
    stored_from_wire,
)
from shared.topology import topology

RULES = topology().containers["alertRules"]
READINGS = topology().containers["readings"]
OVEN = ("oven-1",)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def patch(*operations: PatchOperation, etag: str | None = None, **when: Any) -> Deed:
    return deed_of(RULES, OVEN, Patch("r1", operations, etag, when))


@given(JSON)
def test_a_value_in_a_predicate_is_one_json_literal(value: Any) -> None:
    text = predicate_of({"a.b": value})
    assert text is not None
    start = 'FROM c WHERE c["a"]["b"] = '
    assert text.startswith(start)
    assert text.isascii()
    assert json.loads(text.removeprefix(start)) == value


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, {1, 2}, object(), {1: 2}, [object()]],
    ids=["nan", "infinity", "set", "object", "number as key", "object in a list"],
)
def test_a_value_that_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput):
        predicate_of({"a": value})


def test_all_conditions_of_a_predicate_must_hold() -> None:
    assert predicate_of({}) is None
    assert predicate_of({"status": 'a" OR "1', "n": 1}) == ('FROM c WHERE c["status"] = "a\\" OR \\"1" AND c["n"] = 1')


def test_patches_become_pointers() -> None:
    operations: list[PatchOperation] = [SetPath("a.b", [1]), Increment("n"), Increment("f", -0.5), RemovePath("gone")]
    assert patch_operations(checked_changes(RULES, operations)) == [
        {"op": "set", "path": "/a/b", "value": [1]},
        {"op": "incr", "path": "/n", "value": 1},
        {"op": "incr", "path": "/f", "value": -0.5},
        {"op": "remove", "path": "/gone"},
    ]


@pytest.mark.parametrize(
    ("etag", "wire"),
    [
        ("00-1", '"00-1"'),
        ("", '""'),
        ('x"\r\nx-evil: 1', '"-"'),
        ("ä", '"-"'),
        ("a\tb", '"-"'),
        ("*", '"*"'),
    ],
)
def test_etags_lose_and_get_their_quotes(etag: str, wire: str) -> None:
    assert etag_to_wire(etag) == wire
    if wire != '"-"':
        assert etag_from_wire(wire) == etag


def test_a_document_comes_without_what_cosmos_added() -> None:
    raw = {"id": "a", "_etag": '"e"', "_ts": 1, "_rid": "r", "_self": "s", "_attachments": "x", "_mine": 1}
    stored = stored_from_wire(raw)
    assert (stored.document, stored.etag) == ({"id": "a", "_mine": 1}, "e")
    new = new_document(RULES, {**raw, "equipmentId": "oven-1"})
    assert new.document == {"id": "a", "_mine": 1, "equipmentId": "oven-1"}


def test_a_ttl_of_null_is_the_containers() -> None:
    document = {"id": "a", "equipmentId": "o", "day": "d", "ttl": None}
    assert "ttl" not in new_document(READINGS, document).document
    for ttl in (0, -2, "1", True):
        with pytest.raises(InvalidInput):
            new_document(READINGS, {**document, "ttl": ttl})
        with pytest.raises(InvalidInput):
            deed_of(READINGS, ("o", "d"), Patch("a", [SetPath("ttl", ttl)]))


# After a lost answer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deed", "guarded", "counts", "tells"),
    [
        (patch(SetPath("a", 1)), False, False, True),
        (patch(Increment("n")), False, True, False),
        (patch(Increment("n"), SetPath("at", "now")), False, True, True),
        (patch(Increment("n"), etag="e"), True, False, False),
        (patch(Increment("n"), SetPath("status", "b"), status="a"), True, False, True),
        (patch(Increment("n"), SetPath("status", "a"), status="a"), False, True, True),
        (patch(Increment("n"), SetPath("x", 1), status="a"), False, True, True),
        (patch(Increment("n"), n=1), True, False, False),
        (patch(RemovePath("status"), Increment("n"), status="a"), True, False, False),
        (patch(SetPath("n", 1), Increment("n")), False, True, False),
        (deed_of(RULES, None, Create({"id": "a", "equipmentId": "o"})), True, False, True),
        (deed_of(RULES, None, Replace({"id": "a", "equipmentId": "o"})), False, False, True),
        (deed_of(RULES, OVEN, Delete("a")), True, False, True),
    ],
    ids=lambda v: f"{v.kind}" if isinstance(v, Deed) else str(v),
)
def test_what_may_be_repeated_and_what_tells(deed: Deed, guarded: bool, counts: bool, tells: bool) -> None:
    assert (deed.guarded, deed.counts, deed.tells) == (guarded, counts, tells)


def test_a_document_shows_whether_a_write_was_done() -> None:
    document = {"id": "a", "equipmentId": "o", "n": 1}
    for operation in (Create(document), Replace(document)):
        deed = deed_of(RULES, None, operation)
        assert deed.seems_done({**document, "n": 1.0})
        assert not deed.seems_done({**document, "n": True})
        assert not deed.seems_done({**document, "more": 1})
        assert not deed.seems_done(None)
    gone = deed_of(RULES, OVEN, Delete("a"))
    assert gone.seems_done(None)
    assert not gone.seems_done(document)
    changed = patch(SetPath("a.b", 1), SetPath("c", [1]), Increment("n"))
    assert changed.seems_done({"a": {"b": 1, "x": 2}, "c": [1]})
    assert not changed.seems_done({"a": {"b": 2}, "c": [1]})
    assert not changed.seems_done({"a": 1, "c": [1]})
    assert not changed.seems_done({"a": {"b": 1}})
    assert not patch(Increment("n")).seems_done({"n": 1}), "that shows nothing"
    assert patch(SetPath("a", 1), SetPath("a", 2)).seems_done({"a": 2})
    assert patch(SetPath("a.b", 1), SetPath("a", 2)).seems_done({"a": 2})


PATHS = st.sampled_from(["a", "b", "a.x", "a.y", "b.z", "n"])
OPERATIONS = st.lists(
    st.builds(SetPath, PATHS, st.integers(0, 3) | st.dictionaries(st.sampled_from("xyz"), st.integers(0, 3)))
    | st.builds(Increment, PATHS, st.integers(1, 3))
    | st.builds(RemovePath, PATHS),
    min_size=1,
    max_size=5,
)
DOCUMENTS = st.fixed_dictionaries(
    {"a": st.dictionaries(st.sampled_from("xyz"), st.integers(0, 3)), "b": st.dictionaries(st.just("z"), st.just(1))},
    optional={"n": st.integers(0, 3)},
)


@given(DOCUMENTS, OPERATIONS)
@example({"a": {}, "b": {}}, [SetPath("b", {"x": 0, "z": 0}), RemovePath("b.z")])
def test_what_was_done_is_recognised(document: dict[str, Any], operations: list[PatchOperation]) -> None:
    """Whatever a patch leaves, it is taken for done if it tells at all."""
    deed = patch(*operations)
    try:
        after = deed.after(document)
    except InvalidInput:
        return
    before = json.loads(json.dumps(document))
    for keys, change in deed.changes or ():
        apply_change(before, keys, change)
    assert after == before
    assert deed.seems_done(after) == deed.tells
