"""Every due poll is planned exactly once, whatever the timer does."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.collection.schedule import (
    BATCH_SIZE,
    MOST_FAILING_BATCHES,
    TICK_MS,
    Batch,
    Poll,
    batches,
    due_between,
    from_ms,
    to_ms,
    window,
)
from shared.errors import InvalidInput

NOON = to_ms(datetime(2026, 11, 21, 12, tzinfo=UTC))

ids = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)
intervals = st.integers(10, 3600)


@given(ids, intervals, st.integers(0, 10**9), st.integers(1, 7_200_000))
def test_cutting_a_span_anywhere_gives_the_same_instants(
    equipment_id: str, interval: int, offset: int, length: int
) -> None:
    start = NOON + offset
    whole = []
    position = start
    step = interval * 1000  # no span longer than the interval holds two instants
    while position < start + length:
        end = min(position + step, start + length)
        if (due := due_between(equipment_id, interval, position, end)) is not None:
            whole.append(due)
        position = end
    by_second = []
    for begin in range(start, start + length, 1000 * 7):
        end = min(begin + 7000, start + length)
        if (due := due_between(equipment_id, interval, begin, end)) is not None:
            by_second.append(due)
    assert whole == by_second
    assert all(b - a == step for a, b in itertools.pairwise(whole))


@given(ids, intervals)
def test_an_instant_belongs_to_the_span_that_begins_with_it(equipment_id: str, interval: int) -> None:
    due = due_between(equipment_id, interval, NOON, NOON + interval * 1000)
    assert due is not None
    assert due_between(equipment_id, interval, due, due + 1) == due
    assert due_between(equipment_id, interval, due + 1, due + interval * 1000) is None


def test_devices_are_spread_evenly() -> None:
    counts = Counter(due // 1000 for n in range(10_000) if (due := due_between(f"oven-{n}", 10, NOON, NOON + 10_000)))
    assert len(counts) == 10
    assert all(abs(count - 1000) < 120 for count in counts.values())


class Timer:
    """Ticks as a timer gives them, with what one planner process remembers."""

    def __init__(self, devices: dict[str, int]) -> None:
        self.devices = devices
        self.until: int | None = None
        self.sent: dict[str, Batch] = {}
        """By message id: duplicate detection."""

    def tick(self, at_ms: int, *, restarted: bool = False) -> int:
        start, end = window(from_ms(at_ms), None if restarted else self.until)
        polls = [
            Poll(oven, due)
            for oven, interval in self.devices.items()
            if (due := due_between(oven, interval, start, end)) is not None
        ]
        self.until = end
        planned = batches(polls, "steady")
        for batch in planned:
            self.sent.setdefault(batch.message_id, batch)
        return max(Counter(p.equipment_id for p in polls).values(), default=0)

    def times(self, equipment_id: str) -> list[int]:
        return sorted(p.due for b in self.sent.values() for p in b.polls if p.equipment_id == equipment_id)


jitter = st.lists(st.tuples(st.integers(-900, 3_900), st.booleans(), st.booleans()), min_size=20, max_size=60)


@given(st.dictionaries(ids, st.integers(10, 90), min_size=1, max_size=8), jitter)
def test_late_early_and_doubled_ticks_and_restarts_plan_every_poll_once(
    devices: dict[str, int], ticks: list[tuple[int, bool, bool]]
) -> None:
    timer = Timer(devices)
    timer.tick(NOON)
    for number, (off, doubled, restarted) in enumerate(ticks, 1):
        at = NOON + number * TICK_MS + off
        assert timer.tick(at, restarted=restarted) <= 1
        if doubled:
            assert timer.tick(at + 10) <= 1
    first, last = NOON, NOON + (len(ticks) + 1) * TICK_MS
    for oven, interval in devices.items():
        expected = [
            due
            for second in range(first, last, 1000)
            if (due := due_between(oven, interval, second, second + 1000)) is not None
        ]
        assert [t for t in timer.times(oven) if t < last] == expected


def test_one_missed_tick_is_caught_up() -> None:
    timer = Timer({"oven": 10})
    for number in (0, 1, 2, 4, 5, 6):
        timer.tick(NOON + number * TICK_MS)
    times = timer.times("oven")
    assert [b - a for a, b in itertools.pairwise(times)] == [10_000] * (len(times) - 1)


def test_a_long_pause_is_no_burst() -> None:
    timer = Timer({f"oven-{n}": 10 for n in range(20)})
    timer.tick(NOON)
    assert timer.tick(NOON + 3_600_000) == 1


def test_what_a_long_pause_missed_is_left_out() -> None:
    _, end = window(from_ms(NOON), None)
    start, later = window(from_ms(NOON + 60_000), end)
    assert (start, later) == (NOON + 60_000, NOON + 60_000 + 2 * TICK_MS)


def test_a_tick_plans_ahead_so_that_a_late_timer_makes_no_poll_late() -> None:
    _, end = window(from_ms(NOON), None)
    start, _ = window(from_ms(NOON + TICK_MS + 3_999), end)
    assert start == end == NOON + 2 * TICK_MS


def test_a_clock_that_was_set_back_does_not_stop_planning() -> None:
    _, end = window(from_ms(NOON), None)
    assert window(from_ms(NOON - 3_600_000), end) == (NOON - 3_600_000, NOON - 3_600_000 + 2 * TICK_MS)


def test_batches_hold_at_most_fifty_and_come_with_their_second() -> None:
    polls = [Poll(f"oven-{n}", NOON + n * 10) for n in range(300)]
    planned = batches(polls, "steady")
    assert {p for b in planned for p in b.polls} == set(polls)
    assert all(len(b.polls) <= BATCH_SIZE for b in planned)
    for batch in planned:
        assert all(batch.at <= p.due < batch.at + 1000 for p in batch.polls)
    assert len({b.message_id for b in planned}) == len(planned)


def test_failing_devices_come_together_after_their_instant_and_never_too_many() -> None:
    polls = [Poll(f"oven-{n}", NOON + n % 5000) for n in range(1000)]
    planned = batches(polls, "failing")
    assert len(planned) == MOST_FAILING_BATCHES
    assert all(b.at >= p.due for b in planned for p in b.polls)
    assert [p.equipment_id for p in planned[0].polls] == [f"oven-{n}" for n in range(BATCH_SIZE)], "longest first"


def test_a_message_comes_back_as_it_was_and_holds_no_more_than_ids_and_times() -> None:
    batch = batches([Poll("oven-1", NOON + 17), Poll("oven-2", NOON + 80)], "steady")[0]
    assert batch.to_body() == (
        b'{"lane":"steady","at":1795262400000,"polls":[["oven-1",1795262400017],["oven-2",1795262400080]]}'
    )
    assert Batch.from_body(batch.to_body()) == batch


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"lane":"steady","at":1,"polls":[["a"]]}', b"\xff", b"null"])
def test_a_foreign_message_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        Batch.from_body(body)
