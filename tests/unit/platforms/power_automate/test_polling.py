"""Polling: each event once, in order, whatever happens between two calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.clock import ManualClock
from shared.platforms.power_automate import polling
from shared.services import Services
from tests.api import Api
from tests.unit.platforms.power_automate.conftest import happen

POLL = "/api/v1/events/poll"


def place(answer: Any) -> str:
    """Where the next call goes."""
    return "/api" + str(answer.headers["location"]).partition("/api")[2]


def ids(answer: Any) -> list[str]:
    return [item["event_id"] for item in answer.json()]


async def test_the_list_form(house: Services, api: Api, clock: ManualClock) -> None:
    await happen(house, clock, "before")
    clock.advance(60)
    first = await api.get(POLL)
    assert (first.status, first.json(), first.headers["retry-after"]) == (202, [], "60")
    assert first.headers["location"].startswith("http://")
    await happen(house, clock, "E1")
    await happen(house, clock, "E2")
    assert (await api.get(place(first))).status == 202, "not settled yet"
    clock.advance(60)
    second = await api.get(place(first))
    assert (second.status, ids(second)) == (200, ["E1", "E2"])
    third = await api.get(place(second))
    assert (third.status, third.json()) == (202, [])


async def test_the_cursor_form(house: Services, api: Api, clock: ManualClock) -> None:
    first = (await api.get(f"{POLL}?form=cursor")).json()
    assert first["items"] == []
    await happen(house, clock, "E1")
    clock.advance(60)
    for _ in range(2):
        again = (await api.get(f"{POLL}?form=cursor&cursor={first['cursor']}")).json()
        assert [item["event_id"] for item in again["items"]] == ["E1"], "an answer that got lost is given again"
    assert (await api.get(f"{POLL}?form=cursor&cursor={again['cursor']}")).json()["items"] == []


async def test_a_time_is_a_cursor_too(house: Services, api: Api, clock: ManualClock) -> None:
    await happen(house, clock, "E1")
    clock.advance(60)
    assert ids(await api.get(f"{POLL}?cursor=2026-11-21T10:00:00Z")) == ["E1"]
    assert (await api.get(f"{POLL}?cursor=2026-11-21T10:00:01Z")).status == 202


async def test_pages_of_one_moment(house: Services, api: Api, clock: ManualClock) -> None:
    here = place(await api.get(f"{POLL}?limit=2"))
    for number in range(5):
        await happen(house, clock, f"E{number}")
    clock.advance(60)
    found = []
    for more in (True, True, False):
        answer = await api.get(here)
        found += ids(answer)
        assert answer.headers["retry-after"] == ("1" if more else "60")
        here = place(answer)
    assert found == [f"E{number}" for number in range(5)]


async def test_filters_and_fields_of_a_trigger(house: Services, api: Api, clock: ManualClock) -> None:
    here = place(await api.get(f"{POLL}/alert-raised?minimum_severity=warning&site=Madrid&equipment_id="))
    await happen(house, clock, "wanted")
    await happen(house, clock, "mild", severity="info")
    await happen(house, clock, "elsewhere", site="Lyon")
    await happen(house, clock, "another", type="ALERT_RESOLVED")
    clock.advance(60)
    answer = await api.get(here)
    assert ids(answer) == ["wanted"]
    assert answer.json()[0]["value"] == 240.0
    assert "minimum_severity=warning" in answer.headers["location"]


async def test_published_again_in_a_later_hour(house: Services, api: Api, clock: ManualClock) -> None:
    here = place(await api.get(POLL))
    event = await happen(house, clock, "E1")
    for _ in range(3):
        clock.advance(3_600)
        await house.events.publish(event)
    clock.advance(60)
    assert ids(await api.get(here)) == ["E1"]


async def test_a_long_silence_is_looked_through_in_parts(house: Services, api: Api, clock: ManualClock) -> None:
    here = place(await api.get(POLL))
    clock.advance(3 * 86_400)
    await happen(house, clock, "late")
    clock.advance(60)
    found: list[str] = []
    calls = 0
    while calls < 10:
        calls += 1
        answer = await api.get(here)
        found += ids(answer)
        here = place(answer)
        if answer.headers["retry-after"] == "60":
            break
    assert (found, calls) == (["late"], 2)


async def test_one_who_was_away_for_months_begins_with_what_is_kept(
    house: Services, api: Api, clock: ManualClock
) -> None:
    here = place(await api.get(POLL))
    clock.advance(300 * 86_400)
    for _ in range(20):
        answer = await api.get(here)
        here = place(answer)
        if answer.headers["retry-after"] == "60":
            return
    pytest.fail("never done")


async def test_what_is_wanted_by_nobody_is_bounded(
    house: Services, api: Api, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "MOST_LOOKED_AT", 3)
    here = place(await api.get(f"{POLL}?event_type=TASK_CREATED"))
    for number in range(7):
        await happen(house, clock, f"E{number}")
    await happen(house, clock, "T", type="TASK_CREATED")
    clock.advance(60)
    answers = []
    for _ in range(3):
        answers.append(await api.get(here))
        here = place(answers[-1])
    assert [ids(a) for a in answers] == [[], [], ["T"]]


@pytest.mark.parametrize("cursor", ["x", "!!!", "ICAg", "2026-99-01T00:00:00Z", "%00", "9" * 400])
async def test_a_cursor_that_is_not_ours(api: Api, cursor: str) -> None:
    answer = await api.get(f"{POLL}?cursor={cursor}")
    assert answer.status in (400, 422)
    assert "cursor" in answer.json()["error"]["message"]


STEPS = st.lists(st.tuples(st.sampled_from(["happen", "poll"]), st.integers(0, 4_000)), min_size=1, max_size=30)


@settings(max_examples=15, deadline=None)
@given(steps=STEPS, limit=st.integers(1, 4))
async def test_nothing_is_lost_or_doubled(
    steps: list[tuple[str, int]], limit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In-memory clock, real store: whatever the order of events and polls, each event is given out once."""
    from shared.settings import Settings

    clock = ManualClock(datetime(2026, 11, 21, 10, tzinfo=UTC))
    house = Services(Settings(data_dir=tmp_path_factory.mktemp("poll")), clock)
    try:
        poll = polling.EventPoll(house.store, clock)
        cursor = (await poll.after(None, lambda _: True, limit)).cursor
        found: list[str] = []
        made: list[str] = []
        for what, seconds in [*steps, *[("poll", 60)] * (len(steps) + 2)]:
            clock.advance(seconds)
            if what == "happen":
                made.append(f"E{len(made):03}")
                # It may have happened long before it is told.
                await happen(house, clock, made[-1], timestamp=clock.now() - timedelta(seconds=seconds))
            else:
                polled = await poll.after(cursor, lambda _: True, limit)
                found += [event["eventId"] for event in polled.events]
                cursor = polled.cursor
        assert found == made
    finally:
        await house.close()
