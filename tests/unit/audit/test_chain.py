"""The chain itself: whatever is changed, removed, moved or swapped shows."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.audit.chain import GENESIS, Verification, check, entry_hash, entry_id, link, month_after, plain, stream_name
from shared.errors import InvalidInput

STREAM = "equipment:OVEN-1"

Entry = dict[str, Any]


def chain_of(count: int) -> list[Entry]:
    entries: list[Entry] = []
    month, at, previous = "2026-11", "2026-11-30T23:59:0{}.000Z", GENESIS
    for seq in range(1, count + 1):
        document: Entry = {
            "id": entry_id(STREAM, seq),
            "stream": STREAM,
            "month": month,
            "seq": seq,
            "at": at.format(seq % 10) if seq < 4 else f"2026-12-01T00:00:0{seq % 10}.000Z",
            "actor": {"id": "token:1", "name": "Bäckerin", "how": "api_token"},
            "action": "equipment.changed",
            "target": "OVEN-1",
            "before": {"limit": 250},
            "after": {"limit": 250 + seq, "note": "größer"},
            "prevHash": previous,
        }
        document["hash"] = previous = entry_hash(document)
        month = month_after(month, document["at"])
        entries.append(document)
    return entries


def verdict(entries: list[Entry], *, noted: tuple[int, str] | None = None) -> Verification:
    return check(STREAM, [link(STREAM, entry) for entry in entries], noted=noted)


def kind(entries: list[Entry]) -> str:
    found = verdict(entries).first_break
    assert found is not None
    assert found.detail.endswith(".")
    return found.kind


def test_an_untouched_chain_is_intact_in_any_order_and_over_months() -> None:
    entries = chain_of(8)
    assert {entry["month"] for entry in entries} == {"2026-11", "2026-12"}
    found = verdict(list(reversed(entries)))
    assert (found.intact, found.entries, found.head_seq, found.head_hash) == (True, 8, 8, entries[-1]["hash"])


def test_an_empty_stream_is_intact() -> None:
    found = verdict([])
    assert (found.intact, found.entries, found.head_seq) == (True, 0, 0)


@given(st.data())
def test_any_changed_byte_shows(data: st.DataObject) -> None:
    entries = chain_of(6)
    victim = data.draw(st.integers(0, 5))
    text = bytearray(json.dumps(entries[victim], ensure_ascii=False).encode())
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] = data.draw(st.integers(32, 126).filter(lambda byte: byte != text[place]))
    try:
        changed = json.loads(bytes(text))
    except (json.JSONDecodeError, UnicodeDecodeError):
        return  # no store gives this back
    assume(isinstance(changed, dict) and changed != entries[victim])
    entries[victim] = changed
    assert not verdict(entries).intact


@given(st.integers(0, 4))
def test_any_removed_entry_but_the_last_shows(victim: int) -> None:
    entries = chain_of(6)
    del entries[victim]
    found = verdict(entries).first_break
    assert found is not None
    assert found.seq == victim + 1
    assert found.kind == ("front_missing" if victim == 0 else "missing")


@given(st.integers(0, 5), st.integers(0, 5), st.sampled_from(["whole", "seq", "content", "hash"]))
def test_any_swap_shows(one: int, other: int, how: str) -> None:
    assume(one != other)
    entries = chain_of(6)
    a, b = entries[one], entries[other]
    names = {
        "whole": ("seq", "id"),
        "seq": ("seq",),
        "content": ("after", "at", "before"),
        "hash": ("hash",),
    }[how]
    for name in names:
        a[name], b[name] = b[name], a[name]
    assert not verdict(entries).intact


def test_what_was_done_is_named() -> None:
    entries = chain_of(5)
    changed = copy.deepcopy(entries)
    changed[2]["after"]["limit"] = 1
    assert kind(changed) == "changed"
    rewritten = copy.deepcopy(changed)
    rewritten[2]["hash"] = entry_hash(rewritten[2])
    found = verdict(rewritten).first_break
    assert found is not None
    assert (found.seq, found.kind) == (4, "reordered")
    assert kind([*entries, copy.deepcopy(entries[1])]) == "duplicate"
    moved = copy.deepcopy(entries)
    moved[4]["month"] = "2027-01"
    moved[4]["hash"] = entry_hash(moved[4])
    assert kind(moved) == "misplaced"
    renamed = copy.deepcopy(entries)
    renamed[4]["id"] = entry_id("equipment:OVEN-2", 5)
    renamed[4]["hash"] = entry_hash(renamed[4])
    assert kind(renamed) == "changed"
    nameless = copy.deepcopy(entries)
    nameless[4]["seq"] = "5"
    assert kind(nameless) == "changed"
    added = copy.deepcopy(entries)
    added[1]["approvedBy"] = "nobody"
    assert kind(added) == "changed"


def test_what_the_store_adds_does_not_count() -> None:
    entries = chain_of(2)
    for entry in entries:
        entry |= {"_etag": '"0"', "_ts": 1, "_rid": "x"}
    assert verdict(entries).intact


def test_a_cut_off_tail_shows_only_against_a_note() -> None:
    entries = chain_of(5)
    note = (5, entries[4]["hash"])
    assert verdict(entries, noted=note).intact
    assert verdict(entries[:4]).intact, "said in docs/audit.md: without a note or an anchor this cannot be seen"
    found = verdict(entries[:4], noted=note).first_break
    assert found is not None
    assert (found.seq, found.kind) == (5, "head_missing")


def test_a_chain_written_anew_shows_only_against_a_note() -> None:
    entries = chain_of(5)
    note = (4, entries[3]["hash"])
    previous = entries[1]["hash"]
    for entry in entries[2:]:
        entry["target"] = "OVEN-2"
        entry["prevHash"] = previous
        entry["hash"] = previous = entry_hash(entry)
    assert verdict(entries).intact
    found = verdict(entries, noted=note).first_break
    assert found is not None
    assert (found.seq, found.kind) == (4, "changed")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=10,
    )
)
def test_contents_survive_a_store_that_keeps_numbers_as_javascript_does(value: Any) -> None:
    kept = plain(value)

    def as_javascript(item: Any) -> Any:
        if isinstance(item, dict):
            return {k: as_javascript(v) for k, v in item.items()}
        if isinstance(item, list):
            return [as_javascript(v) for v in item]
        if isinstance(item, bool) or not isinstance(item, int | float):
            return item
        number = float(item)
        return int(number) if number.is_integer() else number

    assert entry_hash({"after": as_javascript(kept)}) == entry_hash({"after": kept})


def test_secrets_and_giants_do_not_get_in() -> None:
    kept = plain(
        {"password": "hunter2", "url": "https://u:hunter2@oven/?code=hunter2", "list": [{"api_key": "hunter2"}]}
    )
    assert "hunter2" not in json.dumps(kept)
    assert plain({"text": "x" * 100_000})["shortened"] is True
    assert plain(None) is None


def test_the_next_partition_depends_on_the_entry_before_alone() -> None:
    assert month_after("2026-11", "2026-11-30T23:59:59.999Z") == "2026-11"
    assert month_after("2026-11", "2026-12-01T00:00:00.000Z") == "2026-12"
    assert month_after("2026-12", "2026-11-30T23:59:59.999Z") == "2026-12", "a slow clock does not go back"


@pytest.mark.parametrize("name", ["", "a/b", "a#b", "a?b", "a\\b", "x" * 201, ":x", "a b"])
def test_a_stream_has_a_name_that_ids_can_hold(name: str) -> None:
    with pytest.raises(InvalidInput, match="stream"):
        stream_name(name)
