"""Connection health: written on changes and failures only, idempotent, never moved by late readings."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import ManualClock, iso
from shared.collection.connection_log import EventType
from shared.collection.health import ConnectionHealth
from shared.collection.status import ConnectionStatus, judge
from shared.connectors import ConnectionTest
from shared.errors import PreconditionFailed, Unavailable
from shared.services import Services
from shared.signals import Quality, Reading, SignalValue
from tests.unit.collection.plant import NOON, Counting, bad_reading, good_reading, oven


@pytest.fixture
def health(house: Services) -> ConnectionHealth:
    return house.health


async def log_types(health: ConnectionHealth, equipment_id: str = "oven-1") -> list[EventType]:
    page = await health.log(equipment_id, NOON - timedelta(days=1), NOON + timedelta(days=1), 100)
    return [entry.event_type for entry in page.entries][::-1]


async def test_never_read_is_unknown(health: ConnectionHealth) -> None:
    assert await health.status("oven-1") == ConnectionStatus()
    assert await health.statuses() == {}


async def test_success_failure_success(health: ConnectionHealth) -> None:
    await health.report(oven(), good_reading(at=0))
    await health.report(oven(), good_reading(at=30))
    lost = await health.report(oven(), bad_reading(at=60, code="timeout", reason="No answer within 5 s."))
    assert lost is not None
    status = await health.status("oven-1")
    assert (status.status, status.since, status.last_connected) == (
        "disconnected",
        NOON + timedelta(seconds=60),
        NOON + timedelta(seconds=30),
    )
    assert status.consecutive_failures == 1
    assert status.backoff_until is not None
    assert status.backoff_until >= NOON + timedelta(seconds=60)
    assert status.last_error == "No answer within 5 s."
    assert [(e.type, e.data["status"], e.data["previous_status"], e.data["reason"]) for e in lost.events] == [
        ("EQUIPMENT_CONNECTION_CHANGED", "disconnected", "connected", "No answer within 5 s.")
    ]
    again = await health.report(oven(), bad_reading(at=90, code="timeout"))
    assert again is not None
    assert (await health.status("oven-1")).consecutive_failures == 2
    back = await health.report(oven(), good_reading(at=120))
    assert back is not None
    assert back.events[-1].data["status"] == "connected"
    status = await health.status("oven-1")
    assert (status.status, status.consecutive_failures, status.backoff_until, status.last_error) == (
        "connected",
        0,
        None,
        None,
    )
    assert await log_types(health) == ["connected", "connection_lost", "poll_failed", "connected"]


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("timeout", "disconnected"),
        ("cannot_connect", "disconnected"),
        ("authentication_failed", "error"),
        ("unexpected_answer", "error"),
    ],
)
async def test_words(health: ConnectionHealth, code: str, word: str) -> None:
    await health.report(oven(), bad_reading(at=0, code=code))
    assert (await health.status("oven-1")).status == word


async def test_one_bad_sensor_is_no_lost_connection(health: ConnectionHealth) -> None:
    values = {"temperature.core": SignalValue(None, Quality.BAD, "sensor sentinel 32767")}
    reading = Reading("oven-1", NOON, values, quality=Quality.BAD, reason="a sensor")
    await health.report(oven(), reading)
    assert (await health.status("oven-1")).status == "connected"


async def test_state_change_is_told_once_and_never_for_a_first_look(health: ConnectionHealth) -> None:
    first = await health.report(oven(), good_reading(at=0, status="idle"))
    assert first is None or not first.events
    change = await health.report(oven(), good_reading(at=30, status="running"))
    assert change is not None
    (event,) = change.events
    assert (event.type, event.object_type, event.object_id) == ("EQUIPMENT_STATE_CHANGED", "MACHINE", "oven-1")
    assert event.data == {
        "equipment_id": "oven-1",
        "equipment_name": "Oven 1",
        "status": "running",
        "previous_status": "idle",
        "changed_at": iso(NOON + timedelta(seconds=30)),
    }
    await health.told("oven-1", [event.id])
    assert await health.report(oven(), good_reading(at=60, status="running")) is None


async def test_a_status_that_cannot_be_read_changes_nothing(health: ConnectionHealth) -> None:
    await health.report(oven(), good_reading(at=0, status="running"))
    values = {"status": SignalValue(None, Quality.BAD, "not in the map"), "humidity": SignalValue(40)}
    assert await health.report(oven(), Reading("oven-1", NOON + timedelta(seconds=30), values)) is None
    assert (await health.status("oven-1")).operational_status == "running"


async def test_the_happy_path_asks_nothing_of_the_store(house: Services, clock: ManualClock) -> None:
    counting = Counting(house.store)
    health = ConnectionHealth(counting.store, clock)
    await health.report(oven(), good_reading(at=0))
    counting.calls.clear()
    for second in range(1, 60):
        clock.advance(1)
        await health.report(oven(), good_reading(at=second))
    assert counting.calls == {}
    clock.advance(2)
    await health.report(oven(), good_reading(at=62))
    assert counting.calls == {"read": 1}


async def test_what_a_process_that_died_left_untold_is_told_by_the_next(house: Services, clock: ManualClock) -> None:
    before = ConnectionHealth(house.store, clock)
    await before.report(oven(), good_reading(at=0))
    lost = await before.report(oven(), bad_reading(at=30))
    assert lost is not None
    after = ConnectionHealth(house.store, clock)
    assert [e.id for e in (await after.untold())["oven-1"].untold] == [e.id for e in lost.events]
    # The same reading again, then another: both bring the event until it is told.
    for reading in (bad_reading(at=30), good_reading(at=60)):
        transition = await after.report(oven(), reading)
        assert transition is not None
        assert transition.events[0].id == lost.events[0].id
    assert transition is not None
    await after.told("oven-1", [e.id for e in transition.events])
    assert await after.untold() == {}
    assert await after.report(oven(), good_reading(at=90)) is None


async def test_the_same_failure_twice_counts_once(health: ConnectionHealth) -> None:
    await health.report(oven(), bad_reading(at=0))
    once = await health.status("oven-1")
    await health.report(oven(), bad_reading(at=0))
    assert await health.status("oven-1") == once
    assert await log_types(health) == ["poll_failed"]


async def test_a_failure_within_a_millisecond_counts_once_for_every_process(
    house: Services, clock: ManualClock
) -> None:
    for _ in range(2):
        await ConnectionHealth(house.store, clock).report(oven(), bad_reading(at=0.123456))
    assert (await house.health.status("oven-1")).consecutive_failures == 1


async def test_a_late_reading_moves_nothing(health: ConnectionHealth) -> None:
    await health.report(oven(), good_reading(at=0))
    await health.report(oven(), bad_reading(at=100))
    await health.report(oven(), good_reading(at=50))
    assert (await health.status("oven-1")).status == "disconnected"


async def test_two_processes_change_one_document(house: Services, clock: ManualClock) -> None:
    one, two = ConnectionHealth(house.store, clock), ConnectionHealth(house.store, clock)
    await one.report(oven(), good_reading(at=0))
    await two.report(oven(), bad_reading(at=30))
    # The first still believes it connected; what it reports next is judged on the stored state.
    await one.report(oven(), bad_reading(at=60))
    assert (await one.status("oven-1")).consecutive_failures == 2
    assert (await house.health.status("oven-1")).consecutive_failures == 2


async def test_a_write_that_always_collides_ends_as_unavailable(house: Services, clock: ManualClock) -> None:
    counting = Counting(house.store)
    health = ConnectionHealth(counting.store, clock)
    await health.report(oven(), good_reading(at=0))
    counting.fail["replace"] = PreconditionFailed("somebody was faster")
    with pytest.raises(Unavailable):
        await health.report(oven(), bad_reading(at=30))
    del counting.fail["replace"]
    await health.report(oven(), bad_reading(at=30))
    assert await log_types(health) == ["connected", "connection_lost"], "the entry was written once"


async def test_who_backs_off_is_found_without_reading_all(health: ConnectionHealth) -> None:
    for n in range(1, 6):
        await health.report(oven(n), good_reading(n, at=0))
    await health.report(oven(3), bad_reading(3, at=30))
    assert set(await health.backing_off()) == {"oven-3"}
    assert set(await health.statuses()) == {f"oven-{n}" for n in range(1, 6)}
    await health.report(oven(3), good_reading(3, at=60))
    assert await health.backing_off() == {}


async def test_a_good_test_ends_the_pause_and_is_logged(health: ConnectionHealth, clock: ManualClock) -> None:
    await health.report(oven(), bad_reading(at=0, code="authentication_failed"))
    assert "oven-1" in await health.backing_off()
    clock.advance(10)
    values = {"humidity": SignalValue(40), "temperature.core": SignalValue(None, Quality.BAD)}
    await health.note_test("oven-1", ConnectionTest(True, "connected", 145, (), None, values))
    assert await health.backing_off() == {}
    page = await health.log("oven-1", NOON, NOON + timedelta(hours=1), 1)
    (entry,) = page.entries
    assert (entry.event_type, entry.connection_status, entry.response_time_ms, entry.data_points_received) == (
        "connection_test",
        "connected",
        145,
        1,
    )
    assert page.continuation is not None


async def test_the_first_test_is_what_is_known(health: ConnectionHealth) -> None:
    await health.note_test("oven-1", ConnectionTest(False, "timeout", None, (), "No answer within 5 s."))
    assert (await health.status("oven-1")).status == "disconnected"
    await health.report(oven(), good_reading(at=1))
    assert (await health.status("oven-1")).status == "connected"


async def test_pages_of_the_log_over_midnight(health: ConnectionHealth, clock: ManualClock) -> None:
    for n in range(10):
        await health.report(oven(), bad_reading(at=n * 3 * 3600))
    span = NOON - timedelta(hours=1), NOON + timedelta(days=2)
    seen, continuation = [], None
    for _ in range(5):
        page = await health.log("oven-1", *span, 3, continuation)
        seen += [entry.event_time for entry in page.entries]
        continuation = page.continuation
        if continuation is None:
            break
    assert seen == [NOON + timedelta(hours=3 * n) for n in range(9, -1, -1)]
    assert (await health.log("oven-1", NOON, NOON, 10)).entries == ()


async def test_remove(health: ConnectionHealth) -> None:
    await health.report(oven(), good_reading(at=0))
    await health.remove("oven-1")
    await health.remove("oven-1")
    assert await health.status("oven-1") == ConnectionStatus()


readings = st.lists(st.tuples(st.integers(0, 50), st.booleans(), st.sampled_from(["idle", "running"])), max_size=30)


@given(readings)
def test_judging_is_idempotent_and_goes_by_event_time(moments: list[tuple[int, bool, str]]) -> None:
    status = ConnectionStatus()
    for at, good, word in moments:
        reading = good_reading(at=at, status=word) if good else bad_reading(at=at)
        after = judge(status, oven(), reading)
        assert judge(after, oven(), reading) is after
        if status.judged_at is not None and reading.at <= status.judged_at:
            assert after is status
        else:
            assert after.connected is good
            assert after.consecutive_failures == (0 if good else status.consecutive_failures + 1)
        assert ConnectionStatus.from_document(after.to_document("oven-1")) == after
        status = after
