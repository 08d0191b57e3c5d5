"""The words of hub and relay: the same bytes for the same words, nothing that is too large or unknown."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidInput, PayloadTooLarge
from shared.json_text import dump, load
from shared.relay.messages import (
    MAX_UNPACKED,
    Command,
    Commands,
    Heartbeat,
    ReadingBatch,
    pack,
    unpack,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def batch(count: int = 1, **more: Any) -> ReadingBatch:
    readings = [
        {"id": f"r:{n}:relay", "equipmentId": "O-1", "values": {"temperature.deck": {"v": n}}} for n in range(count)
    ]
    return ReadingBatch.model_validate(
        {"relay_id": "hall-1", "first_seq": 7, "last_seq": 6 + count, "readings": readings} | more
    )


@given(st.integers(1, 400))
def test_what_is_packed_comes_back(count: int) -> None:
    sent = batch(count)
    data = pack(sent)
    assert unpack(ReadingBatch, data) == sent
    assert data == pack(batch(count)), "sent again it must be the same message"
    assert data.startswith(b"\x1f\x8b") == (len(dump(sent.model_dump(mode="json"))) > 1024)


def test_times_travel_in_the_form_of_the_store() -> None:
    beat = Heartbeat(relay_id="hall-1", at=NOON, version="1", started_at=NOON)
    assert load(pack(beat))["at"] == "2026-11-21T12:00:00.000Z"
    assert unpack(Heartbeat, pack(beat)) == beat


def test_a_replaced_disk_does_not_repeat_message_ids() -> None:
    first, again = batch(1), batch(1)
    anew = batch(1, readings=[{"id": "r:99:relay", "equipmentId": "O-1"}])
    assert first.message_id == again.message_id
    assert first.message_id.startswith("hall-1:7-7:")
    assert anew.message_id != first.message_id


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"v": 2}, "v:"),
        ({"surprise": 1}, "surprise"),
        ({"relay_id": "Hall 1"}, "relay_id"),
        ({"readings": []}, "readings"),
        ({"last_seq": 1}, "last_seq is before first_seq"),
        ({"priority": "urgent"}, "priority"),
    ],
)
def test_another_version_and_unknown_words_are_refused(change: dict[str, Any], said: str) -> None:
    body = batch().model_dump(mode="json") | change
    with pytest.raises(InvalidInput, match=said):
        unpack(ReadingBatch, dump(body))


def test_broken_bytes() -> None:
    whole = pack(batch(100))
    for broken in (whole[:-20], whole[:2] + b"nonsense", b"{", b""):
        with pytest.raises(InvalidInput):
            unpack(ReadingBatch, broken)


def test_a_bomb_is_not_unfolded() -> None:
    with pytest.raises(PayloadTooLarge):
        unpack(ReadingBatch, gzip.compress(b" " * (MAX_UNPACKED + 1)))


def test_too_much_at_once() -> None:
    noise = Random(4).randbytes(300_000).hex()
    command = Command(id="c", kind="deliver", body={"text": noise}, expires_at=NOON)
    with pytest.raises(PayloadTooLarge):
        pack(Commands(commands=(command,)))


def test_a_command_says_until_when() -> None:
    command = Command(id="c1", kind="write", equipment_id="O-1", body={"signal": "x", "value": 1}, expires_at=NOON)
    assert unpack(Commands, pack(Commands(commands=(command,)))).commands == (command,)


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_no_calendar_has_is_named(at: str) -> None:
    beat = {"v": 1, "relay_id": "hall-1", "at": "2026-11-21T10:00:00Z", "version": "1", "started_at": at}
    with pytest.raises(InvalidInput, match=r"started_at.*calendar"):
        unpack(Heartbeat, dump(beat))
